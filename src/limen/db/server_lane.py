"""A lane to PostgreSQL: a few connections that are held, on which hot statements run prepared, in one round trip."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol, cast, runtime_checkable

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool

from limen.db.hot import Arguments, HotStatement, Record
from limen.db.notifications import can_notify
from limen.errors import AuthError, Unavailable, Unprocessable

Rows = Sequence[Sequence[object]]

MOST_HELD = 4
"""Connections. A quarter of the pool at most, so that whoever else needs one gets it."""

# PostgreSQL, appendix A: the class of a bad value, that of a bad statement, and a prepared one whose table was changed.
DATA, PROGRAMMING, PLAN_IS_STALE = "22", "42", "0A000"


class ServerLane:
    """Runs hot statements on the driver's own connections, taken from SQLAlchemy's pool and kept.

    Args:
        deadline: seconds for a statement and the wait for a connection.
    """

    def __init__(self, engine: AsyncEngine, *, deadline: float) -> None:
        self._pool_of = engine
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._deadline = deadline
        self._idle: list[_Held] = []
        self._free = asyncio.Semaphore(_most_held(engine))

    @staticmethod
    def fits(engine: AsyncEngine) -> bool:
        """Whether the engine's driver is known here, and its pool large enough to hold something back."""
        return can_notify(engine) and _most_held(engine) > 0

    async def run(self, hot: HotStatement, values: Mapping[str, object]) -> list[Record]:
        """The rows of a statement that stands alone; a connection that broke while it was idle is replaced.

        Every hot statement may be sent again: it reads, or it changes a row only from the state that it names.

        Raises:
            Unavailable: the database is down.
            Unprocessable: a value that it cannot hold.
        """
        arguments = hot.arguments(values)
        try:
            async with asyncio.timeout(self._deadline), self._free:
                rows = await self._fetch(hot.text, arguments)
        except Exception as error:  # every driver has its own words for it
            meaning = _meaning_of(error)
            if meaning is None:
                raise
            raise meaning from error
        return hot.records(rows)

    async def close(self) -> None:
        """Give the connections back, those in use after their statement; a later statement takes new ones."""
        idle, self._idle = self._idle, []
        for held in idle:
            await held.give_back()

    async def _fetch(self, text: str, arguments: Arguments) -> Rows:
        if self._idle:
            held = self._idle.pop()
            try:
                return await self._fetch_on(held, text, arguments)
            except Exception as error:
                if held.is_broken:  # the server was away: what waits in the pool is broken too
                    await self._pool_of.dispose()
                elif _state_of(error) != PLAN_IS_STALE:
                    raise
        return await self._fetch_on(await self._open(), text, arguments)

    async def _fetch_on(self, held: "_Held", text: str, arguments: Arguments) -> Rows:
        idle = self._idle
        try:
            rows = await held.fetch(text, arguments)
        except BaseException:
            await held.drop()  # half an answer may be under way on it
            raise
        if idle is self._idle:
            idle.append(held)
        else:  # closed meanwhile
            await held.give_back()
        return rows

    async def _open(self) -> "_Held":
        connection = await self._engine.connect()
        try:
            return _Held(connection, (await connection.get_raw_connection()).driver_connection)
        except BaseException:
            await asyncio.shield(connection.close())
            raise


class _Held:
    """A connection that is not given back after each statement."""

    def __init__(self, connection: AsyncConnection, driver: object) -> None:
        self._connection = connection
        self._driver = driver
        self._prepared: dict[str, _Prepared] = {}
        self.is_broken = False

    async def fetch(self, text: str, arguments: Arguments) -> Rows:
        if isinstance(self._driver, _Psycopg):
            return await (await self._driver.execute(text, arguments, prepare=True)).fetchall()
        prepared = self._prepared.get(text)
        if prepared is None:
            prepared = self._prepared[text] = await cast("_Asyncpg", self._driver).prepare(text)
        return await prepared.fetch(*arguments)

    async def drop(self) -> None:
        driver = self._driver
        self.is_broken = driver.closed if isinstance(driver, _Psycopg) else cast("_Asyncpg", driver).is_closed()
        await asyncio.shield(self._connection.invalidate())
        await asyncio.shield(self._connection.close())

    async def give_back(self) -> None:
        await self._connection.close()


def _most_held(engine: AsyncEngine) -> int:
    pool = engine.sync_engine.pool
    return min(MOST_HELD, pool.size() // 2) if isinstance(pool, QueuePool) else 0


def _meaning_of(error: Exception) -> AuthError | None:
    """What limen says of a driver's error; nothing of one that only a mistake in the statement can bring."""
    state = _state_of(error)
    if state.startswith(DATA) or type(error).__name__ == "DataError":  # the drivers' own, before anything is sent
        return Unprocessable(f"a value that the database cannot hold: {type(error).__name__}")
    if state.startswith(PROGRAMMING):
        return None
    return Unavailable(f"database: {type(error).__name__}: {error}"[:300], retry_after=1)


def _state_of(error: Exception) -> str:
    return getattr(error, "sqlstate", None) or ""


class _Cursor(Protocol):
    async def fetchall(self) -> Rows: ...


class _Prepared(Protocol):
    async def fetch(self, *arguments: object) -> Rows: ...


@runtime_checkable
class _Psycopg(Protocol):
    closed: bool

    async def execute(self, query: str, params: Arguments, *, prepare: bool) -> _Cursor: ...
    def notifies(self) -> object: ...  # asyncpg has an `execute` of another shape


class _Asyncpg(Protocol):
    def is_closed(self) -> bool: ...
    async def prepare(self, query: str) -> _Prepared: ...
