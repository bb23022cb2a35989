"""The database goes away and comes back: 503 where it is needed, never 401, never open (design §7, promise 6)."""

import asyncio
import os
import time
from collections import Counter

import httpx2
import pytest
from anyio import to_thread
from tests.faults.clients import (
    PASSWORD,
    Tokens,
    browser,
    log_out,
    refresh,
    register,
    seconds_until,
    sign_in,
    status_at,
)
from tests.servers.postgres import PostgresServer
from tests.servers.workers import Workers

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

DEAF = 3.0
BACK = 5.0
OUTAGE = 20.0


async def test_without_database_known_sessions_work_until_the_worker_is_deaf_and_nobody_is_refused_as_unknown(
    mortal_server: PostgresServer, hasty_workers: Workers
) -> None:
    async with browser() as http:
        here, there = hasty_workers.urls
        email = await register(http, here)
        tokens, ended = await sign_in(http, here, email), await sign_in(http, here, email)
        await log_out(http, here, ended)
        await seconds_until(http, there, ended, status=401, limit=5)
        assert [await status_at(http, url, tokens) for url in hasty_workers.urls] == [200, 200]

        await to_thread.run_sync(mortal_server.stop)
        stopped = time.monotonic()
        for url in hasty_workers.urls:
            assert await status_at(http, url, tokens) == 200
            assert await status_at(http, url, ended) == 401
            await check_what_needs_the_database(http, url, email, tokens)
        for url in hasty_workers.urls:
            await seconds_until(http, url, tokens, status=503, limit=DEAF + 3)
        assert time.monotonic() - stopped > DEAF - 1.5
        for url in hasty_workers.urls:
            check_unavailable(await http.get(f"{url}/items", headers=tokens.headers))
            assert (await http.get(f"{url}/health")).status_code == 200
            await check_what_needs_the_database(http, url, email, tokens)

        await to_thread.run_sync(mortal_server.start)
        for url in hasty_workers.urls:
            await seconds_until(http, url, tokens, status=200, limit=BACK, before=503)
            assert await status_at(http, url, ended) == 401
            assert (await http.get(f"{url}/users/me", headers=tokens.headers)).status_code == 200
            await sign_in(http, url, email)
        assert (await refresh(http, here, tokens.refresh)).status_code == 200


async def test_a_short_outage_is_not_felt_by_those_who_are_signed_in(
    mortal_server: PostgresServer, hasty_workers: Workers
) -> None:
    async with browser() as http:
        url = hasty_workers[0].url
        email = await register(http, url)
        tokens = await sign_in(http, url, email)
        seen: set[int] = set()

        async def work_on() -> None:
            while True:
                seen.add(await status_at(http, url, tokens))
                await asyncio.sleep(0.02)

        working = asyncio.create_task(work_on())
        await to_thread.run_sync(mortal_server.stop)
        await asyncio.sleep(0.5)
        await to_thread.run_sync(mortal_server.start)
        await asyncio.sleep(DEAF)
        working.cancel()
        assert seen == {200}
        await sign_in(http, url, email)


@pytest.mark.skipif(not os.environ.get("LIMEN_LONG_TESTS"), reason="takes half a minute: set LIMEN_LONG_TESTS=1")
async def test_twenty_seconds_without_database_are_within_the_deafness_that_is_allowed_by_default(
    mortal_server: PostgresServer,
) -> None:
    """Nobody who is known is refused, by token, cookie or key; no cookie is taken back; it is over within 5 s."""
    statuses: dict[str, Counter[int]] = {}
    with Workers(2, database_url=mortal_server.create_database()) as workers:
        async with browser() as http:
            email = await register(http, workers[0].url)
            ways = await ways_of(http, workers[0].url, email)
            for url in workers.urls:
                for headers in ways.values():
                    assert (await http.get(f"{url}/items", headers=headers)).status_code == 200
            await to_thread.run_sync(mortal_server.stop)
            ends = time.monotonic() + OUTAGE
            while time.monotonic() < ends:
                for url in workers.urls:
                    for way, headers in ways.items():
                        answer = await http.get(f"{url}/items", headers=headers)
                        statuses.setdefault(way, Counter())[answer.status_code] += 1
                        assert "set-cookie" not in answer.headers
                    for deliver in ("", "?deliver=cookie"):
                        form = {"username": email, "password": PASSWORD}
                        answer = await http.post(f"{url}/auth/login{deliver}", data=form)
                        check_unavailable(answer)
                        assert "set-cookie" not in answer.headers
                    me = await http.get(f"{url}/users/me", headers=ways["cookie"])
                    check_unavailable(me)
                    assert "set-cookie" not in me.headers
                await asyncio.sleep(0.2)
            assert {way: set(seen) for way, seen in statuses.items()} == {way: {200} for way in ways}
            await to_thread.run_sync(mortal_server.start)
            started = time.monotonic()
            for url in workers.urls:
                while (await http.post(f"{url}/auth/login", data={"username": email, "password": PASSWORD})).is_error:
                    assert time.monotonic() - started < BACK
                    await asyncio.sleep(0.05)
                assert (await http.get(f"{url}/users/me", headers=ways["cookie"])).status_code == 200


async def ways_of(http: httpx2.AsyncClient, url: str, email: str) -> dict[str, dict[str, str]]:
    """A token, a cookie and a key of one person, as headers."""
    tokens = await sign_in(http, url, email)
    key = await http.post(f"{url}/auth/api-keys", json={"name": "ci"}, headers=tokens.headers)
    form = {"username": email, "password": PASSWORD}
    cookie = await http.post(f"{url}/auth/login?deliver=cookie", data=form)
    http.cookies.clear()
    return {
        "token": tokens.headers,
        "cookie": {"Cookie": cookie.headers["set-cookie"].partition(";")[0]},
        "key": {"X-API-Key": key.json()["key"]},
    }


async def check_what_needs_the_database(http: httpx2.AsyncClient, url: str, email: str, tokens: Tokens) -> None:
    check_unavailable(await http.post(f"{url}/auth/login", data={"username": email, "password": PASSWORD}))
    check_unavailable(await refresh(http, url, tokens.refresh))
    check_unavailable(await http.get(f"{url}/users/me", headers=tokens.headers))
    check_unavailable(await http.post(f"{url}/auth/logout", headers=tokens.headers))
    form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh}
    check_unavailable(await http.post(f"{url}/auth/token", data=form))


def check_unavailable(answer: httpx2.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) >= 1
