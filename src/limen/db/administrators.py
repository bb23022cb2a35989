"""The last active holder of `*` stays: nobody can lock everyone out of the administration.

Whatever could take `*` from somebody locks the rows of all who hold it first, in one order, and looks afterwards
whether somebody is left. Two administrators who demote each other at the same moment so wait for each other.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from sqlalchemy import ColumnElement, and_, exists, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.roles import Role
from limen.db.tables import Tables
from limen.errors import LastAdmin

EVERYTHING = "*"


class Administrators:
    """Knows the active users who hold `*`, by a role or directly, and keeps one of them."""

    def __init__(self, tables: Tables, roles: Iterable[Role]) -> None:
        self._tables = tables
        self._roles = tuple(sorted(role.name for role in roles if EVERYTHING in role.permissions))

    @asynccontextmanager
    async def keep_one(self, connection: AsyncConnection, user_id: object) -> AsyncIterator[None]:
        """Around a change of this user's that may take `*` from them, in the transaction that the change is part of.

        Raises:
            LastAdmin: nobody who is active would hold `*` any more.
        """
        await self._lock(connection, user_id)
        # Asked anew after the locks were waited for: the locking statement saw the rights of before.
        there_was_one = await self._is_there_one(connection)
        yield
        if there_was_one and not await self._is_there_one(connection):
            raise LastAdmin("nobody active would hold * any more", user=user_id)

    async def _lock(self, connection: AsyncConnection, user_id: object) -> None:
        key = self._tables.user_key
        statement = select(key).where(or_(key == user_id, self._is_one())).order_by(key)
        await connection.execute(statement.with_for_update(key_share=True))  # sign-ins need not wait for it

    async def _is_there_one(self, connection: AsyncConnection) -> bool:
        statement = select(self._tables.user_key).where(self._is_one()).limit(1)
        return (await connection.execute(statement)).first() is not None

    def _is_one(self) -> ColumnElement[bool]:
        tables = self._tables
        key, roles, permissions = tables.user_key, tables.user_roles.c, tables.user_permissions.c
        by_role = exists().where(roles.user_id == key, roles.role.in_(self._roles))
        directly = exists().where(permissions.user_id == key, permissions.permission == EVERYTHING)
        can_sign_in = and_(tables.users.c.is_active, not_(tables.users.c.is_service))
        return and_(can_sign_in, or_(by_role, directly))
