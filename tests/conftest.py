"""Real servers and fresh databases for every test that asks."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.disclosure import Disclosure, makers_of_secrets, nothing_disclosed
from tests.servers.postgres import PostgresServer
from tests.servers.process import MissingWheel
from tests.servers.valkey import ValkeyServer

__all__ = ["makers_of_secrets", "nothing_disclosed"]  # fixtures of every test


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: the garbage collector need not look through it ever again.

    Each test makes an app, a graph of many thousand objects; a collection for every 700 new ones cost a fifth of the
    time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for each worker process of the test run."""
    try:
        server = PostgresServer()
    except MissingWheel as missing:
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    """One Valkey for each worker process of the test run. A test that stops or pauses it brings it back."""
    try:
        server = ValkeyServer()
    except MissingWheel as missing:
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path, nothing_disclosed: Disclosure) -> Iterator[str]:
    """The URL of an empty database of this test's own; the test runs once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path}/limen.db"
        yield url
        nothing_disclosed.check_database(url)
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_database()
    yield url
    try:
        nothing_disclosed.check_database(url)
    finally:
        server.drop_database(url)
