"""The session row and its verbs: one sign-in on one device, whatever carries it.

`rotate` is one atomic statement (RFC 9700 §4.14.2). A session that ends writes its revocation in the same transaction.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    String,
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
from sqlalchemy.sql.dml import ReturningUpdate

from limen.core.client import NOWHERE, Client
from limen.core.clock import Clock
from limen.core.opaque import RefreshPair, new_id
from limen.core.revocations import Revocation, Revoked
from limen.core.rights import Held
from limen.db.database import Database
from limen.db.expired import delete_expired
from limen.db.hot import Record
from limen.db.revocation_log import RevocationLog
from limen.db.rights import RightsStore
from limen.db.tables import Tables
from limen.db.types import Timestamp

MAX_ADDRESSES = 200
"""Sessions, the latest first, whose addresses are those of their user."""

_TIME_DIGITS, _GENERATION_DIGITS = 13, 12
_MARK_DIGITS = _TIME_DIGITS + _GENERATION_DIGITS
_MARKS, _MARKS_PER_GRACE = 10, 8  # two more than the grace takes: its ends fall between marks


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session as it stands, with the rights of its user in the same snapshot.

    Attributes:
        carrier: what carries it: `token` or `cookie`.
        generation: how often its refresh token was rotated.
        scope: what it was narrowed to at login, or None for everything that the user holds.
        idle_ends_at: when it ends if it is not used; moved by use, never past `ends_at`.
    """

    id: UUID
    user_id: object
    carrier: str
    generation: int
    rotations: str
    scope: str | None
    client_id: str | None
    amr: tuple[str, ...]
    authenticated_at: datetime
    created_at: datetime
    last_seen_at: datetime
    idle_ends_at: datetime
    ends_at: datetime
    ip: str | None
    user_agent: str | None
    ended_at: datetime | None
    secret_digest: bytes | None = field(repr=False)
    held: Held

    def is_live(self, now: datetime) -> bool:
        """Whether it has neither been ended nor run out."""
        return self.ended_at is None and now < min(self.idle_ends_at, self.ends_at)

    def was_rotated_within(self, generation: int, grace: timedelta, *, now: datetime) -> bool:
        """Whether this generation was rotated away in the last `grace`, however often the session was since.

        One between two marks went before the spacing of marks was over, and not after the session was last seen.
        """
        for start in range(0, len(self.rotations), _MARK_DIGITS):
            mark = self.rotations[start : start + _MARK_DIGITS]
            marked, at = int(mark[_TIME_DIGITS:]), int(mark[:_TIME_DIGITS]) / 1000
            if marked <= generation < self.generation:
                spacing = (grace / _MARKS_PER_GRACE).total_seconds()
                latest = at if marked == generation else min(at + spacing, self.last_seen_at.timestamp())
                return now.timestamp() - latest <= grace.total_seconds()
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long sessions last unused and at most, and how long an ended one's tokens could still be shown."""

    idle: timedelta
    absolute: timedelta
    credential: timedelta


class SessionsBeside(Protocol):
    """What a feature keeps of people's sessions elsewhere; it ends with theirs here."""

    async def end_all_within(self, connection: AsyncConnection, user_id: object) -> Sequence[Revocation]:
        """End those of a user, inside a caller's transaction, which writes and applies the revocations."""
        ...

    async def end_some_within(self, connection: AsyncConnection, *, limit: int) -> Sequence[Revocation]:
        """End so many, whoever's, likewise."""
        ...


