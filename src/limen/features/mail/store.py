"""SQL of the feature `mail`: the outbox, and from where somebody signed in before."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, Table, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from limen.db.database import Database
from limen.db.expired import delete_expired
from limen.db.types import Timestamp

MAX_SEEN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A letter as it goes into the outbox.

    Attributes:
        ends_at: from when on it is not worth sending.
    """

    id: UUID
    template: str
    sealed: bytes = field(repr=False)
    posted_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed(Posted):
    """A letter that is this worker's to send until its lease ends.

    Attributes:
        attempts: this one counted; says who holds the lease.
    """

    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What may be known of a letter in the outbox: not to whom, and not what it says.

    Attributes:
        due_at: when it is tried next; None for one that was given up.
    """

    id: UUID
    template: str
    posted_at: datetime
    ends_at: datetime
    due_at: datetime | None
    attempts: int
    last_error: str | None
    given_up_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """From where a session was opened."""

    ip: str | None
    user_agent: str | None


class OutboxStore:
    """Takes letters in, hands each to one worker at a time, forgets them when they are sent."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table
        self._claim = self._claiming()

    async def add(self, connection: AsyncConnection, letter: Posted) -> None:
        """Take a letter in inside a caller's transaction: it leaves if that commits."""
        await connection.execute(insert(self._table), _row(letter))

    async def put(self, letter: Posted) -> None:
        """The same in one statement of its own."""
        await self._database.write(insert(self._table), _row(letter))

    async def claim(self, *, now: datetime, until: datetime, limit: int) -> tuple[Claimed, ...]:
        """The letters that have been due longest, for this worker alone until then. One statement."""
        rows = await self._database.write(self._claim, {"now": now, "until": until, "number": limit})
        return tuple(map(_claimed, rows))

    async def remove(self, letter_id: UUID) -> None:
        """Forget a letter that was sent."""
        await self._database.write(delete(self._table).where(self._table.c.id == letter_id))

    async def postpone(self, letter: Claimed, *, due_at: datetime, error: str) -> None:
        """Try it again then, unless its lease had ended and another worker holds it now."""
        await self._change(letter, {"due_at": due_at, "last_error": error})

    async def give_up(self, letter: Claimed, *, at: datetime, error: str) -> None:
        """Never try it again; what it says is gone."""
        await self._change(letter, {"due_at": None, "sealed": None, "given_up_at": at, "last_error": error})

    async def list(self, *, limit: int) -> tuple[Waiting, ...]:
        """What is in the outbox, the oldest first."""
        table = self._table
        columns = [table.c[name] for name in Waiting.__slots__]
        statement = select(*columns).order_by(table.c.posted_at, table.c.id).limit(limit)
        return tuple(Waiting(**row._mapping) for row in await self._database.read(statement))

    async def purge(self, before: datetime) -> int:
        """Delete what was given up before then."""
        return await delete_expired(self._database, self._table, self._table.c.given_up_at < before)

    async def _change(self, letter: Claimed, values: dict[str, object]) -> None:
        table = self._table
        is_mine = (table.c.id == letter.id, table.c.attempts == letter.attempts)
        await self._database.write(update(table).where(*is_mine).values(values))

    def _claiming(self) -> ReturningUpdate[tuple[object, ...]]:
        """Rows that another worker is claiming at this moment are passed over, not waited for.

        Both conditions count: PostgreSQL looks at the outer one again at a row that changed meanwhile.
        """
        table = self._table
        is_due = table.c.due_at <= bindparam("now", type_=Timestamp())
        due = select(table.c.id).where(is_due).order_by(table.c.due_at).limit(bindparam("number"))
        chosen = due.with_for_update(skip_locked=True).cte("due")
        return (
            update(table)
            .where(table.c.id.in_(select(chosen.c.id)), is_due)
            .values(due_at=bindparam("until", type_=Timestamp()), attempts=table.c.attempts + 1)
            .returning(*(table.c[name] for name in (*Posted.__slots__, *Claimed.__slots__)))
        )


class DeviceStore:
    """Remembers devices by the sessions that were opened on them, as long as these are kept."""

    def __init__(self, database: Database, sessions: Table) -> None:
        self._database = database
        table = sessions
        of_user = (table.c.user_id == bindparam("user"), table.c.id != bindparam("session"))
        latest = select(table.c.ip, table.c.user_agent).where(*of_user).order_by(table.c.created_at.desc())
        self._seen = latest.limit(MAX_SEEN)

    async def seen(self, user_id: object, *, but: UUID) -> tuple[Seen, ...]:
        """From where the user's other sessions were opened, the latest first."""
        rows = await self._database.read(self._seen, {"user": user_id, "session": but})
        return tuple(Seen(ip=row.ip, user_agent=row.user_agent) for row in rows)


def _row(letter: Posted) -> dict[str, object]:
    return {**{name: getattr(letter, name) for name in Posted.__slots__}, "due_at": letter.posted_at}


def _claimed(row: Row[tuple[object, ...]]) -> Claimed:
    return Claimed(**{str(name): value for name, value in row._mapping.items()})
