"""What a user holds: roles and direct permissions, read beside any statement that already finds the user."""

from collections.abc import Iterable, Mapping

from sqlalchemy import ColumnElement, Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.rights import Held
from limen.db.tables import Tables


class RightsStore:
    """Reads and replaces what users hold."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def columns(self, user_id: ColumnElement[object]) -> tuple[ColumnElement[object], ...]:
        """Scalar columns that bring a user's rights along in any SELECT or RETURNING, in the same snapshot."""
        tables = self._tables
        holder = tables.users.alias("holder")  # the statement may itself be about users: theirs is another row source
        is_theirs = holder.c[tables.user_key.key] == user_id
        own = select(holder.c.rights_epoch).where(is_theirs).scalar_subquery()
        active = select(holder.c.is_active).where(is_theirs).scalar_subquery()
        return (
            own.label("held_epoch"),
            active.label("held_active"),
            _joined(tables.user_roles.c.role, tables.user_roles.c.user_id == user_id).label("held_roles"),
            _joined(tables.user_permissions.c.permission, tables.user_permissions.c.user_id == user_id).label(
                "held_permissions"
            ),
        )

    @staticmethod
    def held(row: Row[tuple[object, ...]] | Mapping[str, object]) -> Held:
        """The rights in a row that was read with `columns()`."""
        values = row if isinstance(row, Mapping) else row._mapping
        return Held(
            roles=frozenset(str(values["held_roles"] or "").split()),
            permissions=frozenset(str(values["held_permissions"] or "").split()),
            epoch=int(str(values["held_epoch"] or 0)),
            is_active=bool(values["held_active"]),
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
        epoch = await self.count(connection, user_id)
        if epoch is None:
            return None
        tables = self._tables
        for table, names in ((tables.user_roles, roles), (tables.user_permissions, permissions)):
            if names is not None:
                await connection.execute(delete(table).where(table.c.user_id == user_id))
        await self.grant(connection, user_id, roles=roles or (), permissions=permissions or ())
        return epoch

    async def grant(
        self,
        connection: AsyncConnection,
        user_id: object,
        *,
        roles: Iterable[str] = (),
        permissions: Iterable[str] = (),
    ) -> None:
        """Give a user what they do not hold yet, in the transaction that makes or cleared them."""
        tables = self._tables
        for table, column, names in (
            (tables.user_roles, "role", roles),
            (tables.user_permissions, "permission", permissions),
        ):
            rows = [{"user_id": user_id, column: name} for name in sorted(set(names))]
            if rows:
                await connection.execute(insert(table), rows)

    async def count(self, connection: AsyncConnection, user_id: object) -> int | None:
        """Count a change of a user's rights; the new epoch, or None without such a user."""
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
