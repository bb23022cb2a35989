"""A lane to PostgreSQL: a few connections that are held, on which hot statements run prepared, in one round trip."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol, cast, runtime_checkable

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool

from limen.db.hot import Arguments, HotStatement, Record
from limen.db.notifications import can_notify
from limen.errors import Unavailable

MOST_HELD = 4
"""Connections. A quarter of the pool at most, so that whoever else needs one gets it."""


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
        """
        arguments = hot.arguments(values)
        try:
            async with asyncio.timeout(self._deadline), self._free:
                if self._idle:
                    held = self._idle.pop()
                    try:
                        return hot.records(await self._run_on(held, hot.text, arguments))
                    except Exception:
                        if held.is_broken:  # the server was away: what waits in the pool is broken too
                            await self._pool_of.dispose()
                return hot.records(await self._run_on(await self._open(), hot.text, arguments))
        except Exception as error:  # every driver has its own words for it
            raise Unavailable(f"database: {type(error).__name__}: {error}"[:300]) from error

    async def close(self) -> None:
        """Give the connections back; a later statement takes new ones."""
        idle, self._idle = self._idle, []
        for held in idle:
            await held.give_back()

    async def _run_on(self, held: "_Held", text: str, arguments: Arguments) -> Sequence[Sequence[object]]:
        try:
            rows = await held.fetch(text, arguments)
        except BaseException:
            await held.drop()  # half an answer may be under way on it
            raise
        self._idle.append(held)
        return rows

    async def _open(self) -> "_Held":
        connection = await self._engine.connect()
        return _Held(connection, (await connection.get_raw_connection()).driver_connection)


class _Held:
    """A connection that is not given back after each statement."""

    def __init__(self, connection: AsyncConnection, driver: object) -> None:
        self._connection = connection
        self._driver = driver
        self._prepared: dict[str, _Prepared] = {}
        self.is_broken = False

    async def fetch(self, text: str, arguments: Arguments) -> Sequence[Sequence[object]]:
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


class _Rows(Protocol):
    async def fetchall(self) -> Sequence[Sequence[object]]: ...


class _Prepared(Protocol):
    async def fetch(self, *arguments: object) -> Sequence[Sequence[object]]: ...


@runtime_checkable
class _Psycopg(Protocol):
    closed: bool

    async def execute(self, query: str, params: Arguments, *, prepare: bool) -> _Rows: ...
    def notifies(self) -> object: ...  # asyncpg has an `execute` of another shape


class _Asyncpg(Protocol):
    def is_closed(self) -> bool: ...
    async def prepare(self, query: str) -> _Prepared: ...
