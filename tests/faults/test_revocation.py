"""What is taken back at one worker is refused by every other (design §5, promise 5)."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from anyio import to_thread
from tests.faults.clients import Tokens, browser, log_out, register, seconds_until, sign_in, status_at
from tests.servers.postgres import PostgresServer
from tests.servers.valkey import ValkeyServer
from tests.servers.workers import Worker, Workers

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

REVOCATIONS = 6
PROMISE = 1.0
WOKEN = 0.1
MACHINE = 0.5  # what a busy machine of two cores may add; benchmarks/revocation.py measures without


@pytest.fixture(scope="module", params=["polling", "notify", "valkey"])
def fed_workers(
    request: pytest.FixtureRequest, postgres_server: PostgresServer, valkey_server: ValkeyServer
) -> Iterator[tuple[Workers, float]]:
    """Four workers on PostgreSQL that hear of revocations in one way, and within how many seconds.

    Where they are woken they do not poll meanwhile.

    It is a slice of `benchmarks/revocation.py`, which measures 50 of them and every 20 ms.
    """
    settings = {} if request.param == "polling" else {"LIMEN_REVOCATION_POLL_SECONDS": "10"}
    if request.param == "valkey":
        settings["LIMEN_REDIS_URL"] = valkey_server.url
    app = "limen.demo:app" if request.param == "notify" else "_without_notify:app"
    folder = Path(__file__).parents[2] / "benchmarks"
    url = postgres_server.create_database()
    with Workers(4, database_url=url, settings=settings, app=app, app_folder=folder) as workers:
        yield workers, PROMISE if request.param == "polling" else WOKEN


async def test_a_logout_is_felt_by_every_worker_within_the_promise_of_each_feed(
    fed_workers: tuple[Workers, float],
) -> None:
    workers, promise = fed_workers
    async with browser() as http:
        email = await register(http, workers[0].url)
        for _ in range(REVOCATIONS):
            here = workers.next_url()
            tokens = await sign_in(http, here, email)
            assert [await status_at(http, url, tokens) for url in workers.urls] == [200] * 4
            await log_out(http, here, tokens)
            assert await status_at(http, here, tokens) == 401
            waits = (seconds_until(http, url, tokens, status=401, limit=5) for url in workers.urls)
            assert max(await asyncio.gather(*waits)) < promise + MACHINE


async def test_a_logout_leaves_the_other_sessions_of_the_user_alone(four_workers: Workers) -> None:
    async with browser() as http:
        email = await register(http, four_workers[0].url)
        ended, kept = [await sign_in(http, four_workers.next_url(), email) for _ in range(2)]
        await log_out(http, four_workers[0].url, ended)
        for url in four_workers.urls:
            await seconds_until(http, url, ended, status=401, limit=5)
            assert await status_at(http, url, kept) == 200


async def test_a_worker_that_starts_knows_what_was_revoked_before_its_first_answer(workers: Workers) -> None:
    async with browser() as http:
        email = await register(http, workers[0].url)
        ended, kept = [await sign_in(http, workers[0].url, email) for _ in range(2)]
        await log_out(http, workers[0].url, ended)
        newcomer = workers.add()
        newcomer.launch()
        try:
            assert await first_answer(http, newcomer, ended) == 401
            assert await status_at(http, newcomer.url, kept) == 200
        finally:
            await to_thread.run_sync(newcomer.stop)


async def first_answer(http: httpx2.AsyncClient, worker: Worker, tokens: Tokens) -> int:
    """The status of the very first request that this worker answers."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await status_at(http, worker.url, tokens)
            except httpx2.ConnectError:
                await asyncio.sleep(0.02)
