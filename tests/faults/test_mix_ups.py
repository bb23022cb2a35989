"""Nobody is ever taken for somebody else, however many people, carriers and workers are interleaved."""

import asyncio
import os
import random

import httpx2
import pytest
from tests.faults.clients import browser
from tests.servers.workers import Workers

from limen.testing import PASSWORD

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

PEOPLE, REQUESTS = (200, 200) if os.environ.get("LIMEN_LONG_TESTS") else (30, 30)
AT_ONCE = 32


async def credentials_of(http: httpx2.AsyncClient, url: str, number: int) -> tuple[str, list[dict[str, str]]]:
    """Somebody new, and the three ways in which their requests say who they are."""
    email = f"person{number}@example.com"
    form = {"username": email, "password": PASSWORD}
    registered = await http.post(f"{url}/auth/register", json={"email": email, "password": PASSWORD})
    tokens = (await http.post(f"{url}/auth/login", data=form)).json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    cookie = (await http.post(f"{url}/auth/login?deliver=cookie", data=form)).headers["set-cookie"].partition(";")[0]
    key = (await http.post(f"{url}/auth/api-keys", json={"name": "test"}, headers=bearer)).json()["key"]
    http.cookies.clear()
    return registered.json()["id"], [bearer, {"Cookie": cookie}, {"X-API-Key": key}]


async def test_every_answer_is_about_whoever_asked(four_workers: Workers) -> None:
    four_workers.revive()
    gate = asyncio.Semaphore(AT_ONCE)
    async with browser() as http:
        people = [await credentials_of(http, four_workers.next_url(), number) for number in range(PEOPLE)]
        asked = [(who, random.choice(ways)) for who, ways in people for _ in range(REQUESTS)]
        random.shuffle(asked)

        async def ask(who: str, headers: dict[str, str]) -> bool:
            async with gate:
                answer = await http.get(f"{four_workers.next_url()}/users/me", headers=headers)
                return answer.status_code == 200 and answer.json()["id"] == who

        answers = await asyncio.gather(*(ask(who, headers) for who, headers in asked))
    assert answers.count(False) == 0
