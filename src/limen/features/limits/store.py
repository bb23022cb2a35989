"""Where tries are remembered: the database, Redis or Valkey, or this process. Each counts in one step."""

import heapq
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    String,
    Table,
    Text,
    Update,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from limen.core import base64url, tries
from limen.core.clock import Clock
from limen.core.opaque import digest
from limen.core.tries import MARK, TIME, Budget
from limen.db.database import Database
from limen.db.expired import delete_expired
from limen.db.types import Timestamp, from_epoch
from limen.errors import Unavailable
from limen.feed.redis import connect

MAX_REMEMBERED = 100_000
ANSWER_SECONDS = 5.0
MAX_SETTLED = 3
"""Lines that one try is counted in: its address, its account, its device."""

Changes = Mapping[str, tuple[str, str]]
"""By line: the mark there, and what becomes of it; nothing, to take it out."""


class TryStore(Protocol):
    """Lines of marks, by name."""

    async def take(self, name: str, own: str, budget: Budget, now: float) -> tuple[bool, str]:
        """Add a mark if there is room, in one step; whether there was, and the line as it is now.

        Raises:
            Unavailable: the store is down.
        """
        ...

    async def settle(self, changes: Changes) -> None:
        """Replace marks.

        Raises:
            Unavailable: the store is down.
        """
        ...

    async def forget(self, name: str) -> None:
        """Drop a line, and those whose names go on from it with a dot.

        Raises:
            Unavailable: the store is down.
        """
        ...

    async def purge(self) -> int:
        """Drop the lines that say nothing any more; how many."""
        ...

    async def aclose(self) -> None:
        """Close what was opened."""
        ...


class MemoryTries:
    """Tries in this process: exact for one worker."""

    def __init__(self, clock: Clock, *, max_lines: int = MAX_REMEMBERED) -> None:
        self._clock = clock
        self._max_lines = max_lines
        self._lines: dict[str, tuple[float, str]] = {}

    async def take(self, name: str, own: str, budget: Budget, now: float) -> tuple[bool, str]:
        _, marks = self._lines.get(name, (0.0, ""))
        taken = tries.take(marks, own, budget, now)
        if taken is None:
            return False, marks
        if len(self._lines) >= self._max_lines and name not in self._lines:
            await self.purge()
            self._make_room()
        self._lines[name] = (now + budget.lasts, taken)
        return True, taken

    async def settle(self, changes: Changes) -> None:
        for name, (own, becomes) in changes.items():
            if name in self._lines:
                expires_at, marks = self._lines[name]
                self._lines[name] = (expires_at, marks.replace(own, becomes))

    async def forget(self, name: str) -> None:
        for each in [each for each in self._lines if each == name or each.startswith(f"{name}.")]:
            del self._lines[each]

    async def purge(self) -> int:
        now, before = self._clock.time(), len(self._lines)
        self._lines = {name: line for name, line in self._lines.items() if line[0] > now and line[1]}
        return before - len(self._lines)

    async def aclose(self) -> None:
        return None

    def _make_room(self) -> None:
        """Forget a tenth, those that would be forgotten soonest."""
        too_many = len(self._lines) - self._max_lines + self._max_lines // 10
        for name in heapq.nsmallest(max(0, too_many), self._lines, key=lambda each: self._lines[each][0]):
            del self._lines[name]


