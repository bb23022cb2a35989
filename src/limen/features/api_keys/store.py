"""SQL of the feature `api_keys`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Row,
    Table,
    Update,
    and_,
    bindparam,
    case,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.key_terms import KeyTerms
from limen.core.rights import Held
from limen.db.accounts import UserStore
from limen.db.database import Database
from limen.db.expired import delete_expired
from limen.db.rights import RightsStore
from limen.db.users import UserMixin

USE_WRITTEN_EVERY = timedelta(seconds=50)
"""Under the minute between two writings of one worker, so that several write no oftener than one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as it stands, with the rights of its owner in the same snapshot.

    Attributes:
        id: its public part, by which it is found and named.
        scopes: what it was narrowed to; None for everything that its owner holds.
        allowed_networks: where it may come from, as CIDRs; empty for anywhere.
        rate_limit: how often it may be used, such as `100/minute`, in each process.
        version: counts changes of the row.
        replaced_by: its successor's id, when it was rotated.
    """

    id: str
    user_id: object
    name: str
    secret_digest: bytes = field(repr=False)
    scopes: tuple[str, ...] | None
    allowed_networks: tuple[str, ...]
    rate_limit: str | None
    version: int
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    replaced_by: str | None
    ended_at: datetime | None
    end_reason: str | None
    held: Held

    @classmethod
    def new(cls, id: str, user_id: object, *, digest: bytes, terms: KeyTerms, held: Held, now: datetime) -> "ApiKey":
        """A key that is about to be added."""
        return cls(
            id=id,
            user_id=user_id,
            name=terms.name,
            secret_digest=digest,
            scopes=terms.scopes,
            allowed_networks=terms.allowed_networks,
            rate_limit=terms.rate_limit,
            version=0,
            created_at=now,
            expires_at=terms.expires_at,
            last_used_at=None,
            replaced_by=None,
            ended_at=None,
            end_reason=None,
            held=held,
        )

    @property
    def subject(self) -> str:
        """The owner's id as text."""
        return str(self.user_id)

    def is_live(self, now: datetime) -> bool:
        """Whether it has neither been revoked nor run out."""
        return self.ended_at is None and (self.expires_at is None or now < self.expires_at)


