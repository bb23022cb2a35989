"""Credentials that were verified a moment ago: in memory, bounded, never past their end."""

import secrets
from collections.abc import Callable
from hashlib import blake2b

from limen.core.clock import Clock
from limen.core.principal import Principal
from limen.core.revocations import Revocations

MAX_REMEMBERED = 20_000
"""About 30 MB at the most: a principal and its key take up to 1.5 KB."""

_DIGEST_BYTES = 16

Known = Callable[[bytes], Principal | None]


class Remembered:
    """Maps the digest of a credential to the principal that it proved. Only what verified gets in.

    Memory holds digests, no credentials: BLAKE2b (RFC 7693) under a key of this process, which nobody can aim at and
    which costs half of what SHA-256 does for a token. Each carrier has a map of its own: a cookie's value is no bearer
    token.
    """

    def __init__(self, revocations: Revocations, clock: Clock, *, limit: int = MAX_REMEMBERED) -> None:
        self._revocations = revocations
        self._clock = clock
        self._limit = limit
        self._key = secrets.token_bytes(_DIGEST_BYTES)
        self._entries: dict[bytes, dict[bytes, _Entry]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._entries.values()))

    def of(self, carrier: bytes) -> Known:
        """Tells the principal that a credential of this carrier proved, if it is remembered, good and not taken back.

        Asked in every request, so what it needs is in its hands: it looks nothing up on the way.
        """
        entries, key, revocations, time = self._of(carrier), self._key, self._revocations, self._clock.time

        def known(credential: bytes) -> Principal | None:
            entry = entries.get(blake2b(credential, digest_size=_DIGEST_BYTES, key=key).digest())
            if entry is None or time() >= entry.expires_at:
                return None
            if entry.revision != revocations.revision:  # something was taken back since this was last asked
                if revocations.covers(entry.principal):
                    return None
                entry.revision = revocations.revision
            return entry.principal

        return known

    def remember(self, carrier: bytes, credential: bytes, principal: Principal) -> None:
        """Keep it, in place of what was known of this credential; the oldest makes room when there is none."""
        entries = self._of(carrier)
        key = blake2b(credential, digest_size=_DIGEST_BYTES, key=self._key).digest()
        if len(entries) >= self._limit and key not in entries:
            del entries[next(iter(entries))]
        entries[key] = _Entry(principal)

    def forget_all(self) -> None:
        """Drop everything: each is verified anew when it is shown next."""
        for entries in self._entries.values():
            entries.clear()

    def _of(self, carrier: bytes) -> "dict[bytes, _Entry]":
        return self._entries.setdefault(carrier, {})


class _Entry:
    __slots__ = ("expires_at", "principal", "revision")

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.expires_at = principal.expires_at
        self.revision = -1
