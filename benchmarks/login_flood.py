"""What 200 parallel logins do to the other routes: limen's hashing pool beside hashing on the event loop.

    python benchmarks/login_flood.py [--json] [--logins 200]

One uvicorn worker on SQLite with real Argon2id (19 MiB, two passes). A process of its own probes `/health` every 10 ms:
first while nothing else happens, then while another process signs in 200 times at once. Latency is what the prober
waited; memory is the peak over the moment before the flood. The same app with hashing on the loop runs beside it, as
the contrast. The whole takes about 30 s.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import httpx2
import psutil
from _cluster import PASSWORD, REAL_HASHING, Worker, Workers, machine, percentile

EVERY = 0.01
IDLE_SECONDS = 3.0
LONGEST_FLOOD = 25.0
TARGETS = {"health_p99_ms": 100.0, "rss_growth_mib": 200.0}
EMAIL = "alice@example.com"


def main() -> None:
    parser = argparse.ArgumentParser(description="Probe a worker while 200 people sign in at once.")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--logins", type=int, default=200, help="at once (default: 200)")
    arguments = parser.parse_args()
    apps = {"limen": "limen.demo:app", "on_the_loop": "_hashing_on_the_loop:app"}
    variants = {name: measure(app, logins=arguments.logins) for name, app in apps.items()}
    limen = variants["limen"]
    met = all(limen[figure] < bound for figure, bound in TARGETS.items()) and limen["failed_logins"] == 0
    print(table(variants))
    print(f"\n{'met' if met else 'MISSED'}: p99 of /health under 100 ms, growth under 200 MiB, every login answered")
    if arguments.json:
        targets = {"targets": TARGETS, "met": met}
        print(json.dumps({"benchmark": "login_flood", **machine(), "variants": variants, **targets}))


def measure(app: str, *, logins: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{folder}/limen.db"
        with Workers(1, database_url=url, settings=REAL_HASHING, app=app, app_folder=Path(__file__).parent) as workers:
            return flooded(workers[0], logins=logins)


def flooded(worker: Worker, *, logins: int) -> dict[str, float]:
    process = psutil.Process(worker.pid)
    register(worker)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as other:
        other.submit(flood, worker.url, 1).result(timeout=30)  # the process is there, the first hash is done
        idle_until = time.monotonic() + IDLE_SECONDS
        idle, _ = probe(worker, process, until=lambda: time.monotonic() >= idle_until)
        before = process.memory_info().rss
        flooding = other.submit(flood, worker.url, logins)
        busy, peak = probe(worker, process, until=flooding.done)
        seconds, statuses = flooding.result(timeout=LONGEST_FLOOD)
    return {
        "idle_p50_ms": round(percentile(idle, 50), 2),
        "idle_p99_ms": round(percentile(idle, 99), 2),
        "health_p50_ms": round(percentile(busy, 50), 2),
        "health_p99_ms": round(percentile(busy, 99), 2),
        "health_max_ms": round(max(busy), 2),
        "probes": len(busy),
        "rss_growth_mib": round((peak - before) / 2**20, 1),
        "logins_per_second": round(logins / seconds, 1),
        "failed_logins": sum(status != 200 for status in statuses),
    }


def register(worker: Worker) -> None:
    answer = httpx2.post(
        f"{worker.url}/auth/register", json={"email": EMAIL, "password": PASSWORD}, timeout=20, trust_env=False
    )
    answer.raise_for_status()


def flood(url: str, logins: int) -> tuple[float, list[int]]:
    """Sign in that often at once, in a process of its own: the seconds until the last answer, and every status."""
    return asyncio.run(_flood(url, logins))


async def _flood(url: str, logins: int) -> tuple[float, list[int]]:
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(limits=limits, timeout=LONGEST_FLOOD, trust_env=False) as client:
        started = time.perf_counter()
        form = {"username": EMAIL, "password": PASSWORD}
        answers = await asyncio.gather(*(client.post(f"{url}/auth/login", data=form) for _ in range(logins)))
        return time.perf_counter() - started, [answer.status_code for answer in answers]


def probe(worker: Worker, process: psutil.Process, *, until: Callable[[], bool]) -> tuple[list[float], int]:
    """Milliseconds of each probe of `/health`, and the most memory seen; the last probe began before the end."""
    latencies, peak, ends = [], 0, time.monotonic() + LONGEST_FLOOD
    connection = http.client.HTTPConnection("127.0.0.1", worker.port, timeout=LONGEST_FLOOD)
    while not until() and time.monotonic() < ends:
        started = time.perf_counter()
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answer.read()
        latencies.append((time.perf_counter() - started) * 1000)
        assert answer.status == 200
        peak = max(peak, process.memory_info().rss)
        time.sleep(EVERY)
    connection.close()
    return latencies, peak


def table(variants: dict[str, dict[str, float]]) -> str:
    rows = [f"{'':20}" + "".join(f"{name:>16}" for name in variants)]
    rows += [
        f"{figure:20}" + "".join(f"{each[figure]:16.2f}" for each in variants.values()) for figure in variants["limen"]
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    main()
