"""The steps of the chain: give entries their places, purge from the beginning, find what was tampered with."""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from uuid import uuid4

from anyio import to_thread
from opentelemetry import metrics, trace
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.audit_chain import (
    ORIGIN,
    RESUMED,
    ChainKeys,
    Entry,
    Flaw,
    Head,
    Link,
    Row,
    StoredHead,
    Walk,
    content_of,
    link,
)
from limen.core.clock import Clock
from limen.db.database import Database
from limen.features.audit.store import AuditStore

_lines = logging.getLogger("limen.audit")
_log = logging.getLogger("limen.audit.record")
_tracer = trace.get_tracer("limen")
_broken = metrics.get_meter("limen").create_counter(
    "limen.audit.broken", description="times that the chain could not go on as it was"
)

RESUME_AFTER = timedelta(minutes=10)
"""How long a head that is not genuine is left to workers that may know its key, while they are replaced by turns."""

CHECKPOINT_SECONDS = 60.0
BATCH = 500
WALK = 2_000
PURGE = 10_000
MOST_FLAWS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a look at the whole record found.

    Attributes:
        checked: entries that were walked.
        first_seq, last_seq: from where to where.
        head: `seq:hash`; noted elsewhere, it finds out later whether the newest entries were cut off.
        waiting: genuine entries that have no place yet.
        unsealed: entries whose root secret is not known any more; later ones hold them.
        flaws: what is wrong, in order; the first thousand.
    """

    checked: int
    first_seq: int
    last_seq: int
    head: str
    waiting: int
    unsealed: int
    flaws: tuple[Flaw, ...]

    @property
    def is_intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.flaws


class Chain:
    """Keeps the record one line of entries, whoever writes them."""

    def __init__(self, database: Database, store: AuditStore, *, keys: ChainKeys, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._keys = keys
        self._clock = clock
        self._checkpoint_at = float("-inf")

    # --- places

    async def seal(self) -> None:
        """Give every genuine entry that waits its place."""
        after: int | None = 0
        with _tracer.start_as_current_span("limen.audit.seal"):
            while after is not None:
                after = await self._seal_some(after)

    async def _seal_some(self, after: int) -> int | None:
        """Of any number of workers one does it at a time; the id to go on after, None when nothing is left."""
        store = self._store
        async with self._database.transaction() as connection:
            head = await self._open_head(connection)
            if head is None:
                return None
            rows = await store.waiting(connection, after=after, limit=BATCH)
            genuine = [row for row in rows if self._is_genuine(row)]
            head, links = self._linked(head, genuine)
            await store.place(connection, links)
            if links:
                await store.move_head(connection, head, self._keys.present)
        self._say_checkpoint(head)
        return rows[-1].id if len(rows) == BATCH else None

    def _linked(self, head: Head, rows: Sequence[Row]) -> tuple[Head, list[tuple[int, Link]]]:
        links = []
        for row in rows:
            made = link(head.hash, row, content_of(row.values), seq=head.seq + 1, key=self._keys.present)
            links.append((row.id, made))
            head = replace(head, seq=made.seq, hash=made.hash)
        return head, links

    def _is_genuine(self, row: Row) -> bool:
        """Written by someone who knows a root secret that is known here: another worker may know more."""
        try:
            return self._keys.wrote(row.mac, content_of(row.values))
        except (AssertionError, TypeError, ValueError, OverflowError):
            return False

    async def _open_head(self, connection: AsyncConnection) -> Head | None:
        """The head to go on from, locked; None if it is not for this worker to do so."""
        store = self._store
        stored, last = await store.lock_head(connection), await store.last_seq(connection) or 0
        if stored is None and last == 0:
            await store.create_head(connection, Head(), self._keys.present)
            stored = await store.lock_head(connection)
        if stored is not None and stored.is_genuine(self._keys) and last <= stored.head.seq:
            if stored.key_id != self._keys.present.id:  # so that the root secret which that replaced can go
                await store.move_head(connection, stored.head, self._keys.present)
            return stored.head
        return await self._resume(connection, stored, last)

    async def _resume(self, connection: AsyncConnection, stored: StoredHead | None, last: int) -> Head | None:
        """Go on after the last entry there is, and say so in the record: what is lost cannot pass for never written."""
        rows = await self._store.waiting(connection, after=0, limit=BATCH)
        waits_since = [row.values[1] for row in rows if self._is_genuine(row)]
        if not any(isinstance(at, datetime) and at < self._clock.now() - RESUME_AFTER for at in waits_since):
            return None
        known = stored.head if stored else Head()
        before = await self._store.hash_at(connection, last) or known.hash
        reason = "the head is missing" if stored is None else "the head is not genuine"
        details = json.dumps({"reason": reason}, separators=(",", ":"))
        entry = Entry(event_id=uuid4().hex, at=self._clock.now(), event=RESUMED, result="refused", details=details)
        row = await self._store.add_row(connection, entry)
        head, links = self._linked(replace(known, seq=last or known.seq, hash=before), [row])
        await self._store.place(connection, links)
        await self._store.create_head(connection, head, self._keys.present)
        await self._store.move_head(connection, head, self._keys.present)
        _broken.add(1)
        _log.error("the audit record goes on at %d after its head was lost: %s", head.seq, reason)
        return head

    def _say_checkpoint(self, head: Head) -> None:
        """Where logs go, the head goes too: out of reach of whoever rewrites the database."""
        now = self._clock.monotonic()
        if now - self._checkpoint_at >= CHECKPOINT_SECONDS and head.seq:
            self._checkpoint_at = now
            at = self._clock.now().isoformat().replace("+00:00", "Z")
            said = {"at": at, "event": "audit_checkpoint", "head": f"{head.seq}:{head.hash.hex()}"}
            _lines.info("%s", json.dumps(said))

    # --- retention

    async def purge(self, *, before: datetime) -> int:
        """Delete the beginning of the chain, up to the first entry that happened since; the head says from where on."""
        purged = 0
        while some := await self._purge_some(before):
            purged += some
        return purged

    async def _purge_some(self, before: datetime) -> int:
        store = self._store
        async with self._database.transaction() as connection:
            stored = await store.lock_head(connection)
            if stored is None or not stored.is_genuine(self._keys):
                return 0
            head = stored.head
            first = await store.first_kept(connection, since=before)
            through = min(head.seq if first is None else first - 1, head.anchor_seq + PURGE)
            anchor = await store.hash_at(connection, through) if through > head.anchor_seq else None
            if anchor is None:
                return 0
            await store.delete_through(connection, through)
            await store.move_head(connection, replace(head, anchor_seq=through, anchor_hash=anchor), self._keys.present)
        return through - head.anchor_seq

    # --- what was tampered with

    async def verify(self, *, noted: str | None = None) -> Verification:
        """Walk the whole record; see `AuditService.verify`."""
        wanted = None if noted is None else _parse_head(noted)
        await self.seal()
        greatest = await self._store.greatest_seq()  # asked before the head, which only grows
        stored = await self._store.head()
        head = stored.head if stored else Head()
        flaws = list(_check_head(stored, self._keys, greatest))
        walk, last = Walk(self._keys, head), head.anchor_hash
        is_noted_there = wanted is None or wanted[0] <= head.anchor_seq
        through = max(greatest, head.seq)
        while rows := await self._store.chained(after=walk.seq, through=through, limit=WALK):
            flaws += (await to_thread.run_sync(partial(_checked, walk, rows)))[: MOST_FLAWS - len(flaws)]
            last = rows[-1].hash or b""
            is_noted_there = is_noted_there or any((row.seq, row.hash) == wanted for row in rows)
        flaws += _check_end(walk.seq, last, head)
        flaws += [] if is_noted_there or wanted is None else [_truncated(wanted[0])]
        waiting, forged = await self._look_at_waiting()
        now = await self._store.head()
        flaws = [each for each in flaws if not (now and _is_purged(each, now.head))]
        return Verification(
            checked=walk.checked,
            first_seq=head.anchor_seq + 1,
            last_seq=walk.seq,
            head=f"{walk.seq}:{last.hex()}",
            waiting=waiting,
            unsealed=walk.unsealed,
            flaws=(*flaws, *forged),
        )

    async def _look_at_waiting(self) -> tuple[int, list[Flaw]]:
        """How many genuine entries wait for a place, and those that limen did not write."""
        waiting, after, forged = 0, 0, list[Flaw]()
        while rows := await self._store.unplaced(after=after, limit=WALK):
            false = [row for row in rows if not self._is_genuine(row)]
            waiting += len(rows) - len(false)
            forged += map(_forged, false[: MOST_FLAWS - len(forged)])
            after = rows[-1].id
        return waiting, forged


def _checked(walk: Walk, rows: Sequence[Row]) -> list[Flaw]:
    return list(walk.check(rows))


def _check_head(stored: StoredHead | None, keys: ChainKeys, greatest: int) -> Iterator[Flaw]:
    if stored is None:
        if greatest:
            yield Flaw(kind="head", sentence="The head is missing: entries may be missing at either end.")
        return
    if keys.find(stored.key_id) is None:
        yield Flaw(kind="head", sentence=_UNKNOWN_KEY)
    elif not stored.is_genuine(keys):
        yield Flaw(kind="head", sentence="The head was changed: entries may be missing at either end.")
    if greatest > stored.head.seq:
        first = stored.head.seq + 1
        sentence = f"Entries {first} to {greatest} are beyond the head."
        yield Flaw(kind="inserted", seq=first, last_seq=greatest, sentence=sentence)


def _check_end(seq: int, last: bytes, head: Head) -> Iterator[Flaw]:
    if seq < head.seq:
        sentence = f"Entries {seq + 1} to {head.seq} are missing: they were cut off at the end."
        yield Flaw(kind="missing", seq=seq + 1, last_seq=head.seq, sentence=sentence)
    elif seq == head.seq and last != head.hash:
        yield Flaw(kind="changed", seq=seq, last_seq=seq, sentence=f"Entry {seq} is not the one that the head names.")


_UNKNOWN_KEY = (
    "The head is signed with a root secret that is not known here: put it into LIMEN_SECRET_KEY_FALLBACKS; "
    "if there is none, the head was changed."
)


def _truncated(seq: int) -> Flaw:
    sentence = f"The entry {seq} that was noted is not there: the record was cut off and continued, or replaced."
    return Flaw(kind="truncated", seq=seq, last_seq=seq, sentence=sentence)


def _forged(row: Row) -> Flaw:
    return Flaw(kind="forged", id=row.id, sentence=f"The row {row.id}, which waits for its place, is not limen's.")


def _is_purged(flaw: Flaw, head: Head) -> bool:
    """Entries that a worker purged during the walk."""
    return flaw.kind == "missing" and flaw.last_seq is not None and flaw.last_seq <= head.anchor_seq


def _parse_head(noted: str) -> tuple[int, bytes]:
    seq, _, digest = noted.strip().partition(":")
    if not (seq.isascii() and seq.isdigit() and len(seq) < 19 and len(digest) == 2 * len(ORIGIN)):
        raise ValueError("a noted head has the form SEQ:HASH")
    return int(seq), bytes.fromhex(digest)
