"""Revocations reach every worker by LISTEN/NOTIFY and by Valkey; the log stays the truth when these fail."""

import asyncio
import time

import pytest
from tests.features.mini_app import open_app
from tests.servers.valkey import ValkeyServer

from limen.db.engine import create_engine

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

HASTE = 0.5  # far under the poll of 20 s that these tests set, generous on a busy machine
SLOW_POLL = {"revocation_poll_seconds": 20.0, "revocation_deaf_seconds": 60.0}


@pytest.fixture
def postgres_url(postgres_server):
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


async def refused_after(browser, seconds: float) -> float:
    """How long a signed-in browser was still let in; fails when it always is."""
    begun = time.monotonic()
    while (await browser.me()).status_code == 200:
        assert time.monotonic() - begun < seconds, "the revocation was not heard"
        await asyncio.sleep(0.005)
    return time.monotonic() - begun


async def revoked_next_door(here, there) -> float:
    """Sign in at one worker, be known at the other, leave at the one: how long the other lets in."""
    alice = await here.signed_in(f"alice{time.monotonic_ns()}@example.com")
    neighbour = there.visitor()
    neighbour.tokens = alice.tokens
    assert (await neighbour.me()).status_code == 200
    assert (await alice.logout()).status_code == 204
    return await refused_after(neighbour, HASTE)


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
async def test_listen_and_notify_carry_a_revocation_at_once(postgres_url, driver):
    url = postgres_url.replace("+psycopg", f"+{driver}")
    async with open_app(url, settings=SLOW_POLL) as here, open_app(url, settings=SLOW_POLL) as there:
        for _ in range(3):
            await revoked_next_door(here, there)


async def test_a_lost_listener_comes_back(postgres_url, postgres_server):
    async with open_app(postgres_url, settings=SLOW_POLL) as here, open_app(postgres_url, settings=SLOW_POLL) as there:
        await revoked_next_door(here, there)
        engine = create_engine(postgres_url)
        async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            await connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE starts_with(query, 'LISTEN') AND datname = current_database()"
            )
        await engine.dispose()
        await asyncio.sleep(1.5)
        await revoked_next_door(here, there)


async def test_valkey_carries_a_revocation_at_once(tmp_path, valkey_server: ValkeyServer):
    settings = {**SLOW_POLL, "redis_url": valkey_server.url}
    url = f"sqlite+aiosqlite:///{tmp_path}/limen.db"
    async with open_app(url, settings=settings) as here, open_app(url, settings=settings) as there:
        await asyncio.sleep(0.3)  # both listen
        for _ in range(3):
            await revoked_next_door(here, there)


async def test_without_valkey_the_poll_carries_it_and_nobody_valid_is_refused(tmp_path, valkey_server: ValkeyServer):
    settings = {"revocation_poll_seconds": 0.2, "redis_url": valkey_server.url}
    url = f"sqlite+aiosqlite:///{tmp_path}/limen.db"
    async with open_app(url, settings=settings) as here, open_app(url, settings=settings) as there:
        bob = await here.signed_in("bob@example.com")
        valkey_server.stop()
        try:
            await revoked_next_door(here, there)
            assert (await bob.me()).status_code == 200
        finally:
            valkey_server.start()


async def test_a_slow_valkey_slows_no_request(tmp_path, valkey_server: ValkeyServer):
    settings = {"revocation_poll_seconds": 0.2, "redis_url": valkey_server.url}
    url = f"sqlite+aiosqlite:///{tmp_path}/limen.db"
    async with open_app(url, settings=settings) as here, open_app(url, settings=settings) as there:
        bob = await here.signed_in("bob@example.com")
        valkey_server.pause()
        try:
            begun = time.monotonic()
            await revoked_next_door(here, there)
            assert (await bob.me()).status_code == 200
            assert time.monotonic() - begun < 3
        finally:
            valkey_server.resume()


async def test_a_flushed_valkey_brings_no_revoked_token_back(tmp_path, valkey_server: ValkeyServer):
    from redis.asyncio import Redis

    settings = {**SLOW_POLL, "redis_url": valkey_server.url}
    url = f"sqlite+aiosqlite:///{tmp_path}/limen.db"
    async with open_app(url, settings=settings) as here, open_app(url, settings=settings) as there:
        await asyncio.sleep(0.3)
        alice = await here.signed_in()
        gone = dict(alice.credentials())
        await alice.logout()
        async with Redis.from_url(valkey_server.url) as client:
            await client.flushall()
        for mini in (here, there):
            answer = await mini.visitor(**gone).client.get("/users/me")
            assert answer.status_code == 401
        async with open_app(url, settings=settings) as newcomer:  # starts from the log
            assert (await newcomer.visitor(**gone).client.get("/users/me")).status_code == 401
            async with Redis.from_url(valkey_server.url) as client:
                for _ in range(50):
                    if await client.zcard("limen:revocations:http://localhost:8000/auth"):
                        break
                    await asyncio.sleep(0.1)
                else:
                    pytest.fail("the flushed set was not filled again")
