"""Addresses of accounts: which one is proved, which one was before, for whom it is kept.

An address that was changed is kept for its account for a while: nobody else can register it, so that its owner can
have it back.
"""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, Table, and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.clock import Clock
from limen.core.identity import Identity
from limen.core.opaque import new_id
from limen.db.database import Database, UniqueViolation
from limen.db.expired import delete_expired
from limen.db.tables import Tables


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressChange:
    """A change of address that was asked for, or has been made.

    Attributes:
        email, email_canonical, was_verified: the address before it.
        changed_at: when the new address was confirmed; None while it is not.
        expires_at: until when it can be undone.
    """

    id: UUID
    user_id: object
    email: str = field(repr=False)
    email_canonical: str = field(repr=False)
    was_verified: bool
    asked_at: datetime
    changed_at: datetime | None
    expires_at: datetime


class AddressStore:
    """Proves, replaces and brings back addresses; each verb is one or two statements inside a caller's transaction."""

    def __init__(self, database: Database, tables: Tables, *, clock: Clock) -> None:
        self._database = database
        self._users = tables.users
        self._key = tables.user_key
        self._changes = tables.address_changes
        self._clock = clock

    async def prove(self, connection: AsyncConnection, user_id: object, canonical: str) -> bool:
        """Note that the account's address is proved; False if it has another one by now."""
        users = self._users
        is_still = and_(self._key == user_id, users.c.email_canonical == canonical, users.c.is_active)
        statement = update(users).where(is_still).values(is_verified=True).returning(self._key)
        return (await connection.execute(statement)).first() is not None

    async def ask(self, connection: AsyncConnection, row: AddressChange) -> None:
        """Note a change that waits for the new address; an earlier one that still waited is forgotten."""
        table = self._changes
        waits = and_(table.c.user_id == row.user_id, table.c.changed_at.is_(None))
        await connection.execute(delete(table).where(waits))
        values = {name: getattr(row, name) for name in AddressChange.__slots__}
        await connection.execute(insert(table).values(values))

    async def replace(
        self, connection: AsyncConnection, change_id: UUID, *, new: Identity, undo_until: datetime
    ) -> AddressChange | None:
        """Let a change that waited take effect; None if it was stopped or the account has another address by now.

        Raises:
            UniqueViolation: the new address is another account's; it aborts the transaction.
        """
        table, users = self._changes, self._users
        waits = and_(table.c.id == change_id, table.c.changed_at.is_(None))
        values = {"changed_at": self._clock.now(), "expires_at": undo_until}
        found = (await connection.execute(update(table).where(waits).values(values).returning(*table.c))).first()
        if found is None:
            return None
        change = _change(found)
        is_still = and_(self._key == change.user_id, users.c.email_canonical == change.email_canonical)
        moved = {"email": new.typed, "email_canonical": new.canonical, "is_verified": True}
        statement = update(users).where(is_still, users.c.is_active).values(moved).returning(self._key)
        if (await connection.execute(statement)).first() is None:
            return None
        await refuse_kept(connection, table, new.canonical, now=self._clock.now(), but=change.user_id)
        return change

    async def bring_back(self, connection: AsyncConnection, change_id: UUID) -> AddressChange | None:
        """Give the account the address that it had before this change; later changes, which build on it, are forgotten.

        Whoever asks has read that address's mail, so it is proved. None if it was brought back before, or can no longer
        be.
        """
        table, users, now = self._changes, self._users, self._clock.now()
        statement = delete(table).where(table.c.id == change_id, table.c.expires_at > now).returning(*table.c)
        found = (await connection.execute(statement)).first()
        if found is None:
            return None
        change = _change(found)
        later = and_(table.c.user_id == change.user_id, table.c.asked_at >= change.asked_at)
        await connection.execute(delete(table).where(later))
        before = {"email": change.email, "email_canonical": change.email_canonical, "is_verified": True}
        moved = update(users).where(self._key == change.user_id).values(before).returning(self._key)
        return change if (await connection.execute(moved)).first() is not None else None

    async def list_of(self, user_id: object) -> tuple[AddressChange, ...]:
        """The changes of an account that can still be undone, the latest first."""
        table = self._changes
        statement = select(table).where(table.c.user_id == user_id).order_by(table.c.asked_at.desc())
        return tuple(map(_change, await self._database.read(statement)))

    async def purge(self) -> int:
        """Delete what can no longer be undone."""
        return await delete_expired(self._database, self._changes, self._changes.c.expires_at <= self._clock.now())


async def refuse_kept(
    connection: AsyncConnection, changes: Table, canonical: str, *, now: datetime, but: object = None
) -> None:
    """Refuse an address that is kept for somebody else; asked after the row was written, which waits for who has it.

    Raises:
        UniqueViolation: it is, as if a row had it still.
    """
    kept = and_(changes.c.email_canonical == canonical, changes.c.changed_at.is_not(None), changes.c.expires_at > now)
    kept = kept if but is None else and_(kept, changes.c.user_id != but)
    if (await connection.execute(select(changes.c.id).where(kept).limit(1))).first() is not None:
        raise UniqueViolation("email_canonical is kept for the account that had it")


def new_change(
    user_id: object, *, email: str, canonical: str, was_verified: bool, now: datetime, expires_at: datetime
) -> AddressChange:
    """A change that waits for the new address."""
    return AddressChange(
        id=new_id(now.timestamp()),
        user_id=user_id,
        email=email,
        email_canonical=canonical,
        was_verified=was_verified,
        asked_at=now,
        changed_at=None,
        expires_at=expires_at,
    )


def _change(row: Row[tuple[object, ...]]) -> AddressChange:
    return AddressChange(**{str(name): value for name, value in row._mapping.items()})
