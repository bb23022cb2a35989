"""What has been taken back: in memory, bounded, expiring.

An entry lives no longer than the longest credential that it could affect. Rights are versioned by a counter of the
user (`epoch`), not by time, so that clocks that differ between machines decide nothing.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from limen.core.principal import Principal
from limen.errors import Unavailable

FOREVER = 2**62
"""The epoch that no credential reaches: everything of the subject is taken back."""


class Revoked(StrEnum):
    """What kind of thing a revocation takes back."""

    SESSION = "session"
    SUBJECT = "subject"
    CREDENTIAL = "credential"
    KEY = "key"


def foreign_session(issuer: str, session_id: str) -> str:
    """What another issuer's session is called among the targets, so that it is no namesake of one of ours."""
    return sha256(f"{issuer} {session_id}".encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """The `target` of this `kind` is taken back until `expires_at`.

    Attributes:
        kind: a session, a subject (what was made with rights older than `epoch`), one API key or token by its id, or
            a signing key with everything that it signed.
        target: the session's id (`foreign_session` of another issuer's), the user's id, the credential's id or the
            key's `kid`.
        epoch: for subjects, the first version of the rights that still holds; for credentials, that of their own
            record. For keys, 0 is no more than news: the key is new, or its turn has come.
        expires_at: seconds since the epoch; by then every affected credential has ended by itself.
    """

    kind: Revoked
    target: str
    expires_at: float
    epoch: int = FOREVER

    @property
    def refuses_a_key(self) -> bool:
        """Whether nothing that a signing key signed holds any more."""
        return self.kind is Revoked.KEY and self.epoch == FOREVER


class Revocations:
    """The live entries, asked on every request: three dictionary look-ups, no I/O.

    Attributes:
        heard_at: when the log was last heard, in monotonic seconds.
        revision: grows whenever something new is taken back.
    """

    def __init__(self, *, deaf_after: float, issuer: str | None = None) -> None:
        """
        Args:
            deaf_after: seconds without word from the log after which nothing is vouched for any more.
            issuer: whose log it is; its subjects are no one's namesakes. None: everyone's.
        """
        self._issuer = issuer
        self._deaf_after = deaf_after
        self.heard_at = float("-inf")
        self._live: dict[Revoked, dict[str, tuple[int, float]]] = {kind: {} for kind in Revoked}
        self._ends: list[tuple[float, Revoked, str]] = []
        self.revision = 0
        self._subscribers: list[Callable[[Revocation], None]] = []

    def __len__(self) -> int:
        return sum(map(len, self._live.values()))

    def hear(self, *, now: float, tick: float) -> None:
        """Note that everything in the log has been applied.

        Args:
            now: seconds since the epoch, for what has expired.
            tick: monotonic seconds at which the log was asked.
        """
        self.heard_at = max(self.heard_at, tick)
        self._forget(now)

    def silence(self, tick: float) -> float:
        """For how many seconds the log has not been heard; infinite before the first time."""
        return tick - self.heard_at

    def subscribe(self, callback: Callable[[Revocation], None]) -> None:
        """Call back on every entry that takes something new back, right after it does."""
        self._subscribers.append(callback)

    def apply(self, revocation: Revocation) -> None:
        """Take it back in this process; applying an entry twice changes nothing."""
        live = self._live[revocation.kind]
        epoch, end = live.get(revocation.target, (-1, 0.0))
        if revocation.epoch <= epoch and revocation.expires_at <= end:
            return
        end = max(end, revocation.expires_at)
        self.revision += 1
        live[revocation.target] = (max(epoch, revocation.epoch), end)
        heapq.heappush(self._ends, (end, revocation.kind, revocation.target))
        for callback in self._subscribers:
            callback(revocation)

    def is_elsewhere(self, principal: Principal) -> bool:
        """Whether somebody else vouches for this principal than whose log this is."""
        return self._issuer is not None and principal.issuer != self._issuer

    def covers(self, principal: Principal) -> bool:
        """Whether this principal's credential has been taken back."""
        if self.is_elsewhere(principal):
            return self._covers_foreign(principal)
        live = self._live
        if principal.session_id is not None and principal.session_id in live[Revoked.SESSION]:
            return True
        if principal.credential_id is not None:
            entry = live[Revoked.CREDENTIAL].get(principal.credential_id)
            if entry is not None and principal.version < entry[0]:
                return True
        entry = live[Revoked.SUBJECT].get(principal.subject)
        return entry is not None and principal.epoch < entry[0]

    def _covers_foreign(self, principal: Principal) -> bool:
        """Another issuer's subjects and sessions are namesakes of ours; its people's rows here are not."""
        if principal.account is None:
            return False
        session = principal.session_id
        if session is not None and foreign_session(principal.issuer, session) in self._live[Revoked.SESSION]:
            return True
        entry = self._live[Revoked.SUBJECT].get(principal.account)
        return entry is not None and principal.epoch < entry[0]

    def is_deaf(self, tick: float) -> bool:
        """Whether the log has been silent too long to vouch for anything."""
        return tick - self.heard_at > self._deaf_after

    def check_heard(self, tick: float) -> None:
        """Refuse to vouch for anything when the log has been silent too long.

        Raises:
            Unavailable: nothing was heard for `deaf_after` seconds.
        """
        if self.is_deaf(tick):
            raise Unavailable("the revocation log has not been heard", silence=self.silence(tick))

    def forget_all(self) -> None:
        """Drop every entry, when the log is another one from now on: a test's new database."""
        self._ends.clear()
        for live in self._live.values():
            live.clear()
        self.revision += 1

    def _forget(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            _, kind, target = heapq.heappop(self._ends)
            entry = self._live[kind].get(target)
            if entry is not None and entry[1] <= now:
                del self._live[kind][target]
