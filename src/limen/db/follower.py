"""Keeps a worker up to the revocation log, and the tables free of what has expired."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence

from limen.core.clock import Clock
from limen.core.revocations import Revocations
from limen.db.last_seen import LastSeen
from limen.db.revocation_log import RevocationLog
from limen.errors import Unavailable

_log = logging.getLogger("limen.revocations")

Listen = Callable[[Callable[[], None]], Coroutine[None, None, None]]

LAST_SEEN_SECONDS = 60.0
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
        purges: Sequence[Callable[[], Awaitable[None]]],
    ) -> None:
        self._revocation_log = log
        self._revocations = revocations
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._last_seen = last_seen
        self._purges = purges
        self._listeners: list[Listen] = []
        self._wake = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def wake_by(self, listen: Listen) -> None:
        """Look at the log whenever `listen` calls, not only at the next poll."""
        self._listeners.append(listen)

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
        jobs = [self._follow(), self._write_last_uses(), self._purge()]
        jobs += [listen(self._wake.set) for listen in self._listeners]
        self._tasks = tuple(asyncio.create_task(job) for job in jobs)

    async def stop(self) -> None:
        """End the tasks; what was noted last is written."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._tasks:
            await self.write_last_seen()
        self._tasks = ()

    async def write_last_seen(self) -> None:
        """Write the last uses of sessions now; the task does it once a minute."""
        await _try(self._last_seen.write, "the last uses of sessions were not written")

    async def _follow(self) -> None:
        deaf = False
        while True:
            await self._until_next_look()
            try:
                await self._revocation_log.catch_up()
            except Unavailable as error:
                if not deaf:
                    _log.warning("the revocation log cannot be read: %s", error.reason)
                deaf = True
            except Exception:
                _log.exception("the revocation log cannot be read")
                deaf = True
            else:
                if deaf:
                    _log.info("the revocation log is heard again")
                deaf = False

    async def _until_next_look(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), self._poll_seconds)
        self._wake.clear()

    async def _write_last_uses(self) -> None:
        while True:
            await asyncio.sleep(LAST_SEEN_SECONDS)
            await self.write_last_seen()

    async def _purge(self) -> None:
        while True:
            await asyncio.sleep(PURGE_SECONDS)
            for purge in self._purges:
                await _try(purge, "expired rows were not purged")


async def _try(job: Callable[[], Awaitable[None]], failed: str) -> None:
    """Run a job that is tried again soon anyway."""
    try:
        await job()
    except Exception as error:
        _log.warning("%s: %s", failed, error)
