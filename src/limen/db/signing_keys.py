"""The key ring that lives in the database: every worker holds all of it, and whoever notices first rotates it.

A new key is announced long before it signs, and the news travels as fast as that of anything that is taken back, so no
worker and no verifier meets a token of a key that it does not know. Only after an emergency (`rotate_now`,
`retire_now`) can one, for as long as the news travels; then a look at the database settles it, at most one a second.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf

import anyio
from anyio import to_thread

from limen.core.clock import Clock
from limen.core.key_plans import NOTHING, Plan, RotationRules
from limen.core.key_timeline import KeyState, KeyTimeline, KeyTimes
from limen.core.keys import MAX_KEYS, KeyRing, Keys, SigningKey, VerifyingKey
from limen.core.revocations import Revocation, Revoked
from limen.core.sealing import SealBroken
from limen.core.tasks import end_tasks
from limen.db.key_changes import KeyChanges
from limen.db.key_store import KeyStore, StoredKey
from limen.errors import ConfigurationError

_log = logging.getLogger("limen.keys")

CHECK_SECONDS = 60.0  # a safety net under the news, and how soon a rotation that is due is noticed
RETRY_SECONDS = 1.0
LOOK_AGAIN_SECONDS = 1.0

Pairs = dict[str, tuple[SigningKey, VerifyingKey]]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStatus:
    """A key and what it does now; `ends_at` is infinite as long as no other takes over."""

    times: KeyTimes
    state: KeyState
    ends_at: float


class SigningKeys(Keys):
    """Loads, follows, rotates and retires the keys in the database."""

    def __init__(self, store: KeyStore, changes: KeyChanges, *, clock: Clock, rules: RotationRules) -> None:
        super().__init__(KeyRing(None, ()))
        self._store = store
        self._changes = changes
        self._clock = clock
        self._rules = rules
        self._timeline = changes.timeline_of(())
        self._pairs: Pairs = {}
        self._refused: set[str] = set()
        self._ring_from, self._ring_until = inf, -inf
        self._is_stale = True
        self._loading, self._looking = anyio.Lock(), anyio.Lock()
        self._looked_at = -inf
        self._task: asyncio.Task[None] | None = None
        self._wake: Callable[[], object] = lambda: None

    # --- what signs and verifies

    @property
    def ring(self) -> KeyRing:
        now = self._clock.time()
        if not self._ring_from <= now < self._ring_until:
            self._ring = self._ring_at(now)
            self._ring_from, self._ring_until = now, self._timeline.next_change(now)
        return self._ring

    async def signing_key(self) -> SigningKey:
        if self.ring.signing is None:
            await self._change(self._rules.plan_upkeep)
        return await super().signing_key()

    async def look_again(self) -> bool:
        is_someone_looking = self._looking.locked()
        async with self._looking:
            if self._clock.monotonic() - self._looked_at < LOOK_AGAIN_SECONDS:
                return is_someone_looking
            self._looked_at = self._clock.monotonic()
            await self._load()
            return True

    async def list_all(self) -> tuple[KeyStatus, ...]:
        """Every key that is on record, in the order of their turns; none is opened for it."""
        timeline, now = self._changes.timeline_of(await self._store.list_all()), self._clock.time()
        return tuple(
            KeyStatus(times=key, state=timeline.state(key, now), ends_at=timeline.ends_at(key)) for key in timeline.keys
        )

    # --- how they change

    async def rotate(self) -> None:
        """Announce a new key; it takes over after the announcement, and the present one ends with its last token.

        Raises:
            ConfigurationError: the ring is full.
            Unavailable: the database is down.
        """
        await self._change(self._rules.plan_rotation)

    async def rotate_now(self) -> None:
        """Sign with another key from now on: the announced one if there is one, which every verifier knows."""
        await self._change(self._rules.plan_takeover)

    async def retire(self, kid: str) -> None:
        """Let a key end without any token failing: another is announced in its place, or its turn never comes.

        Raises:
            LookupError: there is no such key, or it has ended already.
        """
        await self._change(self._rules.phase_out(kid))

    async def retire_now(self, kid: str) -> None:
        """Refuse a compromised key and all that it signed, everywhere; another signs at once if it was the one.

        Raises:
            LookupError: there is no such key, or it has ended already.
        """
        await self._change(self._rules.refuse(kid))

    async def purge(self) -> int:
        return await self._changes.purge()

    # --- how they are followed

    async def start(self) -> None:
        """Load the keys, then follow them; makes the first one, and one of another algorithm if the setting changed.

        Raises:
            ConfigurationError: a key was sealed under a root secret that is not known any more.
        """
        if self._task is not None:
            return
        rows = await self._load()
        self._check_all_open(rows)
        for row in rows:
            if row.times.kid in self._pairs:
                await self._store.reseal(row)
        await self._change(self._rules.plan_start)
        loop, wake = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(wake.set)
        self._task = asyncio.create_task(self._follow(wake))

    async def stop(self) -> None:
        if self._task is not None:
            self._wake = lambda: None
            await end_tasks([self._task])
            self._task = None

    async def keep_up(self) -> None:
        if self._is_stale and self._task is None:
            await self._load()

    def hear(self, revocation: Revocation) -> None:
        """Take in what the log says of a key: a refusal this instant and without I/O, the rest soon."""
        if revocation.kind is not Revoked.KEY:
            return
        if revocation.refuses_a_key:
            self._refused.add(revocation.target)
            self._use(self._timeline)
        self._is_stale = True
        self._wake()

    async def _follow(self, wake: asyncio.Event) -> None:
        pause = CHECK_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):  # not wait_for, which may lose a cancellation (until Python 3.12)
                    await wake.wait()
            wake.clear()
            try:
                await self._change(self._rules.plan_upkeep)
            except Exception as error:  # the keys in hand stay good meanwhile
                if pause == CHECK_SECONDS:
                    _log.warning("the signing keys cannot be followed: %s", error)
                pause = RETRY_SECONDS
            else:
                pause = CHECK_SECONDS

    async def _change(self, plan: Plan) -> None:
        """Look first, without a lock: nearly always there is nothing to do."""
        rows = await self._load()
        if plan(self._changes.timeline_of(rows), self._clock.time()) != NOTHING:
            await self._changes.carry_out(plan)
            await self._load()

    async def _load(self) -> Sequence[StoredKey]:
        """Take over what the database says."""
        async with self._loading:
            rows = await self._store.list_all()
            self._is_stale = False
            live = {key.kid for key in self._changes.timeline_of(rows).live(self._clock.time())}
            opened = await to_thread.run_sync(self._open, [row for row in rows if row.times.kid in live])
            shut = live - opened.keys()  # as if they were not there
            self._pairs = opened
            self._use(self._changes.timeline_of(row for row in rows if row.times.kid not in shut))
            return rows

    def _open(self, rows: Sequence[StoredKey]) -> Pairs:
        pairs: Pairs = {}
        for row in rows:
            kid = row.times.kid
            try:
                pairs[kid] = self._pairs.get(kid) or _pair(self._store.open(row))
            except SealBroken:
                _log.error(_how_to_open(kid))
        return pairs

    def _check_all_open(self, rows: Sequence[StoredKey]) -> None:
        for key in self._changes.timeline_of(rows).live(self._clock.time()):
            if key.kid not in self._pairs:
                raise ConfigurationError(_how_to_open(key.kid))

    def _use(self, timeline: KeyTimeline) -> None:
        for kid in self._refused:  # whatever a slower look at the database still says
            timeline = timeline.without(kid, self._clock.time())
        self._timeline = timeline
        self._ring_until = -inf

    def _ring_at(self, now: float) -> KeyRing:
        signing, live = self._timeline.signing(now), self._timeline.live(now)
        if signing is None:
            return KeyRing(None, self._verifying(live))
        return KeyRing(self._pairs[signing.kid][0], self._verifying((signing, *reversed(live))))

    def _verifying(self, keys: Iterable[KeyTimes]) -> tuple[VerifyingKey, ...]:
        return tuple(dict.fromkeys(self._pairs[key.kid][1] for key in keys))[:MAX_KEYS]


def _pair(key: SigningKey) -> tuple[SigningKey, VerifyingKey]:
    return key, key.verifying_key()


def _how_to_open(kid: str) -> str:
    return (
        f"The signing key {kid} in the database was sealed under another LIMEN_SECRET_KEY: put that one into "
        f"LIMEN_SECRET_KEY_FALLBACKS, or give the key up with `limen keys retire {kid} --now`"
    )
