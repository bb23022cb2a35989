"""The unit of work: limen's own short transactions, never the request's (a rollback would undo a theft response)."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Self, TypeVar

import anyio
from sqlalchemy import Engine, Executable, Select, Table, event, select, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from limen.db.engine import create_engine
from limen.db.hot import HotStatement, Record, Statement
from limen.db.pragmas import keep_foreign_keys
from limen.db.server_lane import ServerLane
from limen.db.sqlite_lane import GroupCommit, Rows, SqliteLane, Values, run_on
from limen.errors import ConfigurationError, Conflict, Unavailable, Unprocessable

T = TypeVar("T")

_DOWN = (OperationalError, InterfaceError, PoolTimeout, OSError, TimeoutError, sqlite3.OperationalError)


DEADLINE_SECONDS = 15.0
"""For a statement or transaction on a server, and the wait for a connection: a frozen server answers nobody, and the
client that waits for us has gone by then."""

_is_in_transaction: ContextVar[bool] = ContextVar("limen_is_in_transaction", default=False)
"""A statement of its own inside a transaction would wait for the writer that waits for it."""


class ConstraintViolation(Exception):
    """A row that the database refuses; `constraint` is what the driver said, without the row."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"a constraint refuses the row: {constraint}")
        self.constraint = constraint


class UniqueViolation(ConstraintViolation):
    """A unique value is taken; the slice that knows its own columns says which."""


class WholeConnection(AsyncConnection):
    """A connection whose statements run to their end, whoever cancels the request that sent them.

    A cancellation inside a statement makes SQLAlchemy drop the connection with its transaction still open: SQLite's one
    writer would be locked until the garbage collector finds it.
    """

    async def start(self, is_ctxmanager: bool = False) -> Self:
        try:
            await _to_its_end(super().start(is_ctxmanager))
        except asyncio.CancelledError:
            if self.sync_connection is not None:
                await asyncio.shield(self.close())
            raise
        return self

    async def execute(self, *arguments: Any, **options: Any) -> Any:  # the base class's overloads, passed through
        return await _to_its_end(super().execute(*arguments, **options))


async def _to_its_end(statement: Coroutine[Any, Any, T]) -> T:
    task = asyncio.ensure_future(statement)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # seen, whatever it is: the cancellation goes on
        raise


