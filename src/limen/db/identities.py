"""External identities: who somebody is elsewhere, as `(issuer, subject)`, and whose account that is here.

An identity is never an e-mail address. It belongs to one account; an account may have several.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from sqlalchemy import Row, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.clock import Clock
from limen.core.opaque import new_id
from limen.db.database import Database
from limen.db.tables import Tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody's account elsewhere.

    Attributes:
        provider: the name by which the app knows the issuer (`google`); for display.
        email: what the issuer said last, for display; it decides nothing.
    """

    id: UUID
    user_id: object
    provider: str
    issuer: str
    subject: str
    email: str | None = field(repr=False)
    created_at: datetime
    last_used_at: datetime


class IdentityStore:
    """Finds, links and unlinks identities; of two links of one identity at once, one holds."""

    def __init__(self, database: Database, tables: Tables, *, clock: Clock) -> None:
        self._database = database
        self._table = tables.identities
        self._clock = clock
        table = self._table
        known = (table.c.issuer == bindparam("known_issuer"), table.c.subject == bindparam("known_subject"))
        self._find = select(table).where(*known)
        self._departed = tables.departed
        self._find_departed = select(self._departed.c.digest).where(self._departed.c.digest == bindparam("digest"))

    async def find(self, issuer: str, subject: str) -> Identity | None:
        """Whose this identity is."""
        rows = await self._database.read(self._find, {"known_issuer": issuer, "known_subject": subject})
        return _identity(rows[0]) if rows else None

    async def is_departed(self, connection: AsyncConnection, issuer: str, subject: str) -> bool:
        """Whether this identity's account was deleted, as committed at this moment of a caller's transaction."""
        values = {"digest": identity_digest(issuer, subject)}
        return (await connection.execute(self._find_departed, values)).first() is not None

    async def readmit(self, issuer: str, subject: str) -> bool:
        """Let an identity whose account was deleted have a new one; False if there was no such."""
        table = self._departed
        statement = delete(table).where(table.c.digest == identity_digest(issuer, subject)).returning(table.c.digest)
        return bool(await self._database.write(statement))

    async def list_of(self, user_id: object) -> tuple[Identity, ...]:
        """The identities of one account, the oldest first."""
        table = self._table
        statement = select(table).where(table.c.user_id == user_id).order_by(table.c.created_at, table.c.id)
        return tuple(map(_identity, await self._database.read(statement)))

    async def issuers_of(self, connection: AsyncConnection, user_id: object) -> frozenset[str]:
        """Where the account has identities, inside a caller's transaction."""
        statement = select(self._table.c.issuer).where(self._table.c.user_id == user_id)
        return frozenset((await connection.execute(statement)).scalars())

    async def link(
        self,
        connection: AsyncConnection,
        user_id: object,
        *,
        provider: str,
        issuer: str,
        subject: str,
        email: str | None = None,
    ) -> UUID:
        """Let this identity be the account's, inside a caller's transaction; its id.

        Raises:
            UniqueViolation: it belongs to an account already; it aborts the transaction.
        """
        now = self._clock.now()
        row: Mapping[str, object] = {
            "id": new_id(now.timestamp()),
            "user_id": user_id,
            "provider": provider,
            "issuer": issuer,
            "subject": subject,
            "email": email,
            "created_at": now,
            "last_used_at": now,
        }
        statement = insert(self._table).values(row).returning(self._table.c.id)
        made: UUID = (await connection.execute(statement)).scalar_one()
        return made

    async def forget_all_within(self, connection: AsyncConnection, user_id: object) -> None:
        """Unlink every identity of an account, inside a caller's transaction: they may be a stranger's."""
        await connection.execute(delete(self._table).where(self._table.c.user_id == user_id))

    async def touch(self, identity_id: UUID, *, email: str | None) -> None:
        """Somebody came in by it just now; what the issuer says of the address is kept for display."""
        table = self._table
        values = {"last_used_at": self._clock.now(), "email": email}
        await self._database.write(update(table).where(table.c.id == identity_id).values(values))

    async def unlink(self, connection: AsyncConnection, identity_id: UUID, *, user_id: object) -> Identity | None:
        """Take an identity away from its account, inside a caller's transaction; None if it is not this account's."""
        table = self._table
        statement = delete(table).where(table.c.id == identity_id, table.c.user_id == user_id).returning(*table.c)
        row = (await connection.execute(statement)).first()
        return None if row is None else _identity(row)


def identity_digest(issuer: str, subject: str) -> bytes:
    """What is remembered of an identity whose account was deleted: nothing that names anyone."""
    return sha256(f"{issuer} {subject}".encode()).digest()


def _identity(row: Row[tuple[object, ...]]) -> Identity:
    return Identity(**{str(name): value for name, value in row._mapping.items()})
