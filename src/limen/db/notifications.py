"""PostgreSQL's LISTEN/NOTIFY: tells followers that the log has grown, so that they need not wait for their next poll.

A notification says nothing but "look": the log is the truth, and one that gets lost is caught by the poll.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol, runtime_checkable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_log = logging.getLogger("limen.revocations")

CHANNEL = "limen_revocations"
RECONNECT_SECONDS = 1.0


def can_notify(engine: AsyncEngine) -> bool:
    """Whether the engine's driver is one that limen can listen with."""
    return engine.dialect.name == "postgresql" and engine.dialect.driver in ("psycopg", "asyncpg")


async def notify(connection: AsyncConnection) -> None:
    """Wake the followers when this transaction commits."""
    await connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})


async def listen(engine: AsyncEngine, wake: Callable[[], None]) -> None:
    """Call `wake` at every notification, for ever; after a lost connection too, for what it missed."""
    while True:
        try:
            async with _listening(engine) as connection:
                wake()
                await _until_lost(connection, wake)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # whatever the driver calls it, the poll goes on meanwhile
            _log.info("LISTEN is interrupted: %s", type(error).__name__)
        await asyncio.sleep(RECONNECT_SECONDS)


@asynccontextmanager
async def _listening(engine: AsyncEngine) -> AsyncIterator[object]:
    """The driver's own connection, listening; it is closed afterwards, never given back to the pool."""
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        try:
            await connection.execute(text(f"LISTEN {CHANNEL}"))
            yield (await connection.get_raw_connection()).driver_connection
        finally:
            await connection.invalidate()


async def _until_lost(connection: object, wake: Callable[[], None]) -> None:
    if isinstance(connection, _Psycopg):
        async for _ in connection.notifies():
            wake()
    elif isinstance(connection, _Asyncpg):
        lost = asyncio.Event()
        connection.add_termination_listener(lambda *_: lost.set())
        await connection.add_listener(CHANNEL, lambda *_: wake())
        await lost.wait()


@runtime_checkable
class _Psycopg(Protocol):
    def notifies(self) -> AsyncIterator[object]: ...


@runtime_checkable
class _Asyncpg(Protocol):
    def add_termination_listener(self, callback: Callable[..., None]) -> None: ...
    async def add_listener(self, channel: str, callback: Callable[..., None]) -> None: ...
