"""Background tasks end, also those that swallow a cancellation."""

import asyncio
import contextlib

import pytest

from limen.core import tasks

pytestmark = pytest.mark.anyio


async def test_a_task_that_swallows_a_cancellation_is_asked_again(monkeypatch):
    monkeypatch.setattr(tasks, "ASK_AGAIN_SECONDS", 0.01)
    asked = []

    async def stubborn() -> None:
        while len(asked) < 3:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            asked.append(1)

    async def done() -> None:
        return

    both = [asyncio.create_task(stubborn()), asyncio.create_task(done())]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await tasks.end_tasks(both)
    assert len(asked) == 3
    assert all(task.done() for task in both)
