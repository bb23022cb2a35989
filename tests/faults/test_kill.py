"""kill -9 at any point loses no committed session and mints no second successor (design §7, promise 4)."""

import asyncio
import os
import time
from dataclasses import dataclass, field

import httpx2
import pytest
from anyio import to_thread
from tests.faults.clients import PASSWORD, Tokens, browser, refresh, register, rows_of, sign_in_often, tokens_of
from tests.servers.workers import Worker, Workers

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

LONG = bool(os.environ.get("LIMEN_LONG_TESTS"))
SECONDS, EVERY, LEAST_KILLS = (30.0, 2.0, 10) if LONG else (4.0, 1.0, 3)
PHONES = 12
GRACE = 10.0


@dataclass
class Phone:
    """A client that keeps its last token and, where no answer comes, tries again at once at the next worker."""

    http: httpx2.AsyncClient
    workers: Workers
    tokens: Tokens
    steps: int = 0
    unanswered: int = 0
    successors: dict[str, set[str]] = field(default_factory=dict)

    async def refresh(self) -> None:
        asked = self.tokens.refresh
        async with asyncio.timeout(GRACE):
            answer = await self._answer(asked)
        assert answer.status_code == 200, answer.text
        self.tokens = tokens_of(answer)
        self.successors.setdefault(asked, set()).add(self.tokens.refresh)
        self.steps += 1

    async def ask_again(self, asked: str) -> None:
        """A late second try with the token before: the same successor as the first time."""
        async with asyncio.timeout(GRACE):
            answer = await self._answer(asked)
        assert answer.status_code == 200, answer.text
        self.successors[asked].add(tokens_of(answer).refresh)

    async def _answer(self, token: str) -> httpx2.Response:
        while True:
            try:
                return await refresh(self.http, self.workers.next_url(), token)
            except httpx2.TransportError:
                self.unanswered += 1
                await asyncio.sleep(0.01)


async def test_killed_workers_lose_no_session_and_mint_no_second_successor(workers: Workers) -> None:
    async with browser() as http:
        phones = [Phone(http, workers, tokens) for tokens in await sign_in_often(http, workers, times=PHONES)]
        email = await register(http, workers[0].url)
        over = asyncio.Event()
        opened: list[Tokens] = []
        async with asyncio.TaskGroup() as tasks:
            for phone in phones:
                tasks.create_task(keep_refreshing(phone, over))
            tasks.create_task(keep_signing_in(http, workers, email, opened, over))
            kills = await kill_by_turns(workers, tasks)
            over.set()
        for phone in phones:
            await phone.refresh()
        last = [Phone(http, workers, tokens) for tokens in opened]
        await asyncio.gather(*(phone.refresh() for phone in last))
    assert kills >= LEAST_KILLS
    assert sum(phone.unanswered for phone in phones) > 0, "no kill was felt"
    assert {len(found) for phone in phones for found in phone.successors.values()} == {1}
    assert all(len(phone.successors) == phone.steps for phone in phones)
    rows = rows_of(workers, [phone.tokens.session_id for phone in phones])
    assert [(row.generation, row.is_live) for row in rows] == [(phone.steps, True) for phone in phones]
    rows = rows_of(workers, [tokens.session_id for tokens in opened])
    assert {(row.generation, row.is_live) for row in rows} == {(1, True)}


async def keep_refreshing(phone: Phone, over: asyncio.Event) -> None:
    while not over.is_set():
        asked = phone.tokens.refresh
        await phone.refresh()
        await phone.ask_again(asked)
        await asyncio.sleep(0.1)


async def keep_signing_in(
    http: httpx2.AsyncClient, workers: Workers, email: str, opened: list[Tokens], over: asyncio.Event
) -> None:
    """Every session whose sign-in was answered is committed."""
    while not over.is_set():
        form = {"username": email, "password": PASSWORD}
        try:
            answer = await http.post(f"{workers.next_url()}/auth/login", data=form)
        except httpx2.TransportError:
            continue
        assert answer.status_code == 200, answer.text
        opened.append(tokens_of(answer))
        await asyncio.sleep(0.1)


async def kill_by_turns(workers: Workers, tasks: asyncio.TaskGroup) -> int:
    """Kill one worker after another, never the last that lives, and start each again at once; how many."""
    starting: list[asyncio.Task[None]] = []
    kills, ends = 0, time.monotonic() + SECONDS
    while time.monotonic() < ends or kills < LEAST_KILLS:
        await asyncio.sleep(EVERY)
        if len(starting) == len(workers) - 1:
            await starting.pop(0)
        victim = workers[kills % len(workers)]
        await to_thread.run_sync(victim.kill)
        starting.append(tasks.create_task(start(victim)))
        kills += 1
    await asyncio.gather(*starting)
    return kills


async def start(worker: Worker) -> None:
    await to_thread.run_sync(worker.start)
