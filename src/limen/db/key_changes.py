"""Carries out plans about signing keys: each one and its news in the revocation log are one transaction."""

import logging
from collections.abc import Iterable, Iterator
from datetime import timedelta

from anyio import to_thread

from limen.core.clock import Clock
from limen.core.key_plans import NOTHING, KeyChange, Plan, RotationRules
from limen.core.key_timeline import KeyTimeline, KeyTimes
from limen.core.keys import SigningKey
from limen.core.revocations import Revocation, Revoked
from limen.db.database import UniqueViolation
from limen.db.key_store import KeyStore, StoredKey
from limen.db.revocation_log import RevocationLog
from limen.errors import Unavailable

_log = logging.getLogger("limen.keys")

TRIES = 10
DESTROY_AFTER = timedelta(days=1).total_seconds()
FORGET_AFTER = timedelta(days=30).total_seconds()


class KeyChanges:
    """Changes the keys in the database; whoever holds a ring of them hears of it by the log."""

    def __init__(self, store: KeyStore, *, log: RevocationLog, clock: Clock, rules: RotationRules) -> None:
        self._store = store
        self._revocation_log = log
        self._clock = clock
        self._rules = rules

    async def carry_out(self, plan: Plan) -> None:
        """Do what `plan` says of the keys as they are; of any number who plan the same at once, one does it.

        Raises:
            LookupError: the key that the plan is about is not live.
            ConfigurationError: the ring is full.
            Unavailable: the database is down.
        """
        fresh = await to_thread.run_sync(SigningKey.generate, self._rules.algorithm)  # beforehand: RSA takes its time
        for _ in range(TRIES):
            try:
                news = await self._try(plan, fresh)
            except UniqueViolation:  # someone was quicker: with their key there, the plan may be another
                continue
            self._revocation_log.apply(news)
            return
        raise Unavailable("the signing keys are changed elsewhere at the same time")

    async def purge(self) -> int:
        """Destroy keys that ended a day ago; after a month forget that they were. How many it were of both."""
        rows, now = await self._store.list_all(), self._clock.time()
        timeline = self.timeline_of(rows)
        ended = {row.times.kid: now - timeline.ends_at(row.times) for row in rows}
        destroyed = [row.times.kid for row in rows if row.sealed and ended[row.times.kid] > DESTROY_AFTER]
        forgotten = [kid for kid, seconds in ended.items() if seconds > FORGET_AFTER]
        if destroyed:
            await self._store.destroy(destroyed)
        if forgotten:
            await self._store.delete(forgotten)
        return len({*destroyed, *forgotten})

    def timeline_of(self, rows: Iterable[StoredKey]) -> KeyTimeline:
        """The lives of these keys."""
        return KeyTimeline((row.times for row in rows), token_seconds=self._rules.token)

    async def _try(self, plan: Plan, fresh: SigningKey) -> tuple[Revocation, ...]:
        store = self._store
        async with store.database.transaction() as connection:
            rows, now = await store.lock(connection), self._clock.time()
            change = plan(self.timeline_of(rows), now)
            if change.new_from is not None:
                await store.insert(connection, fresh, _times(fresh, rows, now, signs_from=change.new_from))
            if change.advanced is not None:
                await store.advance(connection, change.advanced, signs_from=now)
            if change.retired is not None:
                await store.retire(connection, change.retired, retired_at=now)
            news = tuple(self._news(change, fresh.kid, now))
            await self._revocation_log.append(connection, news)
        if change != NOTHING:
            _log.info("signing keys changed: %s, new: %s", change, change.new_from and fresh.kid)
        return news

    def _news(self, change: KeyChange, fresh: str, now: float) -> Iterator[Revocation]:
        for kid in (None if change.new_from is None else fresh, change.advanced):
            if kid is not None:
                yield Revocation(kind=Revoked.KEY, target=kid, expires_at=now + self._rules.token, epoch=0)
        if change.retired is not None:  # who stole the key can go on signing: no token's end bounds this
            yield Revocation(kind=Revoked.KEY, target=change.retired, expires_at=now + FORGET_AFTER)


def _times(key: SigningKey, rows: Iterable[StoredKey], now: float, *, signs_from: float) -> KeyTimes:
    generation = 1 + max((row.times.generation for row in rows), default=0)
    return KeyTimes(kid=key.kid, generation=generation, algorithm=key.algorithm, created_at=now, signs_from=signs_from)
