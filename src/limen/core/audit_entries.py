"""From an event to an entry of the record: every text bounded and printable, no secret, whatever the event's class.

An event of a class that nobody here knows is recorded by its fields. Those that do not print are left out.
"""

import hmac
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from math import isfinite
from typing import cast
from uuid import UUID

from limen.core.audit_chain import Entry
from limen.core.cause import Actor
from limen.core.client import NOWHERE, Client
from limen.core.identity import canonical_identifier
from limen.events import Event

MAX_TEXT = 200
MAX_ITEMS = 50
MAX_DETAILS = 4096
MAX_NAME = 320
LIMITS: Mapping[str, int] = {
    "event": 64,
    "result": 16,
    "subject": 255,
    "actor_kind": 16,
    "actor": 255,
    "method": 64,
    "credential_id": 64,
    "ip": 45,
    "user_agent": 256,
}
"""Characters of each column."""

_OWN = frozenset(each.name for each in fields(Event))
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def entry_of(event: Event, *, client: Client, digest_keys: Sequence[bytes]) -> Entry:
    """What the record says of an event.

    Args:
        client: from where, if the event does not know.
        digest_keys: the present one digests the name that somebody typed, where the event has one.
    """
    actor = _actor_of(event)
    place = client if event.client == NOWHERE else event.client
    typed = getattr(event, "identifier", None)
    texts = {
        "event": name_of(type(event).__name__),
        "result": event.result,
        "subject": event.subject,
        "actor_kind": actor.kind,
        "actor": actor.subject,
        "method": " ".join(getattr(event, "amr", ())) or actor.credential,
        "credential_id": actor.credential_id,
        "ip": place.ip,
        "user_agent": place.user_agent,
    }
    return Entry(
        event_id=event.id.hex,
        at=event.at if event.at.tzinfo else event.at.replace(tzinfo=UTC),
        name_digest=digests_of(typed, digest_keys[:1])[0] if isinstance(typed, str) else None,
        details=_details(event, actor),
        **{name: None if text is None else printable(str(text), LIMITS[name]) for name, text in texts.items()},  # type: ignore[arg-type]  # none of the required ones is None
    )


@lru_cache(maxsize=1024)
def name_of(kind: str) -> str:
    """`logged_in` for the class `LoggedIn`: stable, for whoever searches."""
    return _WORD.sub("_", kind).lower()


def digests_of(name: str, keys: Iterable[bytes]) -> tuple[str, ...]:
    """The keyed digests of a name as somebody typed it, one per key: enough to look for one, never to read one.

    People type passwords into the wrong field; without the key a digest tells nothing of what was typed.
    """
    canonical = canonical_identifier(name) or name.strip().lower()[:MAX_NAME]
    said = canonical.encode("utf-8", errors="replace")
    return tuple(hmac.digest(key, b"name\x00" + said, "sha256")[:16].hex() for key in keys)


def printable(text: str, most: int) -> str:
    """The text without what could pass for another line, direction or character set, cut to so many characters."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text[:most])


def line_of(entry: Entry) -> str:
    """One line of JSON in ASCII."""
    said = {
        "at": entry.at.isoformat().replace("+00:00", "Z"),
        "event": entry.event,
        "result": entry.result,
        "subject": entry.subject,
        "actor": {"kind": entry.actor_kind, "subject": entry.actor, "credential_id": entry.credential_id},
        "method": entry.method,
        "ip": entry.ip,
        "user_agent": entry.user_agent,
        "count": entry.count,
        "details": json.loads(entry.details),
        "event_id": entry.event_id,
    }
    return json.dumps(said)


def _actor_of(event: Event) -> Actor:
    """Who comes in is who they proved to be by it."""
    if not event.proves_subject or event.subject is None:
        return event.actor
    return Actor(kind="user", subject=event.subject, credential=event.actor.credential)


def _details(event: Event, actor: Actor) -> str:
    said = {
        each.name: _plain(getattr(event, each.name)) for each in fields(event) if each.repr and each.name not in _OWN
    }
    behind = {"session_id": actor.session_id, "client_id": actor.client_id, "issuer": actor.issuer}
    said["by"] = {name: _plain(value) for name, value in behind.items() if value is not None}
    said = {name: value for name, value in said.items() if value not in (None, "", [], {})}
    text = _dumped(said)
    if len(text) <= MAX_DETAILS:
        return text
    short = {name: value for name, value in said.items() if isinstance(value, bool | int) or name == "reason"}
    return _dumped({**short, "left_out": sorted(said.keys() - short.keys())[:MAX_ITEMS]})


def _dumped(said: Mapping[str, object]) -> str:
    return json.dumps(said, separators=(",", ":"), sort_keys=True)


def _plain(value: object) -> object:
    """What JSON can say, bounded; of anything else only what kind of thing it is."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if isinstance(value, int):
        return value if abs(value) < 2**53 else str(value)[:MAX_TEXT]
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, str):
        return printable(value, MAX_TEXT)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {printable(str(name), 64): _plain(each) for name, each in list(value.items())[:MAX_ITEMS]}
    if isinstance(value, list | tuple | set | frozenset):
        return _items(cast("Iterable[object]", value))
    return f"<{type(value).__name__}>"


def _items(values: Iterable[object]) -> list[object]:
    found = list(values)
    shown = [_plain(each) for each in found[:MAX_ITEMS]]
    return [*shown, f"and {len(found) - MAX_ITEMS} more"] if len(found) > MAX_ITEMS else shown