class DatabaseTries:
    """Tries in the app's own database: exact over every worker, nothing else to run."""

    def __init__(self, database: Database, table: Table, clock: Clock) -> None:
        self._database = database
        self._table = table
        self._clock = clock
        self._takings: dict[int, ReturningInsert[tuple[str]]] = {}
        self._marks = select(table.c.marks).where(table.c.name == bindparam("line"))
        self._settling = self._settlement()

    async def take(self, name: str, own: str, budget: Budget, now: float) -> tuple[bool, str]:
        statement = self._takings.setdefault(len(budget.rates), self._taking(len(budget.rates)))
        values: dict[str, object] = {
            "line": name,
            "own": own,
            "until": from_epoch(now + budget.lasts),
            "kept": budget.kept * MARK,
        }
        for place, rate in enumerate(budget.rates):
            values[f"size_{place}"] = rate.requests * MARK
            values[f"start_{place}"] = (rate.requests - 1) * MARK + 1
            values[f"since_{place}"] = tries.milliseconds(now - rate.seconds)
        rows = await self._database.write(statement, values)
        if rows:
            return True, rows[0].marks
        standing = await self._database.read(self._marks, {"line": name})
        return False, standing[0].marks if standing else ""

    async def settle(self, changes: Changes) -> None:
        values: dict[str, object] = {}
        for place in range(MAX_SETTLED):
            name, (own, becomes) = list(changes.items())[place % len(changes)]
            values |= {f"line_{place}": name, f"own_{place}": own, f"becomes_{place}": becomes}
        await self._database.write(self._settling, values)

    async def forget(self, name: str) -> None:
        column = self._table.c.name
        lines = or_(column == name, column.startswith(f"{name}.", autoescape=True))
        await self._database.write(delete(self._table).where(lines))

    async def purge(self) -> int:
        gone = or_(self._table.c.expires_at <= self._clock.now(), self._table.c.marks == "")
        return await delete_expired(self._database, self._table, gone)

    async def aclose(self) -> None:
        return None

    def _taking(self, rates: int) -> ReturningInsert[tuple[str]]:
        """One statement: the line's row is locked, looked at and changed by the database itself."""
        table = self._table
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        marks = table.c.marks
        has_room = and_(
            *(
                or_(
                    func.length(marks) < bindparam(f"size_{place}", type_=Integer()),
                    func.substr(marks, bindparam(f"start_{place}", type_=Integer()), TIME)
                    <= bindparam(f"since_{place}", type_=Text()),
                )
                for place in range(rates)
            )
        )
        statement = insert(table).values(
            name=bindparam("line"), marks=bindparam("own"), expires_at=bindparam("until", type_=Timestamp())
        )
        added = func.substr(statement.excluded.marks.concat(marks), 1, bindparam("kept", type_=Integer()))
        changes = {"marks": added, "expires_at": statement.excluded.expires_at}
        return statement.on_conflict_do_update(index_elements=[table.c.name], set_=changes, where=has_room).returning(
            marks
        )

    def _settlement(self) -> Update:
        """All lines of one try in one statement, locked in the order of their names, so that no two wait crosswise."""
        table = self._table
        lines: list[BindParameter[str]] = [bindparam(f"line_{place}", type_=String()) for place in range(MAX_SETTLED)]
        locked = select(table.c.name).where(table.c.name.in_(lines)).order_by(table.c.name).with_for_update().cte()
        marks: ColumnElement[str] = table.c.marks
        for place in range(MAX_SETTLED):
            own, becomes = (bindparam(f"{word}_{place}", type_=Text()) for word in ("own", "becomes"))
            marks = func.replace(marks, own, becomes)
        return update(table).where(table.c.name.in_(select(locked.c.name))).values(marks=marks)


class RedisTries:
    """Tries in Redis or Valkey: exact over every worker; a line lives no longer than it says something.

    Args:
        issuer: whose tries.
    """

    def __init__(self, url: str, issuer: str) -> None:
        name = base64url.encode(digest(issuer))[:16]
        self._prefix = f"limen:{{tries:{name}}}:"  # the braces keep them on one node of a cluster
        self._redis = connect(url, answer_seconds=ANSWER_SECONDS)
        self._take = self._redis.register_script(_TAKE)
        self._settle = self._redis.register_script(_SETTLE)

    async def take(self, name: str, own: str, budget: Budget, now: float) -> tuple[bool, str]:
        rates = [
            word
            for rate in budget.rates
            for word in ((rate.requests - 1) * MARK, tries.milliseconds(now - rate.seconds))
        ]
        words = [own, budget.kept * MARK, (budget.lasts + 1) * 1000, TIME, *rates]
        with _reached():
            taken, marks = await self._take(keys=[self._prefix + name], args=words)
        return bool(taken), marks.decode()

    async def settle(self, changes: Changes) -> None:
        keys = [self._prefix + name for name in changes]
        with _reached():
            await self._settle(keys=keys, args=[word for change in changes.values() for word in change])

    async def forget(self, name: str) -> None:
        with _reached():
            await self._redis.delete(self._prefix + name)
            async for key in self._redis.scan_iter(match=f"{self._prefix}{name}.*", count=1000):
                await self._redis.delete(key)

    async def purge(self) -> int:
        """The server does it by itself."""
        return 0

    async def aclose(self) -> None:
        await self._redis.aclose()


@contextmanager
def _reached() -> Iterator[None]:
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise Unavailable(f"Redis cannot be reached: {type(error).__name__}") from None


# The same as `core.tries.take`: one script is one step.
_TAKE = """
local marks = redis.call('GET', KEYS[1]) or ''
local width = tonumber(ARGV[4])
for place = 5, #ARGV, 2 do
  local start = tonumber(ARGV[place])
  local oldest = string.sub(marks, start + 1, start + width)
  if oldest ~= '' and oldest > ARGV[place + 1] then return {0, marks} end
end
marks = string.sub(ARGV[1] .. marks, 1, tonumber(ARGV[2]))
redis.call('SET', KEYS[1], marks, 'PX', ARGV[3])
return {1, marks}
"""
_SETTLE = """
for place = 1, #KEYS do
  local marks = redis.call('GET', KEYS[place]) or ''
  local first, last = string.find(marks, ARGV[2 * place - 1], 1, true)
  if first then
    marks = string.sub(marks, 1, first - 1) .. ARGV[2 * place] .. string.sub(marks, last + 1)
    if marks == '' then redis.call('DEL', KEYS[place])
    else redis.call('SET', KEYS[place], marks, 'KEEPTTL') end
  end
end
return 1
"""
