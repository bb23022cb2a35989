"""Refreshes that race, get lost and come again: one live successor, and nobody is logged out (design §7, promise 3)."""

import asyncio
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import psycopg
import pytest
from tests.faults.clients import (
    Tokens,
    browser,
    hang_up_on_refresh,
    refresh,
    register,
    rows_of,
    seconds_until,
    sign_in,
    sign_in_often,
    status_at,
    tokens_of,
)
from tests.servers.workers import Workers

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

LONG = bool(os.environ.get("LIMEN_LONG_TESTS"))
SESSIONS, ROUNDS, LOST = 500, 3 if LONG else 1, 0.3
TABS, TURNS = 4, 60


async def test_refreshes_of_one_token_at_once_have_one_live_successor(workers: Workers) -> None:
    times = 1000 if len(workers) == 4 else 200
    async with browser() as http:
        tokens = await sign_in(http, workers[0].url, await register(http, workers[0].url))
        answers = await asyncio.gather(*(refresh(http, workers.next_url(), tokens.refresh) for _ in range(times)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({tokens_of(answer).refresh for answer in answers}) == 1
        assert rows_of(workers, [tokens.session_id])[0].generation == 1
        for url, answer in zip(workers.urls, answers, strict=False):
            assert await status_at(http, url, tokens_of(answer)) == 200
        assert (await refresh(http, workers[0].url, tokens_of(answers[0]).refresh)).status_code == 200
    [row] = rows_of(workers, [tokens.session_id])
    assert (row.generation, row.is_live) == (2, True)


async def test_clients_that_lose_a_third_of_the_answers_and_retry_once_stay_signed_in(workers: Workers) -> None:
    chance = random.Random(20261122)
    async with browser() as http:
        everyone = await sign_in_often(http, workers, times=SESSIONS if len(workers) == 4 else SESSIONS // 5)
        at_once = asyncio.Semaphore(100)

        async def live_on(tokens: Tokens) -> Tokens:
            for _ in range(ROUNDS):
                async with at_once:
                    tokens = await refresh_on_a_bad_line(http, workers, tokens, chance)
            return tokens

        last = await asyncio.gather(*(live_on(tokens) for tokens in everyone))
        answers = await asyncio.gather(*(refresh(http, workers.next_url(), tokens.refresh) for tokens in last))
    assert {answer.status_code for answer in answers} == {200}
    rows = rows_of(workers, [tokens.session_id for tokens in everyone])
    assert {(row.generation, row.is_live) for row in rows} == {(ROUNDS + 1, True)}


async def refresh_on_a_bad_line(
    http: httpx2.AsyncClient, workers: Workers, tokens: Tokens, chance: random.Random
) -> Tokens:
    """Of the answers that get lost, half are lost on the way and half with the whole connection."""
    fate = chance.random()
    if fate < LOST / 2:
        await refresh(http, workers.next_url(), tokens.refresh)
    elif fate < LOST:
        await hang_up_on_refresh(workers.next_url(), tokens.refresh)
    answer = await refresh(http, workers.next_url(), tokens.refresh)
    assert answer.status_code == 200, answer.text
    return tokens_of(answer)


async def test_tabs_that_share_a_storage_and_read_it_too_early_stay_signed_in(workers: Workers) -> None:
    async with browser() as http:
        first = await sign_in(http, workers[0].url, await register(http, workers[0].url))
        storage = [first]
        chance = random.Random(20261123)

        async def tab(number: int) -> None:
            for _ in range(TURNS):
                read = storage[0]
                await asyncio.sleep(chance.random() * 0.02)  # by now another tab may have written
                answer = await refresh(http, workers[number % len(workers)].url, read.refresh)
                assert answer.status_code == 200, answer.text
                storage[0] = tokens_of(answer)

        await asyncio.gather(*(tab(number) for number in range(TABS)))
        assert (await refresh(http, workers[0].url, storage[0].refresh)).status_code == 200
    [row] = rows_of(workers, [first.session_id])
    assert row.is_live
    assert row.generation > TURNS


async def test_a_replay_after_the_grace_ends_the_session_at_every_worker(hasty_workers: Workers) -> None:
    async with browser() as http:
        email = await register(http, hasty_workers[0].url)
        stolen = await sign_in(http, hasty_workers[0].url, email)
        other = await sign_in(http, hasty_workers[0].url, email)
        newest = tokens_of(await refresh(http, hasty_workers[1].url, stolen.refresh))
        await asyncio.sleep(1.1)
        replay = await refresh(http, hasty_workers[0].url, stolen.refresh)
        assert (replay.status_code, replay.json()["code"]) == (401, "invalid_grant")
        for url in hasty_workers.urls:
            assert (await refresh(http, url, newest.refresh)).status_code == 401
        for url in hasty_workers.urls:
            await seconds_until(http, url, newest, status=401, limit=5)
        assert (await refresh(http, hasty_workers[0].url, other.refresh)).status_code == 200
    dead, alive = rows_of(hasty_workers, [newest.session_id, other.session_id])
    assert (dead.generation, dead.is_live, dead.end_reason) == (1, False, "refresh_reused")
    assert alive.is_live


async def test_replays_after_the_grace_at_once_all_get_the_answer_of_a_bad_token(hasty_workers: Workers) -> None:
    async with browser() as http:
        stolen = await sign_in(http, hasty_workers[0].url, await register(http, hasty_workers[0].url))
        assert (await refresh(http, hasty_workers[0].url, stolen.refresh)).status_code == 200
        await asyncio.sleep(1.1)
        forged = await refresh(http, hasty_workers[0].url, stolen.refresh[:-4] + "AAAA")
        answers = await asyncio.gather(*(refresh(http, hasty_workers.next_url(), stolen.refresh) for _ in range(60)))
    assert {(answer.status_code, answer.text) for answer in answers} == {(401, forged.text)}
    assert not rows_of(hasty_workers, [stolen.session_id])[0].is_live


async def test_a_retry_that_arrived_within_the_grace_may_wait_for_the_database(hasty_workers: Workers) -> None:
    async with browser() as http:
        tokens = await sign_in(http, hasty_workers[0].url, await register(http, hasty_workers[0].url))
        first = tokens_of(await refresh(http, hasty_workers[0].url, tokens.refresh))
        with sessions_locked(hasty_workers.database_url):
            retry = asyncio.create_task(refresh(http, hasty_workers[1].url, tokens.refresh))
            await asyncio.sleep(1.5)
            assert not retry.done()
        answer = await retry
    assert answer.status_code == 200, answer.text
    assert tokens_of(answer).refresh == first.refresh


@contextmanager
def sessions_locked(url: str) -> Iterator[None]:
    """Nobody writes a session meanwhile, as behind a migration or a long queue."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("LOCK TABLE limen_sessions IN EXCLUSIVE MODE")
        yield
