"""SQL of the feature `oauth_login`."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Table, and_, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.db.database import Database
from limen.db.tables import Tables


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedTokens:
    """The tokens of one identity as they lie there.

    Attributes:
        version: counts how often they were replaced.
        refreshing_until: while it is ahead, somebody asks the provider for fresh ones.
    """

    identity_id: UUID
    sealed: bytes = field(repr=False)
    expires_at: datetime | None
    version: int
    refreshing_until: datetime | None


class OAuthLoginStore:
    """Keeps provider tokens, claims unproved accounts, guards the last way in."""

    def __init__(self, database: Database, table: Table, tables: Tables) -> None:
        self._database = database
        self._table = table
        self._users = tables.users
        self._key = tables.user_key
        self._identities = tables.identities

    async def keep(self, identity_id: UUID, *, sealed: bytes, expires_at: datetime | None) -> None:
        """Put the tokens of a sign-in in the place of earlier ones; nothing is kept of an identity that is gone."""
        table = self._table
        values = {"sealed": sealed, "expires_at": expires_at, "refreshing_until": None}
        async with self._database.transaction() as connection:
            if not await self._is_locked(connection, identity_id):
                return
            replaced = await connection.execute(
                update(table)
                .where(table.c.identity_id == identity_id)
                .values(version=table.c.version + 1, **values)
                .returning(table.c.version)
            )
            if replaced.first() is None:
                await connection.execute(insert(table).values(identity_id=identity_id, version=1, **values))

    async def find(self, identity_id: UUID) -> SealedTokens | None:
        """The tokens of an identity."""
        rows = await self._database.read(select(self._table).where(self._table.c.identity_id == identity_id))
        return _tokens(rows[0]) if rows else None

    async def lease(self, tokens: SealedTokens, *, now: datetime, lasts: timedelta) -> bool:
        """Whether it is us who refresh these; of any number who ask at once, one is told so."""
        table = self._table
        is_free = or_(table.c.refreshing_until.is_(None), table.c.refreshing_until <= now)
        statement = (
            update(table)
            .where(self._is(tokens), is_free)
            .values(refreshing_until=now + lasts)
            .returning(table.c.version)
        )
        return bool(await self._database.write(statement))

    async def replace(self, tokens: SealedTokens, *, sealed: bytes, expires_at: datetime | None) -> bool:
        """Put fresh tokens in the place of these, if these are still the latest."""
        table = self._table
        values = {"sealed": sealed, "expires_at": expires_at, "refreshing_until": None}
        statement = (
            update(table)
            .where(self._is(tokens))
            .values(version=tokens.version + 1, **values)
            .returning(table.c.version)
        )
        return bool(await self._database.write(statement))

    async def release(self, tokens: SealedTokens) -> None:
        """Nothing came of refreshing these: somebody else may try."""
        await self._database.write(update(self._table).where(self._is(tokens)).values(refreshing_until=None))

    async def drop(self, tokens: SealedTokens) -> None:
        """Forget tokens that the provider refuses."""
        await self._database.write(delete(self._table).where(self._is(tokens)))

    async def lock_user(self, connection: AsyncConnection, user_id: object) -> bool:
        """Let nobody else take a way in from this user until the transaction ends; False for no such user."""
        statement = select(self._key).where(self._key == user_id).with_for_update()
        return (await connection.execute(statement)).first() is not None

    async def claim(self, connection: AsyncConnection, user_id: object, *, canonical: str) -> bool:
        """Let an address that nobody had proved be proved; False if somebody was faster, or it is another by now."""
        users = self._users.c
        is_unproved = and_(
            self._key == user_id, users.email_canonical == canonical, users.is_verified.is_(False), users.is_active
        )
        statement = update(self._users).where(is_unproved).values(is_verified=True).returning(self._key)
        return (await connection.execute(statement)).first() is not None

    def _is(self, tokens: SealedTokens) -> ColumnElement[bool]:
        return and_(self._table.c.identity_id == tokens.identity_id, self._table.c.version == tokens.version)

    async def _is_locked(self, connection: AsyncConnection, identity_id: UUID) -> bool:
        """Whether the identity is there; if so nobody else keeps tokens of it until the transaction ends."""
        table = self._identities
        found = select(table.c.id).where(table.c.id == identity_id).with_for_update()
        return (await connection.execute(found)).first() is not None


def _tokens(row: Row[tuple[object, ...]]) -> SealedTokens:
    return SealedTokens(**{str(name): value for name, value in row._mapping.items()})
