"""Instances of the app's user class, made from one narrow read.

An ORM session costs more than the read itself. Where the mapping is plain, limen reads the columns and builds the
detached instance that a session would have left; where it is not, a session does it.
"""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from sqlalchemy import ColumnElement, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from limen.db.database import Database, outages
from limen.db.hot import Record
from limen.db.users import UserMixin

U = TypeVar("U", bound=UserMixin)

_EAGER = frozenset({"joined", "subquery", "selectin", "immediate"})


class InstanceLoader(Generic[U]):
    """Loads detached instances of one mapped class.

    Args:
        where: the condition that finds one, with `bindparam`s for what `load` is given.
    """

    def __init__(self, database: Database, model: type[U], where: ColumnElement[bool]) -> None:
        self._database = database
        mapper: Mapper[U] = inspect(model)
        self._names = tuple(prop.key for prop in mapper.column_attrs)
        columns = (prop.columns[0] for prop in mapper.column_attrs)
        self._read = database.hot(select(*columns).where(where))
        self._read_by_session = select(model).where(where)
        self._new: Callable[[], U] = mapper.class_manager.new_instance
        self._is_plain = _is_plain(mapper)

    async def load(self, **values: object) -> U | None:
        """The one instance that these values find.

        Raises:
            Unavailable: the database is down.
        """
        if not self._is_plain:
            return await self._load_by_session(values)
        rows = await self._database.run_hot(self._read, values)
        return self._build(rows[0]) if rows else None

    def _build(self, row: Record) -> U:
        instance = self._new()
        for name, value in zip(self._names, row, strict=True):
            set_committed_value(instance, name, value)
        make_transient_to_detached(instance)
        return instance

    async def _load_by_session(self, values: Mapping[str, object]) -> U | None:
        with outages():
            async with AsyncSession(self._database.engine, expire_on_commit=False) as session:
                instance: U | None = await session.scalar(self._read_by_session, values)
                session.expunge_all()
                return instance


def _is_plain(mapper: Mapper[U]) -> bool:
    """One table, no inheritance, nothing that is loaded along."""
    eager = any(relationship.lazy in _EAGER for relationship in mapper.relationships)
    deferred = any(prop.deferred or len(prop.columns) != 1 for prop in mapper.column_attrs)
    return not (eager or deferred or mapper.inherits or mapper.polymorphic_on is not None or len(mapper.tables) != 1)
