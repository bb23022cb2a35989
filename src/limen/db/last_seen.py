"""When sessions were last used: noted in memory on the request's way, written once a minute beside it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Update, case, update

from limen.core.clock import Clock
from limen.core.opaque import parse_uuid
from limen.core.principal import Principal
from limen.db.database import Database
from limen.db.sessions import Lifetimes
from limen.db.tables import Tables

MAX_NOTED = 100_000
_PER_STATEMENT = 500


class LastSeen:
    """Collects the sessions in use; a cookie's idle time starts anew with each writing."""

    def __init__(self, database: Database, tables: Tables, *, clock: Clock, lifetimes: Lifetimes) -> None:
        self._database = database
        self._table = tables.sessions
        self._clock = clock
        self._lifetimes = lifetimes
        self._seen: set[str] = set()

    def note(self, principal: Principal) -> None:
        """A request came with this session; costs one look at a set."""
        if principal.session_id is not None and len(self._seen) < MAX_NOTED:
            self._seen.add(principal.session_id)

    async def write(self) -> None:
        """Write what was noted since the last time."""
        seen, self._seen = self._seen, set()
        now = self._clock.now()
        ids = [key for key in map(parse_uuid, sorted(seen)) if key is not None]
        for start in range(0, len(ids), _PER_STATEMENT):
            await self._database.write(self._touch(ids[start : start + _PER_STATEMENT], now))

    def _touch(self, ids: list[UUID], now: datetime) -> Update:
        table = self._table
        slid = now + self._lifetimes.idle
        until = case(
            (table.c.carrier != "cookie", table.c.idle_ends_at),  # tokens slide when they are refreshed
            (table.c.ends_at < slid, table.c.ends_at),
            else_=slid,
        )
        live = (table.c.ended_at.is_(None), table.c.idle_ends_at > now)
        return update(table).where(table.c.id.in_(ids), *live).values(last_seen_at=now, idle_ends_at=until)
