"""Turns: one at a time per name, in the order of arrival, and no more in line than memory can hold."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from limen.errors import Unavailable

MAX_WAITING = 1000
"""In all lines of one process."""

MAX_IN_LINE = 250
"""In one line: an attacker's name does not fill what all have."""


@dataclass(slots=True)
class _Line:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    length: int = 0


class Turns:
    """The lines of one process."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._waiting = 0

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """A block that nobody else of this name is in.

        Raises:
            Unavailable: too many wait for this name, or in all.
        """
        line = self._lines.get(name) or _Line()
        if self._waiting >= MAX_WAITING or line.length >= MAX_IN_LINE:
            raise Unavailable("too many tries wait for their turn")
        self._lines[name] = line
        line.length += 1
        self._waiting += 1
        try:
            async with line.lock:
                yield
        finally:
            self._waiting -= 1
            line.length -= 1
            if not line.length:
                del self._lines[name]

    async def news(self, name: str, *, seconds: float) -> None:
        """Wait inside the turn until something of this name is told here, and no longer than this."""
        event = self._lines[name].news
        event.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()

    def tell(self, name: str) -> None:
        """Wake who waits for news of this name."""
        if name in self._lines:
            self._lines[name].news.set()