class Database:
    """Runs statements on the app's own database.

    A statement that stands alone runs in autocommit: one round trip. Several that must hold together run in
    `transaction()`. An outage is `Unavailable` (503), never an answer about a credential.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        if self.is_sqlite:  # an app's own engine too
            event.listen(engine.sync_engine, "connect", keep_foreign_keys)
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        # SQLite has one writer. Within a process they queue here, in order, instead of polling the file's lock.
        self._writers = anyio.Semaphore(1) if self.is_sqlite else None
        self._read_lane: SqliteLane | None = None
        self._write_lane: SqliteLane | None = None
        self._group_commit: GroupCommit | None = None
        self._server_lane = ServerLane(engine, deadline=DEADLINE_SECONDS) if ServerLane.fits(engine) else None

    @classmethod
    def of_url(cls, url: str) -> Self:
        """The database of `LIMEN_DATABASE_URL`, on an engine of limen's own; a SQLite file gets lanes.

        Raises:
            ConfigurationError: the URL cannot be read, or its driver is not installed.
        """
        database = cls(create_engine(url))
        if database._writers is not None and database.engine.url.database not in (None, "", ":memory:"):
            database._read_lane = SqliteLane(database.engine.url, name="limen-read")
            database._write_lane = SqliteLane(database.engine.url, name="limen-write")
            database._group_commit = GroupCommit(database._write_lane, database._writers)
        return database

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Every engine that statements run on; for whoever counts or traces them."""
        lanes = (self._read_lane, self._write_lane)
        return (self.engine.sync_engine, *(lane.engine for lane in lanes if lane is not None))

    async def read(self, statement: Executable, values: Values = None) -> Rows:
        """The rows of one reading statement.

        Args:
            values: of its `bindparam`s. A statement that is built once and given values costs a tenth of one that is
                built for each request.

        Raises:
            Unavailable: the database is down.
        """
        with outages():
            if self._read_lane is not None:
                return await self._read_lane.run(statement, values)
            async with asyncio.timeout(DEADLINE_SECONDS), self._autocommit.connect() as connection:
                return (await connection.execute(statement, values)).all()

    async def write(self, statement: Executable, values: Values = None) -> Rows:
        """Commit one writing statement; the rows are those of its RETURNING.

        Raises:
            Unavailable: the database is down.
            UniqueViolation: a unique value is taken.
        """
        if self._group_commit is not None:
            _refuse_within_transaction()
            with outages():
                return await self._group_commit.call(partial(run_on, statement, values))
        async with self._writing(), self._autocommit.connect() as connection:
            result = await connection.execute(statement, values)
            return result.all() if result.returns_rows else ()

    def hot(self, statement: Statement) -> HotStatement:
        """A statement that is asked again and again, prepared for `run_hot`."""
        return HotStatement(statement, self.engine.dialect)

    async def run_hot(self, hot: HotStatement, values: Mapping[str, object]) -> Sequence[Record]:
        """The rows of a hot statement that stands alone, as values in the order of its `names`.

        Raises:
            Unavailable: the database is down.
        """
        writes = not isinstance(hot.statement, Select)
        if self._server_lane is not None:
            return await self._server_lane.run(hot, values)
        if self._read_lane is None or self._group_commit is None:
            return await (self.write if writes else self.read)(hot.statement, values)
        lane = self._group_commit if writes else self._read_lane
        with outages():
            return await lane.call(partial(hot.run_in_file, values=values))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits when the block ends well.

        Raises:
            Unavailable: the database is down.
            UniqueViolation: a unique value is taken.
        """
        async with self._writing():
            token = _is_in_transaction.set(True)
            try:
                if self.is_sqlite:
                    async with WholeConnection(self._autocommit) as connection, _immediate(connection):
                        yield connection
                else:
                    async with self.engine.begin() as connection:
                        yield connection
            finally:
                _is_in_transaction.reset(token)

    async def check(self, tables: Sequence[Table]) -> None:
        """Refuse to start on a database that cannot be reached or lacks a table or column.

        Raises:
            ConfigurationError: one sentence that names the setting or the command.
        """
        try:
            async with self._autocommit.connect() as connection:
                if not await _has_all(connection, tables):
                    for table in tables:
                        await _probe(connection, table)
        except _DOWN as error:
            raise ConfigurationError(
                f"LIMEN_DATABASE_URL ({self.engine.url.render_as_string(hide_password=True)}) cannot be reached: "
                f"{_driver_words(error)}"
            ) from None

    async def leave(self) -> None:
        """Give back what is held of the engine's connections; it may be the app's own."""
        if self._server_lane is not None:
            await self._server_lane.close()
        for lane in (self._read_lane, self._write_lane):
            if lane is not None:
                lane.close()

    async def dispose(self) -> None:
        """Close every connection."""
        await self.leave()
        await self.engine.dispose()

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        _refuse_within_transaction()
        with outages():
            if self._writers is None:
                async with asyncio.timeout(DEADLINE_SECONDS):
                    yield
            else:
                async with self._writers:
                    yield


def _refuse_within_transaction() -> None:
    if _is_in_transaction.get():
        raise RuntimeError("a write inside a transaction must go through the transaction's connection")


@asynccontextmanager
async def _immediate(connection: AsyncConnection) -> AsyncIterator[None]:
    """BEGIN IMMEDIATE, so that a transaction that read first cannot find the file locked when it writes."""
    try:
        await connection.execute(text("BEGIN IMMEDIATE"))
        yield
        await connection.execute(text("COMMIT"))
    except BaseException:
        await _roll_back(connection)
        raise


async def _roll_back(connection: AsyncConnection) -> None:
    raw = (await connection.get_raw_connection()).driver_connection
    if getattr(raw, "in_transaction", False):
        with anyio.CancelScope(shield=True):
            await connection.execute(text("ROLLBACK"))


@asynccontextmanager
async def trial(connection: AsyncConnection) -> AsyncIterator[None]:
    """Statements that are done and taken back: what the database refuses is refused, and nothing else follows."""
    await connection.execute(text("SAVEPOINT limen_trial"))
    yield
    await connection.execute(text("ROLLBACK TO SAVEPOINT limen_trial"))


@contextmanager
def outages() -> Iterator[None]:
    """Turn what drivers raise into limen's errors; an outage is the same 503 whatever the driver calls it."""
    try:
        yield
    except IntegrityError as error:
        raise _violation(error) from None
    except _DOWN as error:
        raise Unavailable(f"database: {_driver_words(error)}", retry_after=1) from error
    except (DataError, OverflowError) as error:  # too long, too big, a NUL: what models did not limit
        raise Unprocessable(f"a value that the database cannot hold: {type(error).__name__}") from None
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Unavailable(f"database: {_driver_words(error)}", retry_after=1) from error
        raise


def _violation(error: IntegrityError) -> Exception:
    """A value that is taken, or a row that is gone by now (PostgreSQL's SQLSTATE 23503, SQLite's words)."""
    words = _constraint_in(str(error.orig))
    if "FOREIGN KEY" in words or "foreign key" in words:
        return Conflict("what this belongs to is gone")
    return UniqueViolation(words) if "unique" in words.lower() else ConstraintViolation(words)


def _constraint_in(words: str) -> str:
    """What a driver says of a violated constraint, without PostgreSQL's quotation of the row: people choose that."""
    return words.partition(")=(")[0].partition("Failing row contains")[0]


async def _has_all(connection: AsyncConnection, tables: Sequence[Table]) -> bool:
    """Whether every table has its columns, by one statement that reads no row."""
    names = connection.dialect.identifier_preparer
    probes: list[str] = []
    for table in tables:  # a column without its table may be a text to SQLite
        columns = ", ".join(names.format_column(column, use_table=True) for column in table.columns)
        source = names.format_table(table)
        probes.append(f"SELECT 1 FROM (SELECT {columns} FROM {source} LIMIT 0) AS probe")  # noqa: S608 - names
    try:
        await connection.exec_driver_sql(" UNION ALL ".join(probes))
    except (ProgrammingError, OperationalError):
        return False
    return True


async def _probe(connection: AsyncConnection, table: Table) -> None:
    try:
        await connection.execute(select(table).limit(0))
    except (ProgrammingError, OperationalError) as error:
        if isinstance(error, OperationalError) and "no such" not in str(error.orig):
            raise
        raise ConfigurationError(
            f"The database has no up-to-date table {table.name} ({_driver_words(error)}): run `limen migrate`"
        ) from None


def _driver_words(error: BaseException) -> str:
    """What the driver said, on one line, without the statement and its parameters."""
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split())[:300] or type(cause).__name__
