"""Credentials that were verified a moment ago: in memory, bounded, never past their end."""

from hashlib import sha256

from limen.core.principal import Principal
from limen.core.revocations import Revocations

MAX_REMEMBERED = 20_000
"""About 30 MB at the most: a principal and its key take up to 1.5 KB."""


class Remembered:
    """Maps the digest of a credential to the principal that it proved. Only what verified gets in.

    Memory holds digests, no credentials. Each carrier has a map of its own: a cookie's value is no bearer token.
    """

    def __init__(self, revocations: Revocations, *, limit: int = MAX_REMEMBERED) -> None:
        self._revocations = revocations
        self._limit = limit
        self._entries: dict[bytes, dict[bytes, _Entry]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._entries.values()))

    def recall(self, carrier: bytes, credential: bytes, now: float) -> Principal | None:
        """The principal that this credential proved, if it is remembered, has not ended and was not taken back."""
        entries = self._entries.get(carrier)
        entry = entries.get(sha256(credential).digest()) if entries is not None else None
        if entry is None or now >= entry.principal.expires_at:
            return None
        if entry.revision != self._revocations.revision:  # something was taken back since this was last asked
            if self._revocations.covers(entry.principal):
                return None
            entry.revision = self._revocations.revision
        return entry.principal

    def remember(self, carrier: bytes, credential: bytes, principal: Principal) -> None:
        """Keep it, in place of what was known of this credential; the oldest makes room when there is none."""
        entries = self._entries.setdefault(carrier, {})
        key = sha256(credential).digest()
        if len(entries) >= self._limit and key not in entries:
            del entries[next(iter(entries))]
        entries[key] = _Entry(principal)

    def forget_all(self) -> None:
        """Drop everything: each is verified anew when it is shown next."""
        self._entries.clear()


class _Entry:
    __slots__ = ("principal", "revision")

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.revision = -1
