"""How soon a logout is felt everywhere: from the revoking answer to the last 200 of any of four workers.

    python benchmarks/revocation.py [--json] [--feed polling|notify|valkey] [--revocations 50]

Four uvicorn workers on PostgreSQL. Two people at a time sign in and log out, each at the next worker and at a random
moment; every worker is asked every 20 ms with the revoked token until it refuses. The lag of a revocation ends when
the last 200 arrived. `polling` looks once a second and is not woken, `notify` is woken by PostgreSQL (the default),
`valkey` by Valkey alone. Targets: p99 under 1 s polling, under 100 ms woken. The whole takes under 60 s.
"""

import argparse
import asyncio
import json
import random
import time
from contextlib import ExitStack
from pathlib import Path

import httpx2
from _cluster import PASSWORD, PostgresServer, ValkeyServer, Workers, machine, percentile

EVERY = 0.02
LANES = 2
GIVE_UP = 10.0
LONGEST_RUN = 45.0
TARGET_MS = {"polling": 1000.0, "notify": 100.0, "valkey": 100.0}
EMAIL = "alice@example.com"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how soon a logout is felt by four workers.")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--feed", choices=TARGET_MS, default="notify", help="what wakes the workers (default: notify)")
    parser.add_argument("--revocations", type=int, default=50, help="how many (default: 50)")
    arguments = parser.parse_args()
    lags = run(arguments.feed, revocations=arguments.revocations)
    target = TARGET_MS[arguments.feed]
    figures = {f"p{which}_ms": round(percentile(lags, which), 1) for which in (50, 90, 99)}
    met = figures["p99_ms"] < target
    print(
        f"{arguments.feed}, {len(lags)} revocations, last 200 after the revoking answer: {figures}, max {max(lags):.1f}"
    )
    print(f"{'met' if met else 'MISSED'}: p99 under {target:.0f} ms")
    if arguments.json:
        facts = {"feed": arguments.feed, "workers": 4, "revocations": len(lags), "max_ms": round(max(lags), 1)}
        goal = {"target_p99_ms": target, "met": met}
        print(json.dumps({"benchmark": "revocation", **machine(), **facts, **figures, **goal}))


def run(feed: str, *, revocations: int) -> list[float]:
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer())
        settings = {"LIMEN_REDIS_URL": stack.enter_context(ValkeyServer()).url} if feed == "valkey" else {}
        app = "limen.demo:app" if feed == "notify" else "_without_notify:app"
        folder = Path(__file__).parent
        workers = stack.enter_context(
            Workers(4, database_url=server.create_database(), settings=settings, app=app, app_folder=folder)
        )
        return asyncio.run(measure(workers, revocations=revocations))


async def measure(workers: Workers, *, revocations: int) -> list[float]:
    """Milliseconds of each revocation."""
    left, lags, ends = iter(range(revocations)), [], time.monotonic() + LONGEST_RUN
    chance = random.Random(1)

    async def lane() -> None:
        for _ in left:
            if time.monotonic() > ends:
                return
            await asyncio.sleep(chance.random() / 2)  # else the first poll after one would start the next
            lags.append(await lag(client, workers))

    async with httpx2.AsyncClient(timeout=20, trust_env=False) as client:
        account = {"email": EMAIL, "password": PASSWORD}
        (await client.post(f"{workers[0].url}/auth/register", json=account)).raise_for_status()
        await asyncio.gather(*(lane() for _ in range(LANES)))
    return lags


async def lag(client: httpx2.AsyncClient, workers: Workers) -> float:
    """Sign in and out once; how many milliseconds after the answer the last worker let the token in."""
    here = workers.next_url()
    form = {"username": EMAIL, "password": PASSWORD}
    answer = await client.post(f"{here}/auth/login", data=form)
    answer.raise_for_status()
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    probes = [asyncio.create_task(last_welcome(client, url, headers)) for url in workers.urls]
    await asyncio.sleep(2 * EVERY)  # every worker has let it in
    (await client.post(f"{here}/auth/logout", headers=headers)).raise_for_status()
    revoked = time.monotonic()
    return max(0.0, *(1000 * (welcome - revoked) for welcome in await asyncio.gather(*probes)))


async def last_welcome(client: httpx2.AsyncClient, url: str, headers: dict[str, str]) -> float:
    """When the last 200 arrived from this worker, asked every 20 ms until it answers 401."""
    welcome, ends = float("-inf"), time.monotonic() + GIVE_UP
    while time.monotonic() < ends:
        began = time.monotonic()
        status = (await client.get(f"{url}/items", headers=headers)).status_code
        if status == 401:
            return welcome
        if status != 200:
            raise RuntimeError(f"{url} answered {status}")
        welcome = time.monotonic()
        await asyncio.sleep(max(0.0, began + EVERY - time.monotonic()))
    raise RuntimeError(f"{url} still lets the revoked token in after {GIVE_UP} s")


if __name__ == "__main__":
    main()
