"""The log of what was taken back: written in the transaction of the change, followed by every worker.

Rows become visible in the order of their commits, not of their ids, so a follower reads some way back each time:
whatever a transaction of up to `OVERLAP_SECONDS` could have been late with. The database's clock decides, for all.
"""

from collections.abc import Iterable

from sqlalchemy import Select, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.clock import Clock
from limen.core.revocations import Revocation, Revocations, Revoked
from limen.db.database import Database
from limen.db.expired import delete_expired
from limen.db.notifications import can_notify, notify
from limen.db.tables import Tables
from limen.db.types import DatabaseSeconds, from_epoch

OVERLAP_SECONDS = 20
"""Longer than any transaction of limen's can last (the deadline is 15 s)."""


class RevocationLog:
    """Appends to the log and keeps this process's `Revocations` up to it."""

    def __init__(self, database: Database, tables: Tables, *, revocations: Revocations, clock: Clock) -> None:
        self._database = database
        self._table = tables.revocations
        self._revocations = revocations
        self._clock = clock
        self._notifies = can_notify(database.engine)
        self._read_up_to: int | None = None

    async def append(self, connection: AsyncConnection, entries: Iterable[Revocation]) -> None:
        """Write entries in the transaction of what they follow from; `apply` them after its commit."""
        rows = [_row(entry) for entry in entries]
        if not rows:
            return
        await connection.execute(insert(self._table), rows)
        if self._notifies:
            await notify(connection)

    def apply(self, entries: Iterable[Revocation]) -> None:
        """Take effect in this process at once; the others hear of it from the log."""
        for entry in entries:
            self._revocations.apply(entry)

    async def live(self) -> tuple[Revocation, ...]:
        """Every entry that still matters.

        Raises:
            Unavailable: the database is down.
        """
        table = self._table
        columns = (table.c.kind, table.c.target, table.c.epoch, table.c.expires_at)
        rows = await self._database.read(select(*columns).where(table.c.expires_at > self._clock.now()))
        return tuple(_entry(row) for row in rows)

    async def catch_up(self) -> None:
        """Apply what was written since the last time, or everything live the first time.

        Raises:
            Unavailable: the database is down.
        """
        now, tick = self._clock.time(), self._clock.monotonic()
        rows = await self._database.read(self._tail(now))
        for row in rows:
            if row.target is not None:
                self._revocations.apply(_entry(row))
        self._read_up_to = int(rows[0].read_at)
        self._revocations.hear(now=now, tick=tick)

    async def purge(self) -> int:
        """Delete entries that have outlived everything they could affect."""
        return await delete_expired(self._database, self._table, self._table.c.expires_at <= self._clock.now())

    def _tail(self, now: float) -> Select[tuple[object, ...]]:
        """The entries to apply, each beside the database's time; one row with that time alone when there are none."""
        table = self._table
        wanted = table.c.expires_at > from_epoch(now)
        if self._read_up_to is not None:
            wanted &= table.c.written_at >= self._read_up_to - OVERLAP_SECONDS
        clock = select(DatabaseSeconds().label("read_at")).subquery()
        columns = (table.c.kind, table.c.target, table.c.epoch, table.c.expires_at)
        return select(clock.c.read_at, *columns).select_from(clock.outerjoin(table, wanted))


def _row(entry: Revocation) -> dict[str, object]:
    expires_at = from_epoch(entry.expires_at)
    return {"kind": entry.kind.value, "target": entry.target, "epoch": entry.epoch, "expires_at": expires_at}


def _entry(row: object) -> Revocation:
    kind, target, epoch, expires_at = row.kind, row.target, row.epoch, row.expires_at  # type: ignore[attr-defined]
    return Revocation(kind=Revoked(kind), target=target, epoch=epoch, expires_at=expires_at.timestamp())
