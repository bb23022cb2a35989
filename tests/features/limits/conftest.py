"""Apps whose tries are kept in SQLite and in PostgreSQL; `everywhere` also in Valkey and in the process."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import httpx2
import pytest
from tests.features.conftest import NewDatabase, new_sqlite_file
from tests.features.mini_app import BASE_URL, Browser, MiniApp, features_of, open_app

from limen import ApiKeys, Services
from limen.features.limits import Limits, LimitSettings

OpenApp = Callable[..., Any]
WRONG = "wrong horse battery staple"


everywhere = pytest.mark.parametrize("place", ["sqlite", "postgresql", "valkey", "memory"], indirect=True)
on_sqlite = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
"""Marks what does not depend on where tries are kept."""


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> str:
    """Where tries are kept."""
    return str(request.param)


@pytest.fixture
def new_database(place: str, request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[NewDatabase]:
    if place != "postgresql":
        yield partial(new_sqlite_file, tmp_path, request)
        return
    server = request.getfixturevalue("postgres_server")
    made: list[str] = []

    def new_postgres_database(*, with_tables: bool) -> str:
        made.append(server.create_database(request.getfixturevalue("postgres_template") if with_tables else None))
        return made[-1]

    yield new_postgres_database
    for url in made:
        server.drop_database(url)


@pytest.fixture
def redis_url(place: str, request: pytest.FixtureRequest) -> str | None:
    """Of an empty Valkey, where tries are kept there."""
    if place != "valkey":
        return None
    url: str = request.getfixturevalue("valkey_server").url
    from redis import Redis

    with Redis.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture
async def opened(place: str, redis_url: str | None, database_url: str, carrier: str) -> AsyncIterator[OpenApp]:
    """Opens an app with limits; the keywords are their settings."""
    async with AsyncExitStack() as stack:

        async def open_one(*, challenge: Any = None, settings: dict[str, Any] | None = None, **limits: Any) -> MiniApp:
            given = LimitSettings(_env_file=None, limits_store="memory" if place == "memory" else "auto", **limits)
            features = features_of(Limits(challenge=challenge, settings=given), ApiKeys(), Services())
            app = open_app(
                database_url,
                carrier=carrier,
                features=features,
                has_tables=True,
                settings={"redis_url": redis_url, **(settings or {})},
            )
            return await stack.enter_async_context(app)

        yield open_one


@pytest.fixture
async def mini(opened: OpenApp) -> MiniApp:
    """The app with limits as they are by default."""
    app: MiniApp = await opened()
    return app


def visitor_from(mini: MiniApp, address: str, **headers: str) -> Browser:
    """A browser at this address in which nobody is signed in."""
    transport = httpx2.ASGITransport(mini.app, client=(address, 1234))
    client = httpx2.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers)
    mini._clients.append(client)
    return Browser(client, carrier=mini.carrier)


async def guesses(browser: Browser, count: int, username: str = "alice@example.com") -> list[int]:
    """The statuses of so many wrong passwords, one after the other."""
    return [(await browser.login(username, WRONG)).status_code for _ in range(count)]


async def use_up(mini: MiniApp, username: str = "alice@example.com") -> None:
    """An attacker at many addresses uses up the budget that strangers share."""
    for number in range(10):
        (status,) = await guesses(visitor_from(mini, f"198.51.100.{number}"), 1, username)
        assert status == 401
    assert await guesses(visitor_from(mini, "198.51.100.99"), 1, username) == [429]