class ApiKeyStore:
    """Adds, finds, rotates and ends keys."""

    def __init__(self, database: Database, table: Table, *, users: UserStore[UserMixin], rights: RightsStore) -> None:
        self._database = database
        self._table = table
        self._users = users
        self._rights = rights
        self._columns = (*table.c, *rights.columns(table.c.user_id))
        self._find = select(*self._columns).where(table.c.id == bindparam("key"))

    async def find(self, key_id: str) -> ApiKey | None:
        """The key of this id with its owner's rights, ended or not: one indexed read."""
        rows = await self._database.read(self._find, {"key": key_id})
        return _api_key(rows[0]) if rows else None

    async def list_of(self, user_id: object) -> tuple[ApiKey, ...]:
        """The owner's keys that were not revoked, the newest first."""
        return await self._list(self._table.c.user_id == user_id)

    async def list_all(self, *, limit: int) -> tuple[ApiKey, ...]:
        """Everybody's, the newest first."""
        return await self._list(self._table.c.id.is_not(None), limit=limit)

    async def lock_owner(self, connection: AsyncConnection, user_id: object) -> Held | None:
        """The owner's rights, while no other transaction adds keys of theirs; None for no such user."""
        columns = self._rights.columns(self._users.key)
        users = self._users.key.table
        statement = select(*columns).select_from(users).where(self._users.key == user_id)
        row = (await connection.execute(statement.with_for_update(key_share=True, of=users))).first()
        return None if row is None else self._rights.held(row)  # type: ignore[arg-type]  # the columns are rights()'s

    async def count_live(self, connection: AsyncConnection, user_id: object, now: datetime) -> int:
        """How many keys of this owner can still be used."""
        statement = select(func.count()).where(self._table.c.user_id == user_id, self._is_live(now))
        return int((await connection.execute(statement)).scalar_one())

    async def add(self, connection: AsyncConnection, key: ApiKey) -> None:
        """Insert a new key."""
        row = {name: getattr(key, name) for name in ApiKey.__slots__ if name != "held"}
        row["scopes"] = None if key.scopes is None else " ".join(key.scopes)
        row["allowed_networks"] = " ".join(key.allowed_networks) or None
        await connection.execute(insert(self._table).values(row))

    async def supersede(
        self, connection: AsyncConnection, key_id: str, *, successor: str, now: datetime, ends_at: datetime
    ) -> int | None:
        """Let a live key end at `ends_at` in favour of its successor; its new version, or None if it was not its turn.

        One statement decides: of two rotations at once, one gets the row.
        """
        table = self._table
        statement = (
            update(table)
            .where(table.c.id == key_id, table.c.replaced_by.is_(None), self._is_live(now))
            .values(
                replaced_by=successor,
                version=table.c.version + 1,
                expires_at=case((table.c.expires_at < ends_at, table.c.expires_at), else_=ends_at),
            )
            .returning(table.c.version)
        )
        version: int | None = (await connection.execute(statement)).scalar_one_or_none()
        return version

    async def end(
        self, connection: AsyncConnection, key_id: str, *, now: datetime, reason: str, user_id: object | None = None
    ) -> ApiKey | None:
        """Revoke a key (of this owner, if one is named) that was not; the key as it is then."""
        table = self._table
        mine = table.c.id == key_id if user_id is None else and_(table.c.id == key_id, table.c.user_id == user_id)
        statement = (
            update(table)
            .where(mine, table.c.ended_at.is_(None))
            .values(ended_at=now, end_reason=reason, version=table.c.version + 1)
            .returning(*self._columns)
        )
        row = (await connection.execute(statement)).first()
        return None if row is None else _api_key(row)

    async def end_all(
        self, connection: AsyncConnection, user_id: object, *, now: datetime, reason: str
    ) -> tuple[str, ...]:
        """Revoke whatever keys of this owner were not; their ids."""
        table = self._table
        statement = (
            update(table)
            .where(table.c.user_id == user_id, table.c.ended_at.is_(None))
            .values(ended_at=now, end_reason=reason, version=table.c.version + 1)
            .returning(table.c.id)
        )
        return tuple((await connection.execute(statement)).scalars())

    def touch(self, key_ids: Sequence[str], now: datetime) -> Update:
        """The statement that writes `now` as the last use of these keys, unless another worker just did."""
        table = self._table
        is_due = or_(table.c.last_used_at.is_(None), table.c.last_used_at < now - USE_WRITTEN_EVERY)
        return update(table).where(table.c.id.in_(key_ids), is_due).values(last_used_at=now)

    async def purge(self, before: datetime) -> int:
        """Delete keys that were revoked or ran out before this moment."""
        table = self._table
        ended = or_(table.c.ended_at < before, table.c.expires_at < before)
        return await delete_expired(self._database, table, ended)

    async def _list(self, where: ColumnElement[bool], *, limit: int | None = None) -> tuple[ApiKey, ...]:
        table = self._table
        order = table.c.created_at.desc(), table.c.id
        statement = select(*self._columns).where(where, table.c.ended_at.is_(None)).order_by(*order).limit(limit)
        return tuple(_api_key(row) for row in await self._database.read(statement))

    def _is_live(self, now: datetime) -> ColumnElement[bool]:
        table = self._table
        return and_(table.c.ended_at.is_(None), or_(table.c.expires_at.is_(None), table.c.expires_at > now))


def _api_key(row: Row[tuple[object, ...]]) -> ApiKey:
    values = dict(row._mapping)
    own = {name: values[name] for name in ApiKey.__slots__ if name != "held"}
    own["scopes"] = None if values["scopes"] is None else tuple(str(values["scopes"]).split())
    own["allowed_networks"] = tuple(str(values["allowed_networks"] or "").split())
    return ApiKey(**own, held=RightsStore.held(values))
