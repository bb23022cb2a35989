"""Keeps a process up to another service's revocations."""

import asyncio
import contextlib

from limen.core.clock import Clock
from limen.core.revocations import Revocations
from limen.core.tasks import end_tasks
from limen.errors import Unavailable
from limen.feed.redis import RedisFeed

START_SECONDS = 5.0


class FeedFollower:
    """One background task of one event loop, from `start` to `stop`."""

    def __init__(self, feed: RedisFeed, *, revocations: Revocations, clock: Clock) -> None:
        self._feed = feed
        self._revocations = revocations
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take in everything that was taken back, then follow. Where the server does not answer, nothing is vouched
        for until it does."""
        if self._task is not None:
            return
        is_heard = asyncio.Event()

        def heard(tick: float) -> None:
            self._hear(tick)
            is_heard.set()

        self._task = asyncio.create_task(self._feed.follow(self._revocations.apply, heard=heard))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):  # Python 3.11's wait_for can swallow a cancellation
                await is_heard.wait()

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            await end_tasks([self._task])
            self._task = None
        await self._feed.aclose()

    async def keep_up(self) -> None:
        """Look by hand where no lifespan runs the task (a script, a test without it); else the task does it."""
        tick = self._clock.monotonic()
        if self._task is None and self._revocations.silence(tick) > self._feed.look_seconds:
            with contextlib.suppress(Unavailable):
                for entry in await self._feed.load():
                    self._revocations.apply(entry)
                self._hear(tick)

    def _hear(self, tick: float) -> None:
        self._revocations.hear(now=self._clock.time(), tick=tick)
