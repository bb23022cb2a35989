"""Fixtures of the behaviour tests: every one runs on both databases."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.disclosure import Disclosure
from tests.features.mini_app import MiniApp, create_limens_tables, open_app
from tests.servers.postgres import PostgresServer

OpenApp = Callable[..., Any]
NewDatabase = Callable[..., str]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with limen's own tables; a copy is quicker than making them."""
    path = tmp_path_factory.mktemp("template") / "limen.db"
    create_limens_tables(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The same as a PostgreSQL database."""
    url = postgres_server.create_database()
    create_limens_tables(url)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(
    request: pytest.FixtureRequest, tmp_path: Path, nothing_disclosed: Disclosure
) -> Iterator[NewDatabase]:
    """Makes databases for this test alone, `with_tables` of limen's own; once on SQLite and once on PostgreSQL.

    When the test is over, they are searched for every secret that it issued.
    """
    made: list[str] = []
    if request.param == "sqlite":

        def new_file(*, with_tables: bool) -> str:
            made.append(new_sqlite_file(tmp_path, request, with_tables=with_tables))
            return made[-1]

        yield new_file
        for url in made:
            nothing_disclosed.check_database(url)
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")

    def new_postgres_database(*, with_tables: bool) -> str:
        made.append(server.create_database(request.getfixturevalue("postgres_template") if with_tables else None))
        return made[-1]

    yield new_postgres_database
    try:
        for url in made:
            nothing_disclosed.check_database(url)
    finally:
        for url in made:
            server.drop_database(url)


def new_sqlite_file(folder: Path, request: pytest.FixtureRequest, *, with_tables: bool) -> str:
    """The URL of a new SQLite file in this folder."""
    path = folder / f"{uuid4().hex}.db"
    if with_tables:
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
def database_url(new_database: NewDatabase) -> str:
    """The URL of a database of this test's own with limen's own tables."""
    return new_database(with_tables=True)


@pytest.fixture
def carrier() -> str:
    """How a signed-in browser shows who it is; `both_carriers` runs a test with each."""
    return "bearer"


@pytest.fixture
async def opened(new_database: NewDatabase, database_url: str, carrier: str) -> AsyncIterator[OpenApp]:
    """Opens an app on this test's database, and one with a user model of its own on a new one."""
    async with AsyncExitStack() as stack:

        async def open_one(**options: Any) -> MiniApp:
            own = "user" in options
            url = new_database(with_tables=False) if own else database_url
            return await stack.enter_async_context(open_app(url, carrier=carrier, has_tables=not own, **options))

        yield open_one


@pytest.fixture
async def mini(opened: OpenApp) -> MiniApp:
    """The app with limen's default features and nothing of its own."""
    return await opened()
