"""Rows of another app's table, read in the order of its key: each batch is a query of its own.

Nothing stays open between two batches, so the other app may live in the very database that limen writes to.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, ColumnElement, Connection, Engine, Select, create_engine, event, inspect, make_url, select
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, NoSuchTableError, SQLAlchemyError

from limen.errors import ConfigurationError
from limen.features.imports.sources.rows import BATCH, Raw, Row

T = TypeVar("T")

_DRIVERS = {"sqlite": "sqlite", "postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
IDENTITIES = "identities"
_OF_IDENTITIES = ("provider", "provider_id", "id", "email", "providerId", "accountId", "account_id", "password")


class DatabaseRows:
    """The rows of one table; of a SQLite file nothing but reading is possible.

    Args:
        table: its name, with `schema.` before it where it is not in the usual one.
        identities: a table whose rows belong to users by their `user_id` or `userId`; each row brings its own along as
            `identities`.

    Raises:
        ConfigurationError: the URL cannot be read, or its driver is not installed.
    """

    def __init__(self, url: str, *, table: str, identities: str | None = None) -> None:
        self._engine = _open(url)
        self._schema, _, self._table = table.rpartition(".")
        self._identities = identities
        self._columns: tuple[str, ...] = ()
        self._key = ""
        self.name = f"{table} of {self._engine.url.render_as_string(hide_password=True)}"

    async def columns(self) -> frozenset[str]:
        await asyncio.to_thread(self._asking, self._look)
        return frozenset(self._columns)

    async def batches(self) -> AsyncIterator[Sequence[Row]]:
        if not self._key:
            await self.columns()
        number = 0
        after: object = None
        try:
            while found := await asyncio.to_thread(self._asking, partial(self._read, after=after)):
                after = found[-1][self._key]
                yield [Row(number + place, raw) for place, raw in enumerate(found, start=1)]
                number += len(found)
        finally:
            self._engine.dispose()

    def _asking(self, question: Callable[[Connection], T]) -> T:
        try:
            with self._engine.connect() as connection:
                return question(connection)
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise ConfigurationError(f"{self.name} cannot be read: {_words(error)}") from None

    def _look(self, connection: Connection) -> None:
        schema = self._schema or None
        inspector = inspect(connection)
        try:
            self._columns = tuple(str(each["name"]) for each in inspector.get_columns(self._table, schema=schema))
            keys = inspector.get_pk_constraint(self._table, schema=schema)["constrained_columns"]
        except NoSuchTableError:
            there_are = ", ".join(sorted(inspector.get_table_names(schema=schema))[:20]) or "none"
            raise ConfigurationError(f"{self.name}: there is no such table (there are: {there_are})") from None
        if len(keys) != 1:
            raise ConfigurationError(f"{self.name}: the table needs a primary key of one column to be read in order")
        self._key = keys[0]

    def _read(self, connection: Connection, *, after: object) -> list[dict[str, object]]:
        # Columns without types: what the driver hands over is read row by row, and a damaged value spoils only its own.
        names: list[ColumnElement[object]] = [sql_column(name) for name in self._columns]
        key: ColumnElement[object] = sql_column(self._key)
        origin = sql_table(self._table, schema=self._schema or None)
        statement: Select[*tuple[Any, ...]] = select(*names).select_from(origin)
        statement = statement.order_by(key).limit(BATCH)
        if after is not None:
            statement = statement.where(key > after)
        found = [{str(name): value for name, value in row.items()} for row in connection.execute(statement).mappings()]
        return self._with_identities(connection, found) if self._identities else found

    def _with_identities(self, connection: Connection, rows: list[dict[str, object]]) -> list[dict[str, object]]:
        schema, _, name = str(self._identities).rpartition(".")
        there = {str(each["name"]) for each in inspect(connection).get_columns(name, schema=schema or None)}
        belongs_by = "userId" if "userId" in there else "user_id"
        owner: ColumnElement[object] = sql_column(belongs_by)
        columns: list[ColumnElement[object]] = [
            sql_column(each) for each in (belongs_by, *_OF_IDENTITIES) if each in there
        ]
        statement: Select[*tuple[Any, ...]] = select(*columns).select_from(sql_table(name, schema=schema or None))
        statement = statement.where(owner.in_([row[self._key] for row in rows]))
        owned: dict[object, list[Raw]] = {}
        for found in connection.execute(statement).mappings():
            owned.setdefault(found[belongs_by], []).append({str(key): value for key, value in found.items()})
        return [{**row, IDENTITIES: owned.get(row[self._key], [])} for row in rows]


def _open(url: str) -> Engine:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        parsed = parsed.set(drivername=_DRIVERS.get(backend, parsed.drivername))
        return _sqlite(parsed) if backend == "sqlite" else create_engine(parsed, hide_parameters=True)
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigurationError(f"--from cannot be read as a database URL: {type(error).__name__}") from None
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"--from needs the driver {error.name}, which is not installed") from None


def _sqlite(url: URL) -> Engine:
    path = Path(url.database or "")
    if not path.is_file():
        raise ConfigurationError(f"--from: there is no file {path}")
    query = {"mode": "ro", "uri": "true"}
    engine = create_engine(URL.create("sqlite", database=path.absolute().as_uri(), query=query), hide_parameters=True)
    event.listen(engine, "connect", _read_any_text)
    return engine


def _read_any_text(connection: sqlite3.Connection, _record: object) -> None:
    """One text that is not UTF-8 would fail a whole batch; its bytes are marked instead, and its own row is refused."""
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")


def _words(error: BaseException) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(cause).split())[:300] or type(error).__name__
