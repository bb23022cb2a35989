"""Background tasks and their end."""

import asyncio
from collections.abc import Iterable

ASK_AGAIN_SECONDS = 2.0


async def end_tasks(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """Cancel tasks and wait until they are over.

    A cancellation can get lost on its way: a task group that also holds an error raises only that, and some clients
    answer it with an error of their own. So it is asked for until it is obeyed.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=ASK_AGAIN_SECONDS)
