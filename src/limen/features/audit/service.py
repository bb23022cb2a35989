"""Decides what the record says and when it is written."""

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import cast
from uuid import UUID, uuid4

from opentelemetry import metrics, trace
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.audit_chain import Entry
from limen.core.audit_entries import digests_of, entry_of, line_of
from limen.core.cause import acting_from
from limen.core.repetitions import Repetitions
from limen.core.tasks import end_tasks
from limen.errors import AuthError, Unavailable
from limen.events import Event, Pace
from limen.features.audit.steps import Chain, Verification
from limen.features.audit.store import AuditStore
from limen.kernel import Kernel

_lines = logging.getLogger("limen.audit")
_log = logging.getLogger("limen.audit.record")
_tracer = trace.get_tracer("limen")
_meter = metrics.get_meter("limen")
_entries = _meter.create_counter("limen.audit.entries", description="what happened, by event and result")
_lost = _meter.create_counter("limen.audit.lost", description="entries that found no room while the database was down")

WRITE_SECONDS = 0.25
"""How long an entry waits in memory while the database answers: what a crash can lose."""

SEAL_SECONDS = 1.0
LOOK_SECONDS = 30.0
"""How often a worker looks for entries of others that wait for their place, such as those of a command."""

MAX_WAITING = 10_000
BATCH = 500
PAGE = 2_000
LOST = "audit_entries_lost"


