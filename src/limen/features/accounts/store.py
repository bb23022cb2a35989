"""SQL of the feature `accounts`: closed accounts that wait for their deletion."""

from datetime import datetime

from sqlalchemy import Table, and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.db.database import Database


class DeletionStore:
    """Schedules, cancels and finds deletions."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table

    async def schedule(self, connection: AsyncConnection, user_id: object, *, now: datetime, due_at: datetime) -> None:
        """Note that an account is to be deleted, inside the transaction that shuts it."""
        await self.cancel(connection, user_id)  # of an account that was let in again past limen
        row = {"user_id": user_id, "asked_at": now, "due_at": due_at, "is_restorable": True}
        await connection.execute(insert(self._table).values(row))

    async def cancel(self, connection: AsyncConnection, user_id: object) -> None:
        """Let the account stay, whoever shut it."""
        await connection.execute(delete(self._table).where(self._table.c.user_id == user_id))

    async def cancel_own(self, connection: AsyncConnection, user_id: object) -> bool:
        """Let the account stay, if its owner shut it and nobody else did since."""
        table = self._table
        own = and_(table.c.user_id == user_id, table.c.is_restorable)
        return (await connection.execute(delete(table).where(own).returning(table.c.user_id))).first() is not None

    async def seal(self, connection: AsyncConnection, user_id: object) -> None:
        """Let only an operator restore the account."""
        table = self._table
        await connection.execute(update(table).where(table.c.user_id == user_id).values(is_restorable=False))

    async def claim_due(self, connection: AsyncConnection, user_id: object, *, now: datetime) -> bool:
        """Whether this account is to be deleted now, by whoever asks first and unless it was restored."""
        table = self._table
        due = and_(table.c.user_id == user_id, table.c.due_at <= now)
        return (await connection.execute(delete(table).where(due).returning(table.c.user_id))).first() is not None

    async def put_off(self, user_id: object, *, until: datetime) -> None:
        """Let an account that could not be deleted be due again later."""
        table = self._table
        await self._database.write(update(table).where(table.c.user_id == user_id).values(due_at=until))

    async def list_due(self, now: datetime, *, limit: int) -> tuple[object, ...]:
        """Whose time has come, the longest waiting first."""
        table = self._table
        statement = select(table.c.user_id).where(table.c.due_at <= now).order_by(table.c.due_at).limit(limit)
        return tuple(row.user_id for row in await self._database.read(statement))
