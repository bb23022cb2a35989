"""Keeps a worker up to the revocation log, and the tables free of what has expired."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping

from opentelemetry import metrics

from limen.core.clock import Clock
from limen.core.revocations import Revocations
from limen.core.tasks import end_tasks
from limen.db.last_seen import LastSeen
from limen.db.revocation_log import RevocationLog
from limen.errors import Unavailable

_log = logging.getLogger("limen.revocations")
_deaf_counter = metrics.get_meter("limen").create_counter(
    "limen.revocations.deaf", description="times that a worker stopped vouching for credentials"
)

Purge = Callable[[], Awaitable[int]]
"""Deletes what has expired; how many."""

Job = Callable[[], Coroutine[None, None, None]]

POLL_MARGIN = 0.8
"""Of the promised time between polls; the rest is for the query and for a busy event loop."""

LAST_SEEN_SECONDS = 5.0
PURGE_SECONDS = 600.0


class Follower:
    """The background tasks of one event loop: follow the log, write last uses, purge now and then."""

    def __init__(
        self,
        log: RevocationLog,
        *,
        revocations: Revocations,
        clock: Clock,
        poll_seconds: float,
        last_seen: LastSeen,
        purges: Mapping[str, Purge],
    ) -> None:
        self._revocation_log = log
        self._revocations = revocations
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._last_seen = last_seen
        self._purges = dict(purges)
        self._jobs: list[Job] = []
        self._wake = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def run(self, job: Job) -> None:
        """Run this too, from `start` to `stop`."""
        self._jobs.append(job)

    def wake(self) -> None:
        """Look at the log now, not only at the next poll."""
        self._wake.set()

    def purge_by(self, name: str, purge: Purge) -> None:
        """Call this now and then too; `name` says what it deletes."""
        self._purges[name] = purge

    async def purge(self) -> Mapping[str, int | None]:
        """Delete whatever has expired; how much of what, None where that failed, which is logged.

        The task does it every ten minutes.
        """
        return {name: await _counted(name, purge) for name, purge in self._purges.items()}

    async def keep_up(self) -> None:
        """Catch up by hand where no lifespan runs the tasks (a script, a test without it); else the tasks do it."""
        if not self._tasks and self._revocations.silence(self._clock.monotonic()) > self._poll_seconds:
            with contextlib.suppress(Unavailable):
                await self._revocation_log.catch_up()

    async def start(self) -> None:
        """Load the tail of the log, then follow it; nothing is served before this returns."""
        if self._tasks:
            return
        await self._revocation_log.catch_up()
        self._wake = asyncio.Event()  # of this event loop
        jobs = (self._follow, self._write_last_uses, self._purge, *self._jobs)
        self._tasks = tuple(asyncio.create_task(job()) for job in jobs)

    async def stop(self) -> None:
        """End the tasks; what was noted last is written."""
        await end_tasks(self._tasks)
        if self._tasks:
            await self.write_last_seen()
        self._tasks = ()

    async def write_last_seen(self) -> None:
        """Write the last uses of sessions now; the task does it once a minute."""
        await _try(self._last_seen.write, "the last uses of sessions were not written")

    async def _follow(self) -> None:
        hearing = _Hearing(self._revocations, self._clock)
        while True:
            await self._until_next_look()
            try:
                await self._revocation_log.catch_up()
            except Exception as error:  # whatever it is, the next look comes
                hearing.missed(error)
            else:
                hearing.heard()

    async def _until_next_look(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(
                POLL_MARGIN * self._poll_seconds
            ):  # Python 3.11's wait_for can swallow the cancellation
                await self._wake.wait()
        self._wake.clear()

    async def _write_last_uses(self) -> None:
        while True:
            await asyncio.sleep(LAST_SEEN_SECONDS)
            await self.write_last_seen()

    async def _purge(self) -> None:
        while True:
            await asyncio.sleep(PURGE_SECONDS)
            await self.purge()


class _Hearing:
    """Says once when the log falls silent, once when nothing is vouched for any more, once when it is heard again."""

    def __init__(self, revocations: Revocations, clock: Clock) -> None:
        self._revocations = revocations
        self._clock = clock
        self._is_silent = self._is_deaf = False

    def missed(self, error: Exception) -> None:
        reason = error.reason if isinstance(error, Unavailable) else repr(error)
        if not self._is_silent:
            _log.warning("the revocation log cannot be read: %s", reason)
        if not self._is_deaf and self._revocations.is_deaf(self._clock.monotonic()):
            _log.error("the revocation log has been silent too long: credentials are answered with 503")
            _deaf_counter.add(1)
            self._is_deaf = True
        self._is_silent = True

    def heard(self) -> None:
        if self._is_silent:
            _log.info("the revocation log is heard again")
        self._is_silent = self._is_deaf = False


async def _counted(name: str, purge: Purge) -> int | None:
    try:
        return await purge()
    except Exception as error:  # the others come all the same, and this one again
        _log.warning("expired %s were not purged: %s", name, error)
        return None


async def _try(job: Callable[[], Awaitable[object]], failed: str) -> None:
    """Run a job that is tried again soon anyway."""
    try:
        await job()
    except Exception as error:
        _log.warning("%s: %s", failed, error)