class AuditService:
    """Writes the record and reads it."""

    kernel: Kernel
    store: AuditStore
    chain: Chain
    digest_keys: tuple[bytes, ...]
    skipped: frozenset[str]
    retention: timedelta | None

    def __init__(self) -> None:
        self._queue: deque[Entry] = deque()
        self._repetitions = Repetitions()
        self._recorded: dict[UUID, Entry] = {}
        self._lost = 0
        self._needs_seal = False
        self._wake: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None

    # --- what is heard

    async def hear(self, event: Event) -> None:
        """Record what has happened: at once if it is rare, soon after if not, counted if there is no end of it."""
        entry = self._recorded.pop(event.id, None)
        is_written = entry is not None
        entry = entry or self._entry(event)
        if not self._passes(entry, event.pace):
            return
        self._say(entry)
        self._needs_seal = True
        if is_written:
            return
        if self._task is not None and event.pace is not Pace.RARE:
            self._keep(entry)
            return
        try:
            await self.store.add([entry])
            if self._task is None:
                await self.write()
        except Unavailable as outage:
            _log.warning("an entry waits for the database: %s", outage.reason)
            self._keep(entry)

    async def record(self, connection: object, event: Event) -> None:
        """Write what happens within the transaction in which it does: both are there or neither."""
        entry = self._entry(event)
        if entry.event in self.skipped:
            return
        await self.store.add_within(cast("AsyncConnection", connection), entry)
        while len(self._recorded) >= MAX_WAITING:  # of transactions that never committed
            self._recorded.pop(next(iter(self._recorded)))
        self._recorded[event.id] = entry

    def note(self, event: Event) -> None:
        """Record a refusal without waiting for anything."""
        entry = self._entry(event)
        if self._passes(entry, event.pace):
            self._say(entry)
            self._keep(entry)

    # --- what is read

    async def list(
        self,
        *,
        user: object | None = None,
        event: str | None = None,
        name: str | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> tuple[Entry, ...]:
        """The latest entries first.

        Args:
            user: only what concerns this user, or what they did: their id, as text or not.
            event: only events of this name, such as `logged_in`.
            name: only failed sign-ins under this e-mail address or username.
            before: the `id` of the last entry of the page before.
        """
        await self.write()
        names = () if name is None else digests_of(name, self.digest_keys)
        subject = None if user is None else str(user)
        return await self.store.list_page(user=subject, event=event, names=names, before=before, limit=limit)

    async def export(self, *, after: int = 0) -> AsyncIterator[Entry]:
        """Every entry in the order in which they were written, above the id `after`; never many of them in memory."""
        await self.write()
        while found := await self.store.list_from(after=after, limit=PAGE):
            for entry in found:
                yield entry
            after = found[-1].id or after

    async def verify(self, *, noted: str | None = None) -> Verification:
        """Look for whatever was changed, added, taken out or cut off since it was written.

        Args:
            noted: a head that was noted before, `seq:hash`: the record must still contain it.

        Raises:
            ValueError: `noted` is not of that form.
            Unavailable: the database is down.
        """
        await self.write()
        return await self.chain.verify(noted=noted)

    # --- how it is written

    async def begin(self) -> None:
        """Write behind the answers from now on."""
        if self._task is None:
            self._wake = asyncio.Event()
            self._needs_seal = True
            self._task = asyncio.create_task(self._run())

    async def end(self) -> None:
        """Write what waits, give it its place, and write at once from now on."""
        if self._task is None:
            return
        await end_tasks([self._task])
        self._task = None
        for entry in self._repetitions.due(now=self.kernel.clock.monotonic(), is_end=True):
            self._say(entry)
            self._keep(entry)
        try:
            await self.write()
            if self._needs_seal:
                await self.seal()
        except AuthError as outage:
            _log.error("%d entries of the audit record are lost: %s", len(self._queue) + self._lost, outage.reason)

    async def write(self) -> None:
        """Write what waits in memory."""
        if self._lost:
            self._queue.append(self._own_entry("audit_entries_lost", count=self._lost))
            self._lost = 0
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            with _tracer.start_as_current_span("limen.audit.write", attributes={"limen.entries": len(batch)}):
                await self._write(batch)
            self._needs_seal = True

    async def seal(self) -> None:
        """Give every entry that waits its place in the chain, whoever wrote it."""
        self._needs_seal = False
        await self.chain.seal()

    async def purge(self) -> int:
        """Delete entries that are older than the retention, and say how many; the chain begins after them then."""
        if self.retention is None:
            return 0
        return await self.chain.purge(before=self.kernel.clock.now() - self.retention)

    async def _run(self) -> None:
        clock = self.kernel.clock
        sealed_at = looked_at = float("-inf")
        while True:
            await self._pause()
            now = clock.monotonic()
            for entry in self._repetitions.due(now=now):
                self._say(entry)
                self._keep(entry)
            try:
                await self.write()
                if (self._needs_seal and now - sealed_at >= SEAL_SECONDS) or now - looked_at >= LOOK_SECONDS:
                    sealed_at = looked_at = now
                    await self.seal()
            except Exception as error:
                self._needs_seal = True
                _log.warning("the audit record cannot be written: %s", getattr(error, "reason", error))
                await asyncio.sleep(SEAL_SECONDS)

    async def _write(self, batch: Sequence[Entry]) -> None:
        try:
            await self.store.add(batch)
        except (Unavailable, asyncio.CancelledError):
            self._queue.extendleft(reversed(batch))  # one that was written after all is there once
            raise
        except Exception:
            if len(batch) > 1:
                for entry in batch:  # one that the database cannot hold must not keep the others out
                    await self._write([entry])
                return
            _log.exception("the audit record cannot hold an entry of %s", batch[0].event)
            self._lost += 1

    async def _pause(self) -> None:
        """Until the oldest entry has waited long enough, or there is something to look after by itself."""
        assert self._wake is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SEAL_SECONDS):
                await self._wake.wait()
        self._wake.clear()
        if self._queue:
            await asyncio.sleep(WRITE_SECONDS)

    def _entry(self, event: Event) -> Entry:
        return entry_of(event, client=acting_from(), digest_keys=self.digest_keys)

    def _own_entry(self, name: str, *, count: int = 1, **details: object) -> Entry:
        now, said = self.kernel.clock.now(), json.dumps(details, sort_keys=True, separators=(",", ":"))
        return Entry(event_id=uuid4().hex, at=now, event=name, result="refused", count=count, details=said)

    def _passes(self, entry: Entry, pace: Pace) -> bool:
        _entries.add(1, {"limen.event": entry.event, "limen.result": entry.result})
        if entry.event in self.skipped:
            return False
        return pace is not Pace.ENDLESS or self._repetitions.is_first(entry, now=self.kernel.clock.monotonic())

    def _say(self, entry: Entry) -> None:
        span = trace.get_current_span()
        if span.is_recording():
            span.add_event(f"limen.{entry.event}", {"limen.result": entry.result, "limen.count": entry.count})
        if _lines.isEnabledFor(logging.INFO):
            _lines.info("%s", line_of(entry))

    def _keep(self, entry: Entry) -> None:
        if len(self._queue) >= MAX_WAITING:
            self._lost += 1
            _lost.add(1)
            return
        self._queue.append(entry)
        if self._wake is not None:
            self._wake.set()
