"""Fixtures of the HTTP tests: apps on SQLite, for what no database decides."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.features.mini_app import MiniApp, open_app


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Opens an app: `mini = await opened(routes=…)`."""
    async with AsyncExitStack() as stack:

        async def open_one(**options: Any) -> MiniApp:
            url = f"sqlite+aiosqlite:///{tmp_path}/{uuid4().hex}.db"
            return await stack.enter_async_context(open_app(url, **options))

        yield open_one
