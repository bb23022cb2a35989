"""Keeps Redis or Valkey up to the revocation log, for workers in a hurry and for services without the database."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from limen.core.revocations import Revocation
from limen.errors import Unavailable
from limen.feed.redis import RedisFeed

_log = logging.getLogger("limen.revocations")

RESTORE_SECONDS = 30.0
RETRY_SECONDS = 1.0


class Mirror:
    """Publishes what this process hears of, and now and then the whole log: a flushed server is filled again.

    Every worker publishes every entry, so one that is killed between its commit and its word silences nobody; the same
    entry twice is one member of the set.

    Args:
        live: reads every entry of the log that still matters.
    """

    def __init__(self, feed: RedisFeed, *, live: Callable[[], Awaitable[Sequence[Revocation]]]) -> None:
        self._feed = feed
        self._live = live
        self._unsaid: list[Revocation] = []
        self._wake = asyncio.Event()

    def announce(self, entry: Revocation) -> None:
        """Publish this soon; `Revocations.subscribe` calls it."""
        self._unsaid.append(entry)
        self._wake.set()

    async def run(self) -> None:
        """Publish, for ever; what the server did not take is said again."""
        self._wake = asyncio.Event()  # of this event loop
        try:
            await self._run()
        finally:
            await self._feed.aclose()

    async def _run(self) -> None:
        is_lost = False
        while True:
            try:
                await self._say()
            except Unavailable as error:
                if not is_lost:
                    _log.warning("revocations are not published: %s", error.reason)
                is_lost = True
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if is_lost:
                _log.info("revocations are published again")
            is_lost = False
            await self._until_there_is_more()

    async def _say(self) -> None:
        while self._unsaid:
            saying = tuple(self._unsaid)
            await self._feed.publish(saying)
            del self._unsaid[: len(saying)]

    async def _until_there_is_more(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RESTORE_SECONDS):
                await self._wake.wait()
            self._wake.clear()
            return
        with contextlib.suppress(Unavailable):
            await self._feed.restore(await self._live())
