"""Keeps a worker up to the revocation log, and the tables free of what has expired."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from limen.core.clock import Clock
from limen.core.revocations import Revocations
from limen.db.revocation_log import RevocationLog
from limen.errors import Unavailable

_log = logging.getLogger("limen.revocations")

PURGE_SECONDS = 600.0


class Follower:
    """Two background tasks of one event loop: follow the log by polling, purge now and then."""

    def __init__(
        self,
        log: RevocationLog,
        *,
        revocations: Revocations,
        clock: Clock,
        poll_seconds: float,
        purges: Sequence[Callable[[], Awaitable[None]]],
    ) -> None:
        self._revocation_log = log
        self._revocations = revocations
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._purges = purges
        self._tasks: tuple[asyncio.Task[None], ...] = ()

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
        self._tasks = (asyncio.create_task(self._follow()), asyncio.create_task(self._purge()))

    async def stop(self) -> None:
        """End both tasks."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = ()

    async def _follow(self) -> None:
        deaf = False
        while True:
            await asyncio.sleep(self._poll_seconds)
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

    async def _purge(self) -> None:
        while True:
            await asyncio.sleep(PURGE_SECONDS)
            for purge in self._purges:
                try:
                    await purge()
                except Exception as error:  # it is tried again in ten minutes
                    _log.warning("expired rows were not purged: %s", error)
