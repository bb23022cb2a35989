"""What a user holds: roles and direct permissions, read beside any statement that already finds the user."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.db.tables import Tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the database says a user holds, at version `epoch`; `is_active` is False for a disabled account."""

    roles: frozenset[str] = frozenset()
    permissions: frozenset[str] = frozenset()
    epoch: int = 0
    is_active: bool = True


class RightsStore:
    """Reads and replaces what users hold."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def columns(self, user_id: ColumnElement[object]) -> tuple[ColumnElement[object], ...]:
        """Scalar columns that bring a user's rights along in any SELECT or RETURNING, in the same snapshot."""
        tables = self._tables
        own = select(tables.users.c.rights_epoch).where(tables.user_key == user_id).scalar_subquery()
        active = select(tables.users.c.is_active).where(tables.user_key == user_id).scalar_subquery()
        return (
            own.label("rights_epoch"),
            active.label("rights_active"),
            _joined(tables.user_roles.c.role, tables.user_roles.c.user_id == user_id).label("rights_roles"),
            _joined(tables.user_permissions.c.permission, tables.user_permissions.c.user_id == user_id).label(
                "rights_permissions"
            ),
        )

    @staticmethod
    def held(row: Row[tuple[object, ...]] | Mapping[str, object]) -> Held:
        """The rights in a row that was read with `columns()`."""
        values = row if isinstance(row, Mapping) else row._mapping
        return Held(
            roles=frozenset(str(values["rights_roles"] or "").split()),
            permissions=frozenset(str(values["rights_permissions"] or "").split()),
            epoch=int(str(values["rights_epoch"] or 0)),
            is_active=bool(values["rights_active"]),
        )

    async def replace(
        self,
        connection: AsyncConnection,
        user_id: object,
        *,
        roles: Iterable[str] | None = None,
        permissions: Iterable[str] | None = None,
    ) -> int | None:
        """Replace roles, direct permissions or both and count the change; the new epoch, or None for no such user."""
        epoch = await self._count(connection, user_id)
        if epoch is None:
            return None
        tables = self._tables
        for table, column, names in (
            (tables.user_roles, "role", roles),
            (tables.user_permissions, "permission", permissions),
        ):
            if names is None:
                continue
            await connection.execute(delete(table).where(table.c.user_id == user_id))
            rows = [{"user_id": user_id, column: name} for name in sorted(set(names))]
            if rows:
                await connection.execute(insert(table), rows)
        return epoch

    async def _count(self, connection: AsyncConnection, user_id: object) -> int | None:
        users = self._tables.users
        statement = (
            update(users)
            .where(self._tables.user_key == user_id)
            .values(rights_epoch=users.c.rights_epoch + 1)
            .returning(users.c.rights_epoch)
        )
        epoch: int | None = (await connection.execute(statement)).scalar_one_or_none()
        return epoch


def _joined(column: ColumnElement[str], where: ColumnElement[bool]) -> ColumnElement[object]:
    """The values of a column as one space-separated text; names hold no space."""
    return select(func.aggregate_strings(column, " ")).where(where).scalar_subquery()