class SessionStore:
    """Opens, rotates, finds and ends sessions."""

    def __init__(
        self,
        database: Database,
        tables: Tables,
        *,
        rights: RightsStore,
        log: RevocationLog,
        clock: Clock,
        lifetimes: Lifetimes,
        max_sessions: int | None = None,
    ) -> None:
        """
        Args:
            max_sessions: live ones that a user may have; a further sign-in ends the one that was seen longest ago.
        """
        self._database = database
        self._max_sessions = max_sessions
        self._table = tables.sessions
        self._rights = rights
        self._log = log
        self._clock = clock
        self.lifetimes = lifetimes
        self._beside: list[SessionsBeside] = []
        self._columns = (*self._table.c, *rights.columns(self._table.c.user_id))
        self._find = database.hot(select(*self._columns).where(self._table.c.id == bindparam("session")))
        self._rotate = database.hot(self._rotation())
        mine = self._table.c.user_id == bindparam("of")
        self._addresses = select(self._table.c.ip).where(mine).order_by(self._table.c.id.desc()).limit(MAX_ADDRESSES)

    async def open(
        self,
        user_id: object,
        *,
        carrier: str,
        amr: Collection[str],
        scope: str | None = None,
        client_id: str | None = None,
        client: Client = NOWHERE,
        secret_digest: bytes | None = None,
        session_id: UUID | None = None,
    ) -> UUID:
        """Begin a session and commit it; its id.

        Args:
            secret_digest: of the cookie that carries it; tokens need none.
            session_id: when the caller had to know it beforehand.
        """
        now = self._clock.now()
        session_id = session_id or new_id(now.timestamp())
        row = {
            "id": session_id,
            "user_id": user_id,
            "carrier": carrier,
            "secret_digest": secret_digest,
            "amr": " ".join(amr),
            "scope": scope or None,
            "client_id": client_id,
            "ip": client.ip,
            "user_agent": client.user_agent,
            "authenticated_at": now,
            "created_at": now,
            "last_seen_at": now,
            "idle_ends_at": now + self.lifetimes.idle,
            "ends_at": now + self.lifetimes.absolute,
        }
        await self._database.write(insert(self._table), row)
        if self._max_sessions is not None:
            await self._end(self._beyond_cap(user_id, self._max_sessions), "too_many_sessions")
        return session_id

    async def rotate(self, pair: RefreshPair, *, grace: timedelta) -> Session | None:
        """Move a live session from the pair's generation to the next; None when it is not at that generation.

        One statement decides: of any number of workers that try at once, one gets the row.
        """
        now = self._clock.now()
        values = {
            "session": pair.session_id,
            "shown": pair.generation,
            "moment": now,
            "slid": now + self.lifetimes.idle,
            "mark": f"{_milliseconds(now)}{pair.generation:0{_GENERATION_DIGITS}d}",
            "mark_is_due": _milliseconds(now - grace / _MARKS_PER_GRACE),
            "mark_is_ahead": _milliseconds(now),
        }
        rows = await self._database.run_hot(self._rotate, values)
        return self._session(rows[0]) if rows else None

    async def find(self, session_id: UUID) -> Session | None:
        """The session as it stands, ended or not."""
        rows = await self._database.run_hot(self._find, {"session": session_id})
        return self._session(rows[0]) if rows else None

    async def list_live(self, user_id: object) -> tuple[Session, ...]:
        """The user's live sessions, the latest seen first."""
        statement = (
            select(*self._columns)
            .where(self._table.c.user_id == user_id, self._is_live(self._clock.now()))
            .order_by(self._table.c.last_seen_at.desc(), self._table.c.id)
        )
        return tuple(map(self._session, await self._database.read(statement)))

    def _session(self, row: Record) -> Session:
        values = dict(zip(self._find.names, row, strict=True))
        own = {name: values[name] for name in Session.__slots__ if name not in ("amr", "held")}
        return Session(**own, amr=tuple(str(values["amr"]).split()), held=RightsStore.held(values))  # type: ignore[arg-type]  # typed by the table

    async def addresses_of(self, user_id: object | None) -> frozenset[str]:
        """From where the user signed in of late; None is looked for like a user that there is not."""
        rows = await self._database.read(self._addresses, {"of": user_id})
        return frozenset(row.ip for row in rows if row.ip is not None)

    async def list_all(self, user_id: object) -> tuple[Session, ...]:
        """The user's sessions, also those that are over and not purged yet, the newest first."""
        table = self._table
        order = table.c.created_at.desc(), table.c.id
        statement = select(*self._columns).where(table.c.user_id == user_id).order_by(*order)
        return tuple(map(self._session, await self._database.read(statement)))

    async def end(self, session_id: UUID, *, reason: str, user_id: object | None = None) -> bool:
        """End one session (of this user, if one is named) in its own transaction; False if it was not live."""
        where = self._table.c.id == session_id
        if user_id is not None:
            where = and_(where, self._table.c.user_id == user_id)
        return bool(await self._end(where, reason))

    async def end_all(self, user_id: object, *, reason: str, but: UUID | None = None) -> tuple[str, ...]:
        """End the user's sessions, all or all but one, in one committed transaction; what they are revoked by."""
        async with self._database.transaction() as connection:
            entries = await self.end_all_within(connection, user_id, reason=reason, but=but)
        self._log.apply(entries)
        return tuple(entry.target for entry in entries)

    async def end_all_within(
        self, connection: AsyncConnection, user_id: object, *, reason: str, but: UUID | None = None
    ) -> tuple[Revocation, ...]:
        """The same inside a caller's transaction; the caller applies the revocations after its commit."""
        ended = await self._end_within(connection, self._of(user_id, but), reason)
        beside = [entry for each in self._beside for entry in await each.end_all_within(connection, user_id)]
        await self._log.append(connection, beside)
        return (*ended, *beside)

    def also_end(self, beside: SessionsBeside) -> None:
        """From now on, whatever ends every session of a user ends what this keeps of theirs too."""
        self._beside.append(beside)

    async def end_some(self, connection: AsyncConnection, *, limit: int, reason: str) -> tuple[Revocation, ...]:
        """End so many sessions, whoever's, inside a caller's transaction; none when nobody has one any more."""
        live = select(self._table.c.id).where(self._is_live(self._clock.now())).limit(limit)
        ended = [*await self._end_within(connection, self._table.c.id.in_(live), reason)]
        for each in self._beside:
            beside = await each.end_some_within(connection, limit=limit - len(ended))
            await self._log.append(connection, beside)
            ended += beside
        return tuple(ended)

    async def purge(self, *, keep: timedelta) -> int:
        """Delete sessions that ended, by themselves or not, longer ago than `keep`."""
        before = self._clock.now() - keep
        table = self._table
        gone = or_(table.c.ended_at < before, table.c.idle_ends_at < before, table.c.ends_at < before)
        return await delete_expired(self._database, table, gone)

    async def _end(self, where: ColumnElement[bool], reason: str) -> tuple[str, ...]:
        async with self._database.transaction() as connection:
            entries = await self._end_within(connection, where, reason)
        self._log.apply(entries)
        return tuple(entry.target for entry in entries)

    async def _end_within(
        self, connection: AsyncConnection, where: ColumnElement[bool], reason: str
    ) -> tuple[Revocation, ...]:
        now = self._clock.now()
        statement = (
            update(self._table)
            .where(where, self._table.c.ended_at.is_(None))
            .values(ended_at=now, end_reason=reason)
            .returning(self._table.c.id)
        )
        ended = (await connection.execute(statement)).scalars().all()
        expires_at = (now + self.lifetimes.credential).timestamp()
        entries = tuple(Revocation(kind=Revoked.SESSION, target=str(id), expires_at=expires_at) for id in ended)
        await self._log.append(connection, entries)
        return entries

    def _rotation(self) -> ReturningUpdate[tuple[object, ...]]:
        table = self._table
        slid = bindparam("slid", type_=Timestamp())
        is_shown = and_(table.c.id == bindparam("session"), table.c.generation == bindparam("shown"))
        statement = update(table).where(is_shown, self._is_live(bindparam("moment", type_=Timestamp())))
        return statement.values(
            generation=table.c.generation + 1,
            rotations=self._marked(),
            last_seen_at=bindparam("moment", type_=Timestamp()),
            idle_ends_at=case((table.c.ends_at < slid, table.c.ends_at), else_=slid),
        ).returning(*self._columns)

    def _marked(self) -> ColumnElement[str]:
        """The marks of a session that rotates now, newest first: when, and which generation went away.

        A mark is set only where the latest is due (or in the future of a clock that runs ahead), so that a few are
        enough for the whole grace, even if tabs rotate in a tight loop.
        """
        marks = self._table.c.rotations
        latest = func.substr(marks, 1, _TIME_DIGITS)
        due, ahead, mark = (bindparam(name, type_=String()) for name in ("mark_is_due", "mark_is_ahead", "mark"))
        is_due = or_(latest <= due, latest > ahead)
        return case((is_due, func.substr(mark.concat(marks), 1, _MARKS * _MARK_DIGITS)), else_=marks)

    def _of(self, user_id: object, but: UUID | None) -> ColumnElement[bool]:
        mine = self._table.c.user_id == user_id
        return mine if but is None else and_(mine, self._table.c.id != but)

    def _beyond_cap(self, user_id: object, cap: int) -> ColumnElement[bool]:
        table = self._table
        kept = (
            select(table.c.id)
            .where(table.c.user_id == user_id, self._is_live(self._clock.now()))
            .order_by(table.c.last_seen_at.desc(), table.c.id.desc())
            .limit(cap)
        )
        return and_(table.c.user_id == user_id, table.c.id.not_in(kept))

    def _is_live(self, now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
        table = self._table
        return and_(table.c.ended_at.is_(None), table.c.idle_ends_at > now, table.c.ends_at > now)


def _milliseconds(moment: datetime) -> str:
    return f"{int(moment.timestamp() * 1000):0{_TIME_DIGITS}d}"
