"""What an answer means: the attempt was refused, or something came in."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

_REFUSALS = frozenset({400, 401, 403, 405, 413, 415, 426, 429, 431, 503})
_TO_SIGN_IN = re.compile(r"log-?in|sign-?in|auth", re.IGNORECASE)
ACCEPTED = 101
"""The status of a WebSocket whose handshake was accepted."""


class Outcome(StrEnum):
    """What became of the attempts of one attack on one route."""

    REFUSED = "refused"
    CAME_IN = "CAME IN"
    BROKE = "BROKE"
    UNTRIED = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the app said, its body cut at 64 KB."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> object:
        """The body as JSON, or None."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def outcome_of(answer: Answer) -> Outcome:
    """Whether the endpoint was reached.

    Guards answer before an endpoint and before its body is read: a missing field (422) or object (404) is told only to
    whoever was let in. A header or cookie that is missing is what a guard written by hand complains of.
    """
    status = answer.status
    if status in _REFUSALS or _lacks_a_credential(answer):
        return Outcome.REFUSED
    if status >= 500:
        return Outcome.BROKE
    if 300 <= status < 400 and _TO_SIGN_IN.search(answer.headers.get("location", "")):
        return Outcome.REFUSED
    return Outcome.CAME_IN


def worst(outcomes: "list[Outcome]") -> Outcome:
    """What a column says of all its attempts."""
    for each in (Outcome.CAME_IN, Outcome.BROKE, Outcome.REFUSED):
        if each in outcomes:
            return each
    return Outcome.UNTRIED


def _lacks_a_credential(answer: Answer) -> bool:
    document = answer.json() if answer.status == 422 else None
    errors = (document.get("errors") or document.get("detail")) if isinstance(document, dict) else None
    places = [each.get("loc") for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    return any(isinstance(place, list) and place and place[0] in ("header", "cookie") for place in places)
