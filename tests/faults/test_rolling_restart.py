"""Workers are replaced one after the other: nobody notices, and nothing that was taken back is good again."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest
from anyio import to_thread
from tests.faults.clients import browser, log_out, register, sign_in
from tests.servers.workers import Worker, Workers

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

PEOPLE = 8


class Balancer:
    """What stands before the workers: it sends nothing to one that is being replaced, and lets it finish."""

    def __init__(self, workers: Workers) -> None:
        self._serving = list(workers.urls)
        self._under_way: dict[str, int] = dict.fromkeys(workers.urls, 0)
        self._turn = 0

    @contextmanager
    def one(self) -> Iterator[str]:
        self._turn += 1
        url = self._serving[self._turn % len(self._serving)]
        self._under_way[url] += 1
        try:
            yield url
        finally:
            self._under_way[url] -= 1

    async def drain(self, worker: Worker) -> None:
        self._serving.remove(worker.url)
        while self._under_way[worker.url]:  # noqa: ASYNC110 - whoever ends a request does not know who waits
            await asyncio.sleep(0.01)

    def restore(self, worker: Worker) -> None:
        self._serving.append(worker.url)


async def test_no_request_fails_and_nothing_revoked_comes_back(four_workers: Workers) -> None:
    four_workers.revive()
    balancer, done, statuses = Balancer(four_workers), asyncio.Event(), list[int]()
    async with browser() as http, asyncio.TaskGroup() as group:
        first = four_workers.urls[0]
        gone = await sign_in(http, first, await register(http, first))
        await log_out(http, first, gone)
        people = [await sign_in(http, first, await register(http, first)) for _ in range(PEOPLE)]

        async def keep_asking(headers: dict[str, str]) -> None:
            while not done.is_set():
                with balancer.one() as url:
                    statuses.append(await status(http, url, headers))
                await asyncio.sleep(0.01)

        for tokens in people:
            group.create_task(keep_asking(tokens.headers))
        for index in range(len(four_workers)):
            worker = four_workers[index]
            await balancer.drain(worker)
            await to_thread.run_sync(worker.stop)
            await to_thread.run_sync(worker.start)
            assert await status(http, worker.url, gone.headers) == 401, "its very first answer"
            balancer.restore(worker)
        done.set()
    assert len(statuses) > 100
    assert set(statuses) == {200}


async def status(http: httpx2.AsyncClient, url: str, headers: dict[str, str]) -> int:
    return (await http.get(f"{url}/items", headers=headers)).status_code
