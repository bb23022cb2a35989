"""What a user holds: roles and direct permissions, read beside any statement that already finds the user."""

from collections.abc import Iterable, Mapping

from sqlalchemy import ColumnElement, Row, String, delete, func, insert, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.rights import Held
from limen.db.tables import Tables

_HOLDER = "held_by"
"""What no outer table calls a column. In a RETURNING of SQLite's, `user_id` stands without its table, and a subquery
whose own table had such a column would compare it with itself: everybody's rights would be each one's."""


_SPACE = literal_column("' '", String)


class RightsStore:
    """Reads and replaces what users hold."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def columns(self, user_id: ColumnElement[object]) -> tuple[ColumnElement[object], ...]:
        """Scalar columns that bring a user's rights along in any SELECT or RETURNING, in the same snapshot."""
        tables = self._tables
        roles, permissions = tables.user_roles.c, tables.user_permissions.c
        users = tables.users.c
        facts = (users.rights_epoch, users.is_active, users.is_service)
        state = select(tables.user_key.label(_HOLDER), *facts).subquery("holders")
        own, active, service = (
            select(state.c[fact.key]).where(state.c[_HOLDER] == user_id).scalar_subquery() for fact in facts
        )
        return (
            own.label("held_epoch"),
            active.label("held_active"),
            service.label("held_service"),
            _joined(roles.user_id, roles.role, user_id).label("held_roles"),
            _joined(permissions.user_id, permissions.permission, user_id).label("held_permissions"),
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
            is_service=bool(values["held_service"]),
        )

    async def find(self, connection: AsyncConnection, user_id: object) -> Held | None:
        """What a user holds now, inside a caller's transaction; None without such a user."""
        key = self._tables.user_key
        found = (await connection.execute(select(*self.columns(key)).where(key == user_id))).mappings().one_or_none()
        return None if found is None else self.held({str(name): value for name, value in found.items()})

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

    async def grant_roles(self, connection: AsyncConnection, granted: Iterable[tuple[object, str]]) -> None:
        """Give many new users their roles at once, by their keys, in the transaction that makes them."""
        rows = [{"user_id": user_id, "role": role} for user_id, role in granted]
        if rows:
            await connection.execute(insert(self._tables.user_roles), rows)

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


def _joined(
    holder: ColumnElement[object], name: ColumnElement[str], user_id: ColumnElement[object]
) -> ColumnElement[object]:
    """The names that this user holds as one space-separated text; names hold no space."""
    held = select(holder.label(_HOLDER), name.label("held_name")).subquery("held")
    names = func.aggregate_strings(held.c.held_name, _SPACE)  # type: ignore[arg-type]  # SQL, so that nothing is bound
    return select(names).where(held.c[_HOLDER] == user_id).scalar_subquery()
