"""SQL of the feature `services`."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from sqlalchemy import ColumnElement, Row, Table, and_, case, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.rights import Held
from limen.db.accounts import Account, UserStore
from limen.db.database import Database
from limen.db.expired import delete_expired
from limen.db.rights import RightsStore
from limen.db.users import UserMixin

Method: TypeAlias = Literal["client_secret", "private_key_jwt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCredential:
    """A secret or key of a service account, with its rights in the same snapshot.

    Attributes:
        public_key: as a JWK in JSON, for `private_key_jwt`.
    """

    id: str
    user_id: object
    method: Method
    secret_digest: bytes | None = field(default=None, repr=False)
    public_key: str | None = None
    created_at: datetime
    expires_at: datetime | None = None
    ended_at: datetime | None = None
    held: Held

    @property
    def subject(self) -> str:
        """The service account's id as text: its `client_id`."""
        return str(self.user_id)

    def is_live(self, now: datetime) -> bool:
        """Whether it has neither been taken back nor run out."""
        return self.ended_at is None and (self.expires_at is None or now < self.expires_at)


class ServiceStore:
    """Finds service accounts; adds, finds and ends their credentials."""

    def __init__(self, database: Database, table: Table, *, users: UserStore[UserMixin], rights: RightsStore) -> None:
        self._database = database
        self._table = table
        self._users = users
        self._rights = rights
        self._accounts = users.key.table

    async def list_accounts(self) -> tuple[Account, ...]:
        """Every service account, by name."""
        accounts = self._accounts.c
        statement = select(*self._users.account_columns).where(accounts.is_service)
        rows = await self._database.read(statement.order_by(accounts.username_canonical))
        return tuple(map(self._users.account, rows))

    async def find(self, credential_id: str) -> ServiceCredential | None:
        """The credential of this id: one indexed read."""
        found = await self._select(self._table.c.id == credential_id)
        return found[0] if found else None

    async def live_of(self, user_id: object, now: datetime) -> tuple[ServiceCredential, ...]:
        """The credentials that a service account can use, the oldest first."""
        return await self._select(and_(self._table.c.user_id == user_id, self._is_live(now)))

    async def lock(self, connection: AsyncConnection, user_id: object) -> None:
        """Let no other transaction add credentials of this account meanwhile."""
        statement = select(self._users.key).where(self._users.key == user_id)
        await connection.execute(statement.with_for_update(key_share=True))

    async def count_live(self, connection: AsyncConnection, user_id: object, now: datetime) -> int:
        """How many credentials of this account can be used."""
        statement = select(func.count()).where(self._table.c.user_id == user_id, self._is_live(now))
        return int((await connection.execute(statement)).scalar_one())

    async def add(self, connection: AsyncConnection, credential: ServiceCredential) -> None:
        """Insert one."""
        row = {name: getattr(credential, name) for name in ServiceCredential.__slots__ if name != "held"}
        await connection.execute(insert(self._table).values(row))

    async def end_secrets(
        self, connection: AsyncConnection, user_id: object, *, now: datetime, ends_at: datetime
    ) -> tuple[str, ...]:
        """Let every live secret of an account end at `ends_at` at the latest; their ids."""
        table = self._table
        mine = and_(table.c.user_id == user_id, table.c.method == "client_secret", self._is_live(now))
        earlier = case((table.c.expires_at < ends_at, table.c.expires_at), else_=ends_at)
        statement = update(table).where(mine).values(expires_at=earlier).returning(table.c.id)
        return tuple((await connection.execute(statement)).scalars().all())

    async def end(self, connection: AsyncConnection, credential_id: str, user_id: object, *, now: datetime) -> bool:
        """Take one of an account's credentials back; False if it has none such that is live."""
        table = self._table
        mine = and_(table.c.id == credential_id, table.c.user_id == user_id, self._is_live(now))
        statement = update(table).where(mine).values(ended_at=now).returning(table.c.id)
        return (await connection.execute(statement)).first() is not None

    async def purge(self, before: datetime) -> int:
        """Delete what ended before this moment."""
        table = self._table
        ended = or_(table.c.ended_at < before, table.c.expires_at < before)
        return await delete_expired(self._database, table, ended)

    async def _select(self, where: ColumnElement[bool]) -> tuple[ServiceCredential, ...]:
        table = self._table
        columns = (*table.c, *self._rights.columns(table.c.user_id))
        rows = await self._database.read(select(*columns).where(where).order_by(table.c.created_at, table.c.id))
        return tuple(map(_credential, rows))

    def _is_live(self, now: datetime) -> ColumnElement[bool]:
        table = self._table
        return and_(table.c.ended_at.is_(None), or_(table.c.expires_at.is_(None), table.c.expires_at > now))


def _credential(row: Row[tuple[object, ...]]) -> ServiceCredential:
    values = dict(row._mapping)
    own = {name: values[name] for name in ServiceCredential.__slots__ if name != "held"}
    return ServiceCredential(**own, held=RightsStore.held(values))
