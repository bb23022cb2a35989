"""Hot statements: compiled once by SQLAlchemy, run on the driver's own connection.

What every refresh and every `CurrentUser` asks finds one row by its key: microseconds of the database's time, under
SQLAlchemy's execution of several hundred. Only such statements come here, by `Database.hot`; they say what they mean in
SQLAlchemy's words all the same, and its types decide how values go in and come out.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias, cast

from sqlalchemy import ColumnElement, Connection, Dialect, Select
from sqlalchemy.sql.dml import ReturningUpdate

Statement: TypeAlias = Select[tuple[object, ...]] | ReturningUpdate[tuple[object, ...]]
Arguments: TypeAlias = "Sequence[object] | Mapping[str, object]"
Processor = Callable[[object], object]
Record = Sequence[object]


class HotStatement:
    """A statement as one dialect's driver takes it.

    Attributes:
        statement: as it was written.
        text: as the driver takes it.
        names: of the columns of its rows.
    """

    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        binds = {name: bind for bind, name in compiled.bind_names.items()}
        ways_in = {name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in binds.items()}
        ways_out = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in _columns(statement)]
        self.statement = statement
        self.text = str(compiled)
        self.names = tuple(str(column.key) for column in _columns(statement))
        self._order = compiled.positiontup
        self._constants = {name: bind.effective_value for name, bind in binds.items() if not bind.required}
        self._in: dict[str, Processor] = {name: way for name, way in ways_in.items() if way is not None}
        self._out: list[tuple[int, Processor]] = [(i, way) for i, way in enumerate(ways_out) if way is not None]

    def arguments(self, values: Mapping[str, object]) -> Arguments:
        """The values of its `bindparam`s as the driver takes them: in order, or by name."""
        given = {**self._constants, **values}
        for name, way in self._in.items():
            given[name] = way(given[name])
        return given if self._order is None else [given[name] for name in self._order]

    def records(self, rows: Iterable[Sequence[object]]) -> list[Record]:
        """The rows of the driver as Python values, in the order of `names`."""
        return [self._record(row) for row in rows]

    def run_in_file(self, connection: Connection, values: Mapping[str, object]) -> list[Record]:
        """Run it on a connection to a SQLite file, in that connection's thread."""
        raw = cast("sqlite3.Connection", connection.connection.dbapi_connection)
        return self.records(raw.execute(self.text, self.arguments(values)).fetchall())

    def _record(self, row: Sequence[object]) -> Record:
        record = list(row)
        for index, way in self._out:
            record[index] = way(record[index])
        return record


def _columns(statement: Statement) -> Sequence[ColumnElement[object]]:
    return [cast("ColumnElement[object]", column) for column in statement.exported_columns]
