"""Credentials that were verified a moment ago: in memory, bounded, never past their end."""

from hashlib import blake2s

from limen.core.clock import Clock
from limen.core.principal import Principal
from limen.core.revocations import Revocations

MAX_REMEMBERED = 20_000
"""About 30 MB at the most: a principal and its key take up to 1.5 KB."""


SIGNATURE = 43
"""The last characters of a JWT that are remembered: 256 bits of its signature, whichever algorithm made it."""

IS_JWT = b"eyJ"
"""How a JWT begins: `{"` in base64url, which no key and no session does."""


def key_of(credential: bytes) -> bytes:
    """By what a credential is remembered: a digest of it.

    A JWT brings its own, for its signature is one that only its issuer can make. Whoever shows the signature of a token
    that is remembered has that token: before anything is believed its content is compared as well (`Entry.content`),
    but nothing depends on how well. Anything else is digested by BLAKE2s (RFC 7693).
    """
    return credential[-SIGNATURE:] if credential[:3] == IS_JWT else blake2s(credential).digest()


class Entry:
    """What is remembered of one credential.

    Attributes:
        content: Python's hash of the whole credential.
        revision: of the revocations, when this was last compared with them.
        round: of the last uses, when this was last noted.
    """

    __slots__ = ("content", "expires_at", "principal", "revision", "round")

    def __init__(self, principal: Principal, content: int) -> None:
        self.content = content
        self.principal = principal
        self.expires_at = principal.expires_at
        self.revision = -1
        self.round: object = None


Entries = dict[bytes, Entry]


class Remembered:
    """Maps a credential, by its `key_of`, to the principal that it proved. Only what verified gets in.

    Memory holds no credentials. Each carrier has a map of its own: a cookie's value is no bearer token.
    """

    def __init__(self, revocations: Revocations, clock: Clock, *, limit: int = MAX_REMEMBERED) -> None:
        self._revocations = revocations
        self._clock = clock
        self._limit = limit
        self._entries: dict[bytes, Entries] = {}

    def __len__(self) -> int:
        return sum(map(len, self._entries.values()))

    def of(self, carrier: bytes) -> Entries:
        """The entries of this carrier, by the `key_of` of the credential; for who asks in every request."""
        return self._entries.setdefault(carrier, {})

    def recall(self, carrier: bytes, credential: bytes) -> Principal | None:
        """The principal that this credential proved, if it is remembered, has not ended and was not taken back."""
        entry = self.of(carrier).get(key_of(credential))
        if entry is None or entry.content != hash(credential):
            return None
        if self._clock.time() >= entry.expires_at or not self.holds(entry):
            return None
        return entry.principal

    def holds(self, entry: Entry) -> bool:
        """Whether it was not taken back; looked up only when something was since this was last asked."""
        revision = self._revocations.revision
        if entry.revision != revision:
            if self._revocations.covers(entry.principal):
                return False
            entry.revision = revision
        return True

    def remember(self, carrier: bytes, credential: bytes, principal: Principal) -> None:
        """Keep it, in place of what was known of this credential; the oldest makes room when there is none."""
        entries, key = self.of(carrier), key_of(credential)
        if len(entries) >= self._limit and key not in entries:
            del entries[next(iter(entries))]
        entries[key] = Entry(principal, hash(credential))

    def forget_all(self) -> None:
        """Drop everything: each is verified anew when it is shown next."""
        for entries in self._entries.values():
            entries.clear()
