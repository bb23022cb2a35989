"""Opaque tokens: prefixed, found by a public id, proved by a secret that is nowhere at rest.

Two kinds. A *random* token, `lms_<id>.<secret>`, is stored as the SHA-256 of its secret. A *refresh* token,
`lmr_<session>.<generation>.<mac>`, is a pair signed with a derived key: nothing of it is stored, a forged one is
refused without a look at the database, and its successor follows from the pair.
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from limen.errors import InvalidGrant

SECRET_BYTES = 32
MAX_TOKEN_CHARACTERS = 512
_REFRESH = re.compile(r"lmr_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(0|[1-9][0-9]{0,17})\.[A-Za-z0-9_-]{43}")


def new_id(now: float) -> UUID:
    """A time-ordered UUID, version 7 (RFC 9562 §5.7): 74 random bits, and an index that grows at one end.

    Args:
        now: seconds since the epoch.
    """
    milliseconds = int(now * 1000) & (1 << 48) - 1
    chance = secrets.randbits(74)
    return UUID(int=milliseconds << 80 | 7 << 76 | (chance >> 62) << 64 | 2 << 62 | chance & (1 << 62) - 1)


def parse_uuid(text: str) -> UUID | None:
    """The UUID of its one canonical text form, or None; `uuid.UUID` would also take braces and `urn:`."""
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text else None


def digest(secret: str) -> bytes:
    """What is stored of a random secret of 128 bits or more: its SHA-256; slow ones are for people's (ASVS 11.4.2)."""
    return hashlib.sha256(secret.encode()).digest()


def matches(secret: str, expected_digest: bytes) -> bool:
    """Whether `secret` is the one whose digest was stored, in constant time."""
    return hmac.compare_digest(digest(secret), expected_digest)


@dataclass(frozen=True, slots=True)
class OpaqueToken:
    """A random token: `prefix` tells its kind, `id` finds it, `secret` proves it."""

    prefix: str
    id: str
    secret: str = field(repr=False)

    @classmethod
    def mint(cls, prefix: str, *, id: str) -> "OpaqueToken":
        """A new token with 256 random bits."""
        return cls(prefix, id, secrets.token_urlsafe(SECRET_BYTES))

    @classmethod
    def parse(cls, text: str, *, prefix: str) -> "OpaqueToken | None":
        """The parts of `text` when it has the form of a token of this kind, else None."""
        if len(text) > MAX_TOKEN_CHARACTERS or not text.startswith(prefix) or not text.isascii():
            return None
        id, dot, secret = text[len(prefix) :].partition(".")
        return cls(prefix, id, secret) if id and dot and secret else None

    @property
    def text(self) -> str:
        """What the client gets, once."""
        return f"{self.prefix}{self.id}.{self.secret}"

    @property
    def digest(self) -> bytes:
        """What the database gets."""
        return digest(self.secret)


@dataclass(frozen=True, slots=True)
class RefreshPair:
    """Which session, and which of its generations: all that a refresh token says."""

    session_id: UUID
    generation: int

    def successor(self) -> "RefreshPair":
        """The pair that follows; the same however often it is asked for."""
        return RefreshPair(self.session_id, self.generation + 1)


class RefreshTokens:
    """Signs and reads refresh tokens.

    Args:
        keys: derived keys, the present one first; the others only verify.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def sign(self, pair: RefreshPair) -> str:
        """The token of `pair` under the present key."""
        return _signed(pair, self._keys[0])

    def read(self, token: str) -> RefreshPair:
        """The pair that a genuine token says; no database is asked.

        Raises:
            InvalidGrant: it is none of ours.
        """
        found = _REFRESH.fullmatch(token)
        if found is None:
            raise InvalidGrant("not a refresh token by its form")
        pair = RefreshPair(UUID(found[1]), int(found[2]))
        if not any(hmac.compare_digest(token, _signed(pair, key)) for key in self._keys):
            raise InvalidGrant("refresh token with a wrong mac")
        return pair


def _signed(pair: RefreshPair, key: bytes) -> str:
    said = f"lmr_{pair.session_id}.{pair.generation}"
    mac = hmac.digest(key, said.encode(), "sha256")
    return f"{said}.{urlsafe_b64encode(mac).rstrip(b'=').decode()}"
