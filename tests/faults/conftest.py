"""Clusters of worker processes that the tests of this folder share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.postgres import PostgresServer
from tests.servers.process import MissingWheel
from tests.servers.workers import Workers


@pytest.fixture(scope="session")
def four_workers(postgres_server: PostgresServer) -> Iterator[Workers]:
    """Four workers on PostgreSQL, all settings at their defaults but for cheap hashing."""
    with Workers(4, database_url=postgres_server.create_database()) as workers:
        yield workers


@pytest.fixture(scope="session")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Two workers on one SQLite file, likewise."""
    with Workers(2, database_url=sqlite_url(tmp_path_factory.mktemp("two_workers"))) as workers:
        yield workers


@pytest.fixture(scope="session")
def mortal_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that may be stopped: nobody else stands on it. A test that stops it brings it back."""
    try:
        server = PostgresServer()
    except MissingWheel as missing:
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture(scope="session")
def hasty_workers(mortal_server: PostgresServer) -> Iterator[Workers]:
    """Two workers on it: a replay is forgiven for one second, silence of the revocation log for three."""
    settings = {"LIMEN_REFRESH_GRACE_SECONDS": "1", "LIMEN_REVOCATION_DEAF_SECONDS": "3"}
    with Workers(2, database_url=mortal_server.create_database(), settings=settings) as workers:
        yield workers


@pytest.fixture(params=["postgresql", "sqlite"])
def workers(request: pytest.FixtureRequest) -> Workers:
    """Four workers on PostgreSQL, then two on SQLite."""
    found = request.getfixturevalue("four_workers" if request.param == "postgresql" else "two_workers")
    assert isinstance(found, Workers)
    found.revive()
    return found


def sqlite_url(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder}/limen.db"
