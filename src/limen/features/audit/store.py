"""The record's verbs: entries are added, get their place in the chain once, and are purged from its beginning."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, Table, bindparam, delete, func, select, update
from sqlalchemy import Row as DatabaseRow
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.audit_chain import SAID, ChainKey, ChainKeys, Entry, Head, Link, Row, StoredHead, content_of
from limen.db.database import Database

HEAD = 1
"""The id of the one row of the head's table."""


class AuditStore:
    """Reads and writes the record."""

    def __init__(self, database: Database, table: Table, heads: Table, *, keys: ChainKeys) -> None:
        self._database = database
        self._table = table
        self._heads = heads
        self._keys = keys
        self._insert = _insert(database, table).on_conflict_do_nothing(index_elements=["event_id"])
        self._columns = (table.c.id, table.c.seq, *(table.c[name] for name in SAID))
        proofs = (table.c.key_id, table.c.mac, table.c.hash, table.c.seal)
        self._proved = select(table.c.id, table.c.seq, *proofs, *(table.c[name] for name in SAID))
        places = ("seq", "key_id", "hash", "seal")
        is_it = (table.c.id == bindparam("row"), table.c.seq.is_(None))
        self._place = update(table).where(*is_it).values({name: bindparam(f"new_{name}") for name in places})

    # --- writing

    async def add(self, entries: Sequence[Entry]) -> None:
        """Write entries; one that is there already stays as it is."""
        rows = list(map(self._signed, entries))
        if len(rows) == 1:
            await self._database.write(self._insert, rows[0])
            return
        async with self._database.transaction() as connection:
            await connection.execute(self._insert, rows)

    async def add_within(self, connection: AsyncConnection, entry: Entry) -> None:
        """The same inside a caller's transaction."""
        await connection.execute(self._insert, self._signed(entry))

    async def add_row(self, connection: AsyncConnection, entry: Entry) -> Row:
        """The same; the row as the database has it."""
        table = self._table
        await self.add_within(connection, entry)
        return _row((await connection.execute(self._proved.where(table.c.event_id == entry.event_id))).one())

    def _signed(self, entry: Entry) -> dict[str, object]:
        values = entry.values()
        mac = self._keys.present.sign(b"entry", content_of(values))
        return {**dict(zip(SAID, values, strict=True)), "mac": mac}

    # --- the chain

    async def lock_head(self, connection: AsyncConnection) -> StoredHead | None:
        """The head, locked until the transaction ends, so that the chain stays one line."""
        statement = select(self._heads).where(self._heads.c.id == HEAD).with_for_update()
        row = (await connection.execute(statement)).first()
        return None if row is None else _head(row)

    async def last_seq(self, connection: AsyncConnection) -> int | None:
        """The last place that an entry has; None for an empty chain."""
        last: int | None = (await connection.execute(select(func.max(self._table.c.seq)))).scalar()
        return last

    async def hash_at(self, connection: AsyncConnection, seq: int) -> bytes | None:
        """The hash of the entry at this place."""
        statement = select(self._table.c.hash).where(self._table.c.seq == seq)
        found: bytes | None = (await connection.execute(statement)).scalar_one_or_none()
        return found

    async def waiting(self, connection: AsyncConnection, *, after: int, limit: int) -> tuple[Row, ...]:
        """Entries without a place, in the order of their ids."""
        table = self._table
        statement = self._proved.where(table.c.seq.is_(None), table.c.id > after).order_by(table.c.id).limit(limit)
        return tuple(map(_row, (await connection.execute(statement)).all()))

    async def place(self, connection: AsyncConnection, links: Iterable[tuple[int, Link]]) -> None:
        """Give entries, by their ids, their places."""
        values = [
            {"row": id, "new_seq": link.seq, "new_key_id": link.key_id, "new_hash": link.hash, "new_seal": link.seal}
            for id, link in links
        ]
        if values:
            await connection.execute(self._place, values)

    async def create_head(self, connection: AsyncConnection, head: Head, key: ChainKey) -> None:
        """Let there be a head, unless there is one."""
        statement = _insert(self._database, self._heads).on_conflict_do_nothing(index_elements=["id"])
        await connection.execute(statement, {"id": HEAD, **_signed_head(head, key)})

    async def move_head(self, connection: AsyncConnection, head: Head, key: ChainKey) -> None:
        """Replace the head."""
        heads = self._heads
        await connection.execute(update(heads).where(heads.c.id == HEAD).values(_signed_head(head, key)))

    async def first_kept(self, connection: AsyncConnection, *, since: datetime) -> int | None:
        """The first place of an entry that happened since then; None if there is none."""
        table = self._table
        statement = select(func.min(table.c.seq)).where(table.c.at >= since)
        first: int | None = (await connection.execute(statement)).scalar()
        return first

    async def delete_through(self, connection: AsyncConnection, seq: int) -> None:
        """Delete the entries up to this place."""
        await connection.execute(delete(self._table).where(self._table.c.seq <= seq))

    # --- reading

    async def head(self) -> StoredHead | None:
        """The head as it stands."""
        rows = await self._database.read(select(self._heads).where(self._heads.c.id == HEAD))
        return _head(rows[0]) if rows else None

    async def greatest_seq(self) -> int:
        """The last place that an entry has; 0 for an empty chain."""
        rows = await self._database.read(select(func.max(self._table.c.seq)))
        return cast("int | None", rows[0][0]) or 0

    async def chained(self, *, after: int, through: int, limit: int) -> tuple[Row, ...]:
        """Entries in the order of their places."""
        seq = self._table.c.seq
        statement = self._proved.where(seq > after, seq <= through).order_by(seq).limit(limit)
        return tuple(map(_row, await self._database.read(statement)))

    async def unplaced(self, *, after: int, limit: int) -> tuple[Row, ...]:
        """Entries without a place, in the order of their ids."""
        table = self._table
        statement = self._proved.where(table.c.seq.is_(None), table.c.id > after).order_by(table.c.id).limit(limit)
        return tuple(map(_row, await self._database.read(statement)))

    async def list_page(
        self, *, user: str | None, event: str | None, names: Sequence[str], before: int | None, limit: int
    ) -> tuple[Entry, ...]:
        """The latest entries first, below the id `before`; of a user, those about and those by them."""
        table = self._table
        where: list[ColumnElement[bool]] = [] if before is None else [table.c.id < before]
        if event is not None:
            where.append(table.c.event == event)
        if names:
            where.append(table.c.name_digest.in_(names))
        statement = select(*self._columns).order_by(table.c.id.desc()).limit(limit)
        if user is None:
            statement = statement.where(*where)
        else:  # two walks down two indexes; OR would sort everything that either finds
            both = [self._ids(column == user, *where, limit=limit) for column in (table.c.subject, table.c.actor)]
            statement = statement.where(table.c.id.in_(both[0].union(both[1])))
        return tuple(map(_entry, await self._database.read(statement)))

    async def list_from(self, *, after: int, limit: int) -> tuple[Entry, ...]:
        """Entries in the order in which they were written, above the id `after`."""
        table = self._table
        statement = select(*self._columns).where(table.c.id > after).order_by(table.c.id).limit(limit)
        return tuple(map(_entry, await self._database.read(statement)))

    def _ids(self, *where: ColumnElement[bool], limit: int) -> Select[tuple[int]]:
        key = self._table.c.id
        found = select(key).where(*where).order_by(key.desc()).limit(limit).subquery()
        return select(found.c.id)


def _insert(database: Database, table: Table) -> "sqlite.Insert | postgresql.Insert":
    return sqlite.insert(table) if database.is_sqlite else postgresql.insert(table)


def _signed_head(head: Head, key: ChainKey) -> dict[str, object]:
    said = {"seq": head.seq, "hash": head.hash, "anchor_seq": head.anchor_seq, "anchor_hash": head.anchor_hash}
    return {**said, "key_id": key.id, "mac": head.sign(key)}


def _head(row: DatabaseRow[tuple[object, ...]]) -> StoredHead:
    head = Head(seq=row.seq, hash=row.hash, anchor_seq=row.anchor_seq, anchor_hash=row.anchor_hash)
    return StoredHead(head=head, key_id=row.key_id, mac=row.mac)


def _row(row: DatabaseRow[tuple[object, ...]]) -> Row:
    found: Any = row  # typed by the table
    id, seq, key_id, mac, hash, seal = found[:6]
    return Row(id, seq, key_id, mac, hash, seal, found[6:])


def _entry(row: DatabaseRow[tuple[object, ...]]) -> Entry:
    return Entry(**{str(name): value for name, value in row._mapping.items()})
