"""SQL of the feature `supabase`. Of any number of workers that would refresh a session, one gets to."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Table, bindparam, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.clock import Clock
from limen.db.database import Database
from limen.db.expired import delete_expired


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A browser's Supabase session as it stands.

    Attributes:
        sealed: its tokens.
        generation: how often they were refreshed.
        refresh_due_at: from when on they should be.
        refresh_begun_at: since when somebody is at it.
        refresh_failed_at: when that went wrong last.
    """

    id: UUID
    user_id: object
    secret_digest: bytes = field(repr=False)
    sealed: bytes = field(repr=False)
    generation: int
    refresh_due_at: datetime
    refresh_begun_at: datetime | None
    refresh_failed_at: datetime | None
    created_at: datetime
    refreshed_at: datetime
    ends_at: datetime


class SupabaseSessionStore:
    """Adds, finds, refreshes and ends sessions."""

    def __init__(self, database: Database, table: Table, *, clock: Clock) -> None:
        self._database = database
        self._table = table
        self._clock = clock
        self._find = select(table).where(table.c.id == bindparam("session"))

    async def add(self, session: StoredSession) -> None:
        """Keep a new one."""
        row = {name: getattr(session, name) for name in StoredSession.__slots__}
        await self._database.write(insert(self._table).values(row))

    async def find(self, session_id: UUID) -> StoredSession | None:
        """The session with this id, over or not."""
        rows = await self._database.read(self._find, {"session": session_id})
        return _session(rows[0]) if rows else None

    async def begin_refresh(self, session: StoredSession, *, lease: timedelta, pause: timedelta) -> bool:
        """Whether the caller is the one to refresh this generation.

        Args:
            lease: after which somebody who began and said nothing more is taken for gone.
            pause: after a failure.
        """
        table, now = self._table, self._clock.now()
        is_free = or_(table.c.refresh_begun_at.is_(None), table.c.refresh_begun_at <= now - lease)
        is_calm = or_(table.c.refresh_failed_at.is_(None), table.c.refresh_failed_at <= now - pause)
        statement = (
            update(table)
            .where(table.c.id == session.id, table.c.generation == session.generation, is_free, is_calm)
            .values(refresh_begun_at=now, refresh_failed_at=None)
            .returning(table.c.id)
        )
        return bool(await self._database.write(statement))

    async def complete_refresh(
        self, session: StoredSession, *, sealed: bytes, due_at: datetime, ends_at: datetime
    ) -> StoredSession | None:
        """Put the successors of this generation's tokens in their place; None if the session ended meanwhile."""
        table = self._table
        statement = (
            update(table)
            .where(table.c.id == session.id, table.c.generation == session.generation)
            .values(
                sealed=sealed,
                generation=table.c.generation + 1,
                refresh_due_at=due_at,
                refresh_begun_at=None,
                refresh_failed_at=None,
                refreshed_at=self._clock.now(),
                ends_at=ends_at,
            )
            .returning(*table.c)
        )
        rows = await self._database.write(statement)
        return _session(rows[0]) if rows else None

    async def fail_refresh(self, session: StoredSession) -> None:
        """Tell whoever waits that it went wrong."""
        table = self._table
        mine = (table.c.id == session.id, table.c.generation == session.generation)
        values = {"refresh_begun_at": None, "refresh_failed_at": self._clock.now()}
        await self._database.write(update(table).where(*mine).values(values))

    async def end(self, connection: AsyncConnection, session_id: UUID) -> bool:
        """Forget a session inside a caller's transaction; False if it was gone."""
        table = self._table
        statement = delete(table).where(table.c.id == session_id).returning(table.c.id)
        return (await connection.execute(statement)).first() is not None

    async def end_all(self, connection: AsyncConnection, user_id: object) -> tuple[StoredSession, ...]:
        """Forget the sessions of a user inside a caller's transaction; what they were."""
        return await self._end(connection, self._table.c.user_id == user_id)

    async def end_some(self, connection: AsyncConnection, *, limit: int) -> tuple[StoredSession, ...]:
        """Forget so many, whoever's, likewise."""
        return await self._end(connection, self._table.c.id.in_(select(self._table.c.id).limit(limit)))

    async def _end(self, connection: AsyncConnection, where: ColumnElement[bool]) -> tuple[StoredSession, ...]:
        rows = (await connection.execute(delete(self._table).where(where).returning(*self._table.c))).all()
        return tuple(map(_session, rows))

    async def purge(self) -> int:
        """Delete what is over."""
        return await delete_expired(self._database, self._table, self._table.c.ends_at <= self._clock.now())


def _session(row: Row[tuple[object, ...]]) -> StoredSession:
    return StoredSession(**{str(name): value for name, value in row._mapping.items()})
