"""What password hashing does to the rest of the server: limen's pool, the default thread pool, the event loop itself.

    python benchmarks/hashing.py [--json]

Each variant runs in a process of its own, several times by turns: sixteen clients verify passwords at real cost
without pause while a coroutine ticks every millisecond. Lag is how late the ticks come; memory is the peak over the
moment before the first hash; the rate is compared with Argon2 alone in one thread of the same process. Then every kind
of sign-in is timed, by turns. Figures are medians; the whole takes about 45 s, whatever the machine.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median, quantiles

from argon2 import PasswordHasher as Argon2

from limen.core.passwords import PasswordHasher

CLIENTS = 16
TICK = 0.001
PASSWORD = "correct horse battery staple"
MEMORY_KIB, ITERATIONS, PARALLELISM = 19 * 1024, 2, 1

Verify = Callable[[str], Awaitable[object]]


def bare() -> Argon2:
    return Argon2(ITERATIONS, MEMORY_KIB, PARALLELISM)


def limens_pool() -> Verify:
    hasher = PasswordHasher(memory_kib=MEMORY_KIB, iterations=ITERATIONS, parallelism=PARALLELISM)
    return lambda digest: hasher.verify(PASSWORD, digest)


def default_threads() -> Verify:
    argon2 = bare()
    return lambda digest: asyncio.to_thread(argon2.verify, digest, PASSWORD)


def on_the_loop() -> Verify:
    argon2 = bare()

    async def verify(digest: str) -> object:
        await asyncio.sleep(0)
        return argon2.verify(digest, PASSWORD)

    return verify


VARIANTS = {"limen": limens_pool, "default_threads": default_threads, "on_the_loop": on_the_loop}


def memory_mib(figure: str) -> float:
    """`VmRSS` (now) or `VmHWM` (peak of this process) in MiB; nan where there is no /proc."""
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    line = next(line for line in status.read_text().splitlines() if line.startswith(figure))
    return int(line.split()[1]) / 1024


def rate_alone(digest: str, *, seconds: float) -> float:
    """Verifies per second of Argon2 in this thread, with nothing beside it."""
    argon2, started, done = bare(), time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        argon2.verify(digest, PASSWORD)
        done += 1
    return done / (time.perf_counter() - started)


async def lags_of(work: Callable[[], Awaitable[object]]) -> list[float]:
    """How many milliseconds late each tick came while `work` went on."""
    lags: list[float] = []

    async def tick() -> None:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(TICK)
            lags.append((time.perf_counter() - started - TICK) * 1000)

    ticking = asyncio.create_task(tick())
    await work()
    await asyncio.sleep(2 * TICK)  # the tick that waited for the last hash counts too
    ticking.cancel()
    return lags


async def flood(verify: Verify, digest: str, *, seconds: float) -> float:
    """Verifies per second of sixteen clients without pause."""
    started, done = time.perf_counter(), 0

    async def client() -> None:
        nonlocal done
        while time.perf_counter() - started < seconds:
            await verify(digest)
            done += 1

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return done / (time.perf_counter() - started)


async def measured(verify: Verify, digest: str, *, seconds: float) -> dict[str, float]:
    rates: list[float] = []

    async def flooded() -> None:
        rates.append(await flood(verify, digest, seconds=seconds))

    idle = await lags_of(lambda: asyncio.sleep(seconds / 4))
    before = memory_mib("VmRSS")
    busy = await lags_of(flooded)
    return {
        "idle_lag_p99_ms": quantiles(idle, n=100)[-1],
        "lag_p50_ms": median(busy),
        "lag_p99_ms": quantiles(busy, n=100)[-1] if len(busy) > 100 else max(busy),
        "lag_max_ms": max(busy),
        "rss_growth_mib": memory_mib("VmHWM") - before,
        "hashes_per_second": rates[0],
    }


def run_variant(name: str, digest: str, *, seconds: float) -> dict[str, float]:
    """One variant in this process: first the flood, whose memory is to be clean, then Argon2 alone."""
    figures = asyncio.run(measured(VARIANTS[name](), digest, seconds=seconds))
    alone = rate_alone(digest, seconds=seconds / 2)
    return {**figures, "alone_per_second": alone, "rate_over_alone": figures["hashes_per_second"] / alone}


def in_own_process(name: str, digest: str, *, seconds: float) -> dict[str, float]:
    command = [sys.executable, __file__, "--variant", name, "--digest", digest, "--seconds", str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


async def sign_in_costs(*, seconds: float) -> dict[str, float]:
    """Median milliseconds of processor time (of all threads) that each kind of sign-in costs, tried by turns.

    At a quarter of the real memory: four times the tries, and whatever differs beside the hash weighs four times.
    """
    hasher = PasswordHasher(memory_kib=MEMORY_KIB // 4, iterations=ITERATIONS, parallelism=PARALLELISM)
    digest = await hasher.hash(PASSWORD)
    tries: dict[str, tuple[str, str | None]] = {
        "right": (PASSWORD, digest),
        "wrong": ("wrong password", digest),
        "unknown": (PASSWORD, None),
        "blank": ("", digest),
        "over_long": ("a" * 5000, digest),
        "unreadable": (PASSWORD, digest[:40]),
    }
    costs: dict[str, list[float]] = {name: [] for name in tries}
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        for name, (password, stored) in tries.items():
            began = time.process_time()
            await hasher.verify(password, stored)
            costs[name].append((time.process_time() - began) * 1000)
    hasher.close()
    return {name: median(taken) for name, taken in costs.items()}


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {figure: round(median(run[figure] for run in runs), 3) for figure in runs[0]}


def measure(*, runs: int, seconds: float) -> dict[str, object]:
    digest = bare().hash(PASSWORD)
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    for _ in range(runs):
        for name, figures in taken.items():
            figures.append(in_own_process(name, digest, seconds=seconds))
    costs = asyncio.run(sign_in_costs(seconds=4 * seconds))
    return {
        "benchmark": "hashing",
        "clients": CLIENTS,
        "argon2": {"memory_kib": MEMORY_KIB, "iterations": ITERATIONS, "parallelism": PARALLELISM},
        "variants": {name: medians(figures) for name, figures in taken.items()},
        "sign_in_cpu_ms": {name: round(cost, 3) for name, cost in costs.items()},
        "sign_in_cpu_spread": round(max(costs.values()) / min(costs.values()) - 1, 4),
    }


def table(results: dict[str, object]) -> str:
    variants: dict[str, dict[str, float]] = results["variants"]  # type: ignore[assignment]
    costs: dict[str, float] = results["sign_in_cpu_ms"]  # type: ignore[assignment]
    rows = [f"{'':22}" + "".join(f"{name:>18}" for name in variants)]
    rows += [
        f"{figure:22}" + "".join(f"{each[figure]:18.2f}" for each in variants.values()) for figure in variants["limen"]
    ]
    rows += ["", "sign-in, CPU ms:       " + "  ".join(f"{name} {cost:.2f}" for name, cost in costs.items())]
    return "\n".join([*rows, f"spread of the medians:  {results['sign_in_cpu_spread']:.2%}"])


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what password hashing does to the rest of the server.")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--runs", type=int, default=3, help="runs of each variant (default: 3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each flood (default: 2)")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--digest", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant:
        print(json.dumps(run_variant(arguments.variant, arguments.digest, seconds=arguments.seconds)))
        return
    results = measure(runs=arguments.runs, seconds=arguments.seconds)
    print(table(results))
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
