"""Lanes to a SQLite file: one connection, one thread, one hop for each statement.

SQLAlchemy's asyncio layer over aiosqlite crosses to its thread for every step of a statement (execute, fetch, close,
reset): 0.7 ms for a read of 0.004 ms. Here the whole statement runs in the thread, by SQLAlchemy's ordinary engine, in
0.1 ms. Only statements that stand alone come here; transactions stay with the asyncio engine.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar, cast

import anyio
from sqlalchemy import URL, Connection, Executable, Row, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from limen.db.pragmas import prepare_sqlite

Rows = Sequence[Row[tuple[object, ...]]]
Values = Mapping[str, object] | None
T = TypeVar("T")

MOST_AT_ONCE = 64
"""Statements that are committed together; those that wait longer for it go with the next."""


class SqliteLane:
    """Runs single statements on one SQLite file, in the order in which they come.

    Args:
        url: of a file; a database in memory belongs to its one connection.
        name: of the thread.
    """

    def __init__(self, url: URL, *, name: str) -> None:
        sync_url = url.set(drivername="sqlite")
        self.engine = create_engine(
            sync_url, poolclass=StaticPool, hide_parameters=True, connect_args={"check_same_thread": False}
        )
        event.listen(self.engine, "connect", prepare_sqlite)
        self._name = name
        self._threads: ThreadPoolExecutor | None = None
        self._connection: Connection | None = None

    async def run(self, statement: Executable, values: Values = None) -> Rows:
        """The rows of a statement that stands alone."""
        return await self.call(partial(run_on, statement, values))

    async def call(self, work: Callable[[Connection], T]) -> T:
        """What `work` answers, done in the lane's thread on its connection."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._on_connection, work)

    def close(self) -> None:
        """End the thread and close the connection; a later statement begins anew."""
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.engine.dispose()

    def _on_connection(self, work: Callable[[Connection], T]) -> T:
        if self._connection is None:
            self._connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        return work(self._connection)


class _Waiting(NamedTuple):
    """What is to be written, and who waits for what it answers."""

    work: Callable[[Connection], object]
    answer: "asyncio.Future[object]"


class GroupCommit:
    """Commits the writes that wait at the same time together: what a commit costs is the disk's answer, once.

    Each is answered after the commit that it was part of. One that is refused is refused alone.

    Args:
        writers: whose turn it is to write, in this process.
    """

    def __init__(self, lane: SqliteLane, writers: anyio.Semaphore) -> None:
        self._lane = lane
        self._writers = writers
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def call(self, work: Callable[[Connection], T]) -> T:
        """What `work`, one writing statement, answers; it is committed then."""
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(work, answer))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._commit_all())
        return cast("T", await answer)

    async def _commit_all(self) -> None:
        while self._waiting:
            async with self._writers:
                group, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                try:
                    outcomes = await self._lane.call(partial(_commit, group))
                except Exception as error:  # nothing of it was committed
                    outcomes = [error] * len(group)
            for each, outcome in zip(group, outcomes, strict=True):
                _tell(each.answer, outcome)


def run_on(statement: Executable, values: Values, connection: Connection) -> Rows:
    """The rows of one statement."""
    result = connection.execute(statement, values)
    return result.all() if result.returns_rows else ()


def _commit(group: Sequence[_Waiting], connection: Connection) -> list[object]:
    if len(group) == 1:
        return [group[0].work(connection)]
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        outcomes = [_attempt(each.work, connection) for each in group]
        connection.exec_driver_sql("COMMIT")
    except BaseException:
        with contextlib.suppress(SQLAlchemyError):
            connection.exec_driver_sql("ROLLBACK")
        raise
    return outcomes


def _attempt(work: Callable[[Connection], object], connection: Connection) -> object:
    try:
        return work(connection)
    except Exception as error:
        if not getattr(connection.connection.dbapi_connection, "in_transaction", False):
            raise
        return error  # SQLite takes back this statement alone, or it never came to it; the others are not its affair


def _tell(answer: "asyncio.Future[object]", outcome: object) -> None:
    if answer.done():  # who waited has gone
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
