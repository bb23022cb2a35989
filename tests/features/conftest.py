"""Fixtures of the behaviour tests: every one runs on both databases, and where it signs in, with every carrier."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from tests.features.mini_app import MiniApp, features_of, open_app, settings_of
from tests.servers.postgres import PostgresServer

from limen import Auth

OpenApp = Callable[..., Any]


def create_default_tables(url: str) -> None:
    """limen's own tables, in an empty database."""
    engine = create_engine(url)
    auth = Auth(settings=settings_of("sqlite+aiosqlite://"), features=features_of())
    auth.kernel.tables.users.metadata.create_all(engine, tables=list(auth.tables()))
    engine.dispose()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with limen's own tables; a copy is quicker than making them."""
    path = tmp_path_factory.mktemp("template") / "limen.db"
    create_default_tables(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The same as a PostgreSQL database."""
    url = postgres_server.create_database()
    create_default_tables(url)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database of this test's own with limen's own tables; once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        shutil.copyfile(request.getfixturevalue("sqlite_template"), tmp_path / "limen.db")
        yield f"sqlite+aiosqlite:///{tmp_path}/limen.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_database(request.getfixturevalue("postgres_template"))
    yield url
    server.drop_database(url)


@pytest.fixture(params=["bearer"])
def carrier(request: pytest.FixtureRequest) -> str:
    """How a signed-in browser shows who it is."""
    return str(request.param)


@pytest.fixture
async def opened(database_url: str, carrier: str) -> AsyncIterator[OpenApp]:
    """Opens an app on this test's database: `mini = await opened(features=[…])`."""
    async with AsyncExitStack() as stack:

        async def open_one(**options: Any) -> MiniApp:
            return await stack.enter_async_context(open_app(database_url, carrier=carrier, **options))

        yield open_one


@pytest.fixture
async def mini(opened: OpenApp) -> MiniApp:
    """The app with limen's default features and nothing of its own."""
    return await opened()
