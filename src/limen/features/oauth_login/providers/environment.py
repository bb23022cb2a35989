"""`LIMEN_OAUTH_<NAME>_…`: what an operator set of each provider, in the environment or in `.env`."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dotenv import dotenv_values

PREFIX = "LIMEN_OAUTH_"
PARTS = (
    "CLIENT_ID",
    "CLIENT_SECRET",
    "ISSUER",
    "SCOPES",
    "AUDIENCES",
    "ORIGINS",
    "TEAM_ID",
    "KEY_ID",
    "PRIVATE_KEY",
)
_IDS = re.compile(rf"{PREFIX}([A-Z][A-Z0-9_]{{0,31}})_CLIENT_ID")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What is set of one provider; `scopes`, `audiences` and `origins` are lists with commas or spaces."""

    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    issuer: str | None = None
    scopes: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    team_id: str | None = None
    key_id: str | None = None
    private_key: str | None = field(default=None, repr=False)


def variable(name: str, part: str) -> str:
    """The environment name of a provider's setting."""
    return f"{PREFIX}{name.upper().replace('-', '_')}_{part}"


def given(name: str) -> Given:
    """What is set of this provider."""
    found = _read()
    one = {part: found.get(variable(name, part)) or None for part in PARTS}
    lists = {part.lower(): tuple(re.split(r"[,\s]+", one[part] or "")) for part in ("SCOPES", "AUDIENCES", "ORIGINS")}
    return Given(
        client_id=one["CLIENT_ID"],
        client_secret=one["CLIENT_SECRET"],
        issuer=one["ISSUER"],
        team_id=one["TEAM_ID"],
        key_id=one["KEY_ID"],
        private_key=one["PRIVATE_KEY"],
        **{name: tuple(filter(None, values)) for name, values in lists.items()},
    )


def names_that_are_set() -> tuple[str, ...]:
    """The providers with a client id, sorted."""
    found = (_IDS.fullmatch(name) for name, value in _read().items() if value)
    return tuple(sorted(match[1].lower() for match in found if match))


def unread_names(own_settings: Iterable[str]) -> tuple[str, ...]:
    """What is set under `LIMEN_OAUTH_…` and is neither a part of a provider nor one of the feature's settings."""
    own = {f"{PREFIX}LOGIN_{name}".upper() for name in own_settings}
    parts = tuple(f"_{part}" for part in PARTS)
    return tuple(
        sorted(name for name in _read() if name.startswith(PREFIX) and not name.endswith(parts) and name not in own)
    )


def _read() -> Mapping[str, str]:
    """The environment goes first, as for every setting."""
    return {**{name: value or "" for name, value in dotenv_values(".env").items()}, **os.environ}
