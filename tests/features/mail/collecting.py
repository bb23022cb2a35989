"""Mailers of the tests, and patience with what runs in the background."""

import asyncio
import time
from collections.abc import Callable
from email.message import EmailMessage


class Collecting:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []

    async def send(self, message: EmailMessage) -> None:
        await asyncio.sleep(0)
        self.messages.append(message)


class Broken:
    """Takes nothing."""

    async def send(self, message: EmailMessage) -> None:
        raise ConnectionError(f"nobody takes mail for {message['To']}")


async def eventually(condition: Callable[[], object], *, seconds: float = 20.0) -> None:
    """Return when it comes true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come true"
        await asyncio.sleep(0.01)
