"""When sessions and keys were last used: noted in memory on the request's way, written once a minute beside it."""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Update, case, update

from limen.core.clock import Clock
from limen.core.opaque import parse_uuid
from limen.core.principal import Principal
from limen.db.database import Database
from limen.db.sessions import Lifetimes
from limen.db.tables import Tables

MAX_NOTED = 100_000
ONCE_IN_SECONDS = 60.0
_PER_STATEMENT = 500

Touch = Callable[[Sequence[str], datetime], Update]
"""The statement that writes a moment as the last use of what has these ids."""


class LastSeen:
    """Collects what is in use; a cookie's idle time starts anew with each writing.

    Attributes:
        round: another object after each writing; what was noted in this one need not be noted again.
    """

    def __init__(self, database: Database, tables: Tables, *, clock: Clock, lifetimes: Lifetimes, issuer: str) -> None:
        """
        Args:
            issuer: whose sessions these are; another issuer's are no one's namesakes.
        """
        self._issuer = issuer
        self._database = database
        self._table = tables.sessions
        self._clock = clock
        self._lifetimes = lifetimes
        self._sessions: set[str] = set()
        self._written: set[str] = set()
        self._minute_began = 0.0
        self._credentials: dict[str, set[str]] = {}
        self._touches: dict[str, Touch] = {}
        self.round: object = object()

    def watch(self, credential: str, touch: Touch) -> None:
        """Collect credentials of this kind (`api_key`) too, those that belong to no session."""
        self._credentials[credential] = set()
        self._touches[credential] = touch

    def note(self, principal: Principal) -> None:
        """A request came with this session or credential; costs one look at a set."""
        if principal.issuer != self._issuer:
            return
        if principal.session_id is not None:
            seen, key = self._sessions, principal.session_id
        elif principal.credential_id is not None and principal.credential in self._credentials:
            seen, key = self._credentials[principal.credential], principal.credential_id
        else:
            return
        if len(seen) < MAX_NOTED:
            seen.add(key)

    async def write(self) -> None:
        """Write what was noted; what was written within the last minute waits for the next."""
        self.round = object()
        if self._clock.time() - self._minute_began >= ONCE_IN_SECONDS:
            self._minute_began = self._clock.time()
            self._written.clear()
        self._sessions, sessions = self._sessions & self._written, self._sessions - self._written
        await self._write(sessions, self._touch_sessions)
        for credential, touch in self._touches.items():
            seen = self._credentials[credential]
            self._credentials[credential] = seen & self._written
            await self._write(seen - self._written, touch)

    async def _write(self, seen: set[str], touch: Touch) -> None:
        now, keys = self._clock.now(), sorted(seen)
        for start in range(0, len(keys), _PER_STATEMENT):
            await self._database.write(touch(keys[start : start + _PER_STATEMENT], now))
        self._written |= seen

    def _touch_sessions(self, keys: Sequence[str], now: datetime) -> Update:
        table = self._table
        ids = [key for key in map(parse_uuid, keys) if key is not None]
        slid = now + self._lifetimes.idle
        until = case(
            (table.c.carrier != "cookie", table.c.idle_ends_at),  # tokens slide when they are refreshed
            (table.c.ends_at < slid, table.c.ends_at),
            else_=slid,
        )
        live = (table.c.ended_at.is_(None), table.c.idle_ends_at > now)
        return update(table).where(table.c.id.in_(ids), *live).values(last_seen_at=now, idle_ends_at=until)
