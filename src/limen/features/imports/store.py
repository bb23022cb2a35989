"""SQL of imports: what is there already, and many accounts in one transaction."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from sqlalchemy import Column, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.identity import Identity
from limen.features.passwords.service import PasswordService
from limen.kernel import Kernel

Group = list["Arrival"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalIdentity:
    """Who somebody is elsewhere."""

    provider: str
    issuer: str
    subject: str
    email: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A user who can be taken over: checked, in limen's own terms.

    Attributes:
        id: the other app's key, for the report.
        values: of every column but those of the names.
    """

    number: int
    id: str | None
    email: Identity
    username: Identity | None
    digest: str | None = field(repr=False)
    values: Mapping[str, object] = field(repr=False)
    roles: tuple[str, ...]
    identities: tuple[ExternalIdentity, ...]

    @property
    def name(self) -> str | None:
        """The canonical username."""
        return self.username.canonical if self.username else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the database has already of a batch."""

    addresses: frozenset[object]
    usernames: frozenset[object]
    keys: frozenset[object]
    identities: frozenset[tuple[object, object]]


class _Undone(Exception):
    """Ends a transaction that was only tried."""


class Seen:
    """Which row of this run was the first with a name; on disk, so that memory does not grow with their number."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("CREATE TABLE seen (name TEXT PRIMARY KEY, number INTEGER) WITHOUT ROWID")

    def claim(self, name: str, number: int) -> int | None:
        """Note that this row has the name; an earlier row that has it, or None."""
        row = self._connection.execute("SELECT number FROM seen WHERE name = ?", (name,)).fetchone()
        if row is None:
            self._connection.execute("INSERT INTO seen VALUES (?, ?)", (name, number))
            return None
        return int(row[0])


class ImportStore:
    """Looks batches of users up, and adds them."""

    def __init__(self, kernel: Kernel, passwords: PasswordService) -> None:
        self._kernel = kernel
        self._passwords = passwords
        self._users = kernel.tables.users
        self._key = kernel.users.key

    @contextmanager
    def seen(self) -> Iterator[Seen]:
        """The names of one run."""
        connection = sqlite3.connect("", isolation_level=None)  # a file of SQLite's own, gone when it is closed
        try:
            connection.execute("BEGIN")
            yield Seen(connection)
        finally:
            connection.close()

    async def known(self, arrivals: Sequence[Arrival]) -> Known:
        """Which addresses, usernames, keys and identities of these the database has."""
        users, identities = self._users.c, self._kernel.tables.identities.c
        keys = (arrival.values[self._key.name] for arrival in arrivals if self._key.name in arrival.values)
        subjects = [each.subject for arrival in arrivals for each in arrival.identities]
        pairs = select(identities.issuer, identities.subject).where(identities.subject.in_(subjects))
        rows = await self._kernel.database.read(pairs) if subjects else ()
        return Known(
            addresses=await self._those(users.email_canonical, (each.email.canonical for each in arrivals)),
            usernames=await self._those(users.username_canonical, (each.name for each in arrivals if each.name)),
            keys=await self._those(self._key, keys),
            identities=frozenset((row.issuer, row.subject) for row in rows),
        )

    async def add(self, arrivals: Sequence[Arrival], *, keep: bool) -> None:
        """Add these, all or none, in one transaction.

        Args:
            keep: else it is only tried whether the database would take them.

        Raises:
            UniqueViolation, ConstraintViolation, Conflict, Unprocessable: it refuses one of them.
        """
        with suppress(_Undone):
            async with self._kernel.database.transaction() as connection:
                for group in _alike(arrivals):
                    await self._add(connection, group)
                if not keep:
                    raise _Undone
                await self._move_sequence(connection, arrivals)

    async def _add(self, connection: AsyncConnection, group: Group) -> None:
        statement = insert(self._users).returning(self._key, sort_by_parameter_order=True)
        keys = (await connection.execute(statement, [_row(arrival) for arrival in group])).scalars().all()
        added = list(zip(keys, group, strict=True))
        digests = [(key, arrival.digest) for key, arrival in added if arrival.digest is not None]
        await self._passwords.add_all(connection, digests)
        await self._kernel.rights.grant_roles(connection, ((key, role) for key, each in added for role in each.roles))
        for key, arrival in added:
            for each in arrival.identities:
                await self._kernel.identities.link(
                    connection,
                    key,
                    provider=each.provider,
                    issuer=each.issuer,
                    subject=each.subject,
                    email=each.email,
                )

    async def _move_sequence(self, connection: AsyncConnection, arrivals: Sequence[Arrival]) -> None:
        """PostgreSQL would give the next user a key that was kept."""
        kept = [arrival.values[self._key.name] for arrival in arrivals if self._key.name in arrival.values]
        if not kept or not isinstance(kept[0], int) or connection.dialect.name != "postgresql":
            return
        table = connection.dialect.identifier_preparer.format_table(self._users)
        sequence = func.pg_get_serial_sequence(table, self._key.name)
        biggest = select(func.max(self._key)).scalar_subquery()
        await connection.execute(select(func.setval(sequence, func.greatest(biggest, func.nextval(sequence)))))

    async def _those(self, column: Column[object], values: Iterable[object]) -> frozenset[object]:
        wanted = list(values)
        if not wanted:
            return frozenset()
        rows = await self._kernel.database.read(select(column).where(column.in_(wanted)))
        return frozenset(row[0] for row in rows)


def _alike(arrivals: Sequence[Arrival]) -> Iterable[Group]:
    """One INSERT for all that have the same columns."""
    groups: dict[frozenset[str], Group] = {}
    for arrival in arrivals:
        groups.setdefault(frozenset(arrival.values), []).append(arrival)
    return groups.values()


def _row(arrival: Arrival) -> dict[str, object]:
    return {
        "email": arrival.email.typed,
        "email_canonical": arrival.email.canonical,
        "username": arrival.username.typed if arrival.username else None,
        "username_canonical": arrival.name,
        **arrival.values,
    }
