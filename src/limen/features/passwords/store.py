"""SQL of the feature `passwords`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Table, Update, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.db.accounts import Account, UserStore
from limen.db.database import Database
from limen.db.users import UserMixin


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyed:
    """An account and its digest, if it has one."""

    account: Account
    digest: str | None = field(repr=False)


class PasswordStore:
    """Finds and replaces digests."""

    def __init__(self, database: Database, table: Table, users: UserStore[UserMixin]) -> None:
        self._database = database
        self._table = table
        self._users = users
        joined = users.key.table.outerjoin(table, table.c.user_id == users.key)
        columns = (*users.account_columns, table.c.digest.label("password_digest"))
        self._finders = users.finders(select(*columns).select_from(joined))

    async def find(self, canonical: str) -> Keyed | None:
        """The account of this name, its rights and its digest, in one look-up."""
        return await self._find(self._users.name_column(canonical), canonical)

    async def find_of(self, user_id: object) -> Keyed | None:
        """The same by key."""
        return await self._find(self._users.key.name, user_id)

    async def set(self, connection: AsyncConnection, user_id: object, digest: str, *, at: datetime) -> None:
        """Store the digest of a user, new or not, inside a caller's transaction."""
        await connection.execute(delete(self._table).where(self._table.c.user_id == user_id))
        await connection.execute(insert(self._table).values(user_id=user_id, digest=digest, changed_at=at))

    async def add_all(
        self, connection: AsyncConnection, digests: Sequence[tuple[object, str]], *, at: datetime
    ) -> None:
        """Store the digests of users who have none yet, inside the transaction that makes them."""
        rows = [{"user_id": user_id, "digest": digest, "changed_at": at} for user_id, digest in digests]
        if rows:
            await connection.execute(insert(self._table), rows)

    async def sample(self, *, but: str, limit: int) -> tuple[str, ...]:
        """Up to `limit` digests that do not begin with `but`: of what kinds there are."""
        digest = self._table.c.digest
        statement = select(digest).where(~digest.startswith(but, autoescape=True)).limit(limit)
        return tuple(row.digest for row in await self._database.read(statement))

    async def replace(self, connection: AsyncConnection, user_id: object, old: str, new: str, *, at: datetime) -> bool:
        """Replace the digest if it is still `old`: of two changes at once, one holds."""
        statement = self._swap(user_id, old).values(digest=new, changed_at=at).returning(self._table.c.user_id)
        return (await connection.execute(statement)).first() is not None

    async def forget(self, connection: AsyncConnection, user_id: object) -> None:
        """Let a user have no password."""
        await connection.execute(delete(self._table).where(self._table.c.user_id == user_id))

    async def has(self, connection: AsyncConnection, user_id: object) -> bool:
        """Whether a user has one, as it stands inside a caller's transaction."""
        statement = select(self._table.c.user_id).where(self._table.c.user_id == user_id)
        return (await connection.execute(statement)).first() is not None

    async def changed_at(self, user_id: object) -> datetime | None:
        """How old a user's password is; None without one."""
        rows = await self._database.read(select(self._table.c.changed_at).where(self._table.c.user_id == user_id))
        return rows[0].changed_at if rows else None

    async def upgrade(self, user_id: object, old: str, new: str) -> None:
        """Store the same password's digest at today's cost; its age does not change."""
        await self._database.write(self._swap(user_id, old).values(digest=new))

    async def _find(self, column: str, value: object) -> Keyed | None:
        rows = await self._database.read(self._finders[column], {"value": value})
        if not rows:
            return None
        return Keyed(account=self._users.account(rows[0]), digest=rows[0].password_digest)

    def _swap(self, user_id: object, old: str) -> Update:
        return update(self._table).where(self._table.c.user_id == user_id, self._table.c.digest == old)
