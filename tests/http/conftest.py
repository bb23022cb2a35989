"""Fixtures of the HTTP tests: apps on SQLite, for what no database decides."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.features.mini_app import MiniApp, create_limens_tables, open_app


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with limen's own tables; a copy is quicker than making them."""
    path = tmp_path_factory.mktemp("template") / "limen.db"
    create_limens_tables(f"sqlite:///{path}")
    return path


@pytest.fixture
async def opened(tmp_path: Path, template: Path) -> AsyncIterator[Callable[..., Any]]:
    """Opens an app: `mini = await opened(routes=…)`."""
    async with AsyncExitStack() as stack:

        async def open_one(**options: Any) -> MiniApp:
            path = shutil.copyfile(template, tmp_path / f"{uuid4().hex}.db")
            return await stack.enter_async_context(open_app(f"sqlite+aiosqlite:///{path}", has_tables=True, **options))

        yield open_one
