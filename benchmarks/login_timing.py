"""Whether the time of a failing login tells why it failed: unknown, wrong, disabled, over-long, blank, by turns.

    python benchmarks/login_timing.py [--json] [--tries 200]

One uvicorn worker on SQLite with real Argon2id (19 MiB, two passes) and no limits. Each kind of failure is tried that
often over one connection, the kinds by turns in a new order each time, so that a busy machine slows all alike. The
medians must lie within 10 %, and status and body must be one and the same. The whole takes about 40 s.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from statistics import median

import httpx2
from _cluster import PASSWORD, REAL_HASHING, Workers, machine, percentile
from sqlalchemy import create_engine, text

KNOWN, DISABLED, UNKNOWN = "known@example.com", "disabled@example.com", "unknown@example.com"
FAILURES: dict[str, tuple[str, str]] = {
    "unknown": (UNKNOWN, PASSWORD),
    "unknown, no e-mail": ("nobody-of-this-name", PASSWORD),
    "wrong": (KNOWN, "wrong " + PASSWORD),
    "disabled": (DISABLED, PASSWORD),
    "over-long": (KNOWN, "a" * 5000),
    "blank": (KNOWN, ""),
}
ALLOWED_SPREAD = 0.10
LONGEST_RUN = 50.0


def main() -> None:
    parser = argparse.ArgumentParser(description="Time every kind of failing login.")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--tries", type=int, default=200, help="of each kind (default: 200)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = f"{folder}/limen.db"
        with Workers(1, database_url=f"sqlite+aiosqlite:///{database}", settings=REAL_HASHING) as workers:
            taken, answers = asyncio.run(measure(workers[0].url, database, tries=arguments.tries))
    medians = {name: round(median(each), 3) for name, each in taken.items()}
    spread = max(medians.values()) / min(medians.values()) - 1
    met = spread < ALLOWED_SPREAD and len(answers) == 1
    print(f"{'':20}{'median ms':>12}{'p10 ms':>12}{'p90 ms':>12}{'tries':>8}")
    for name, each in taken.items():
        print(f"{name:20}{medians[name]:12.3f}{percentile(each, 10):12.3f}{percentile(each, 90):12.3f}{len(each):8}")
    print(f"\nspread of the medians {spread:.2%}, kinds of answer: {len(answers)}")
    print(f"{'met' if met else 'MISSED'}: medians within 10 %, one answer to all")
    if arguments.json:
        figures = {"median_ms": medians, "spread": round(spread, 4), "answers": len(answers), "met": met}
        print(json.dumps({"benchmark": "login_timing", **machine(), "tries": arguments.tries, **figures}))


async def measure(url: str, database: str, *, tries: int) -> tuple[dict[str, list[float]], set[tuple[int, str]]]:
    """Milliseconds of each try of each kind, and every different answer."""
    taken: dict[str, list[float]] = {name: [] for name in FAILURES}
    answers: set[tuple[int, str]] = set()
    order, chance, ends = list(FAILURES), random.Random(1), time.monotonic() + LONGEST_RUN
    async with httpx2.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
        await prepare(client, database)
        for turn in range(-3, tries):  # the first three warm up
            chance.shuffle(order)
            for name in order:
                username, password = FAILURES[name]
                started = time.perf_counter()
                answer = await client.post("/auth/login", data={"username": username, "password": password})
                if turn >= 0:
                    taken[name].append((time.perf_counter() - started) * 1000)
                answers.add((answer.status_code, answer.text))
            if time.monotonic() > ends:
                break
    return taken, answers


async def prepare(client: httpx2.AsyncClient, database: str) -> None:
    """Two accounts, one of them disabled."""
    for email in (KNOWN, DISABLED):
        (await client.post("/auth/register", json={"email": email, "password": PASSWORD})).raise_for_status()
    engine = create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        statement = text("UPDATE limen_users SET is_active = false WHERE email_canonical = :email")
        assert connection.execute(statement, {"email": DISABLED}).rowcount == 1
    engine.dispose()


if __name__ == "__main__":
    main()
