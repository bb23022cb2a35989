"""Credentials that were verified a moment ago: in memory, bounded, never past their end."""

from hashlib import sha256

from limen.core.principal import Principal

MAX_REMEMBERED = 20_000
"""About 30 MB at the most: a principal and its key take up to 1.5 KB."""


class Remembered:
    """Maps the digest of a credential to the principal that it proved. Only what verified gets in."""

    def __init__(self, *, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self._principals: dict[bytes, Principal] = {}

    def __len__(self) -> int:
        return len(self._principals)

    @staticmethod
    def key(carrier: str, credential: str) -> bytes:
        """Where a credential is kept: by digest, so that memory holds none, and by carrier, so that a cookie's value
        is no bearer token."""
        return sha256(f"{carrier} {credential}".encode()).digest()

    def recall(self, key: bytes, now: float) -> Principal | None:
        """The principal behind `key` if it is remembered and has not ended."""
        principal = self._principals.get(key)
        if principal is None or now < principal.expires_at:
            return principal
        del self._principals[key]
        return None

    def remember(self, key: bytes, principal: Principal) -> None:
        """Keep it; the one that was kept first makes room when there is none."""
        if len(self._principals) >= self._limit and key not in self._principals:
            del self._principals[next(iter(self._principals))]
        self._principals[key] = principal

    def forget(self, key: bytes) -> None:
        """Drop it."""
        self._principals.pop(key, None)
