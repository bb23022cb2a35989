"""Whether the time of an answer tells whether an account exists: register, forgot, verification, magic link.

    python benchmarks/account_timing.py [--json] [--tries 200]

One uvicorn worker on SQLite with `LIMEN_EMAIL_VERIFICATION=required`, cheap hashing (a real hash would hide what is
measured here) and mail that goes nowhere. Each request is made that often for known and for unknown addresses, twenty
of each, by turns in a new order each time, so that a busy machine slows all alike. The medians of a request must lie
within 10 %, and status and body must be one and the same. The whole takes about 40 s.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path
from statistics import median

import httpx2
from _cluster import PASSWORD, Workers, machine, percentile

REQUESTS = {
    "register": "/auth/register",
    "forgot": "/auth/password/forgot",
    "verification": "/auth/email/verification",
    "magic link": "/auth/magic-link",
}
SETTINGS = {"LIMEN_EMAIL_VERIFICATION": "required"}
ALLOWED_SPREAD = 0.10
LONGEST_RUN = 50.0
ADDRESSES = 20

APP = """
from fastapi import FastAPI
from limen import Auth
from limen.auth import default_features
from limen.features import MagicLinks

class Nowhere:
    async def send(self, message):
        pass

features = [each for each in default_features() if each.name != "limits"]
auth = Auth(features=[*features, MagicLinks()])
auth.kernel.features["mail"].delivery.mailer = Nowhere()
app = FastAPI()
auth.install(app)

@app.get("/health")
async def health() -> str:
    return "ok"
"""

Kind = tuple[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description="Time requests for known and unknown addresses.")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--tries", type=int, default=200, help="of each kind (default: 200)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "app.py").write_text(APP)
        url = f"sqlite+aiosqlite:///{folder}/limen.db"
        with Workers(1, database_url=url, app="app:app", app_folder=Path(folder), settings=SETTINGS) as workers:
            taken, answers = asyncio.run(measure(workers[0].url, tries=arguments.tries))
    print(f"{'':26}{'median ms':>12}{'p10 ms':>12}{'p90 ms':>12}{'tries':>8}")
    for (name, who), each in taken.items():
        figures = (median(each), percentile(each, 10), percentile(each, 90))
        print(f"{f'{name}, {who}':26}" + "".join(f"{figure:12.3f}" for figure in figures) + f"{len(each):8}")
    spreads = {name: spread_of(taken[name, "known"], taken[name, "unknown"]) for name in REQUESTS}
    met = all(spread < ALLOWED_SPREAD for spread in spreads.values()) and all(len(it) == 1 for it in answers.values())
    print("\nspreads of the medians: " + ", ".join(f"{name} {spread:.2%}" for name, spread in spreads.items()))
    print(f"kinds of answer: {[len(it) for it in answers.values()]}")
    print(f"{'met' if met else 'MISSED'}: medians within 10 %, one answer to all")
    if arguments.json:
        medians = {f"{name}, {who}": round(median(each), 3) for (name, who), each in taken.items()}
        figures = {"median_ms": medians, "spread": {name: round(it, 4) for name, it in spreads.items()}, "met": met}
        print(json.dumps({"benchmark": "account_timing", **machine(), "tries": arguments.tries, **figures}))


def spread_of(one: list[float], other: list[float]) -> float:
    """By how much the greater median is above the smaller."""
    return max(median(one), median(other)) / min(median(one), median(other)) - 1


async def measure(url: str, *, tries: int) -> tuple[dict[Kind, list[float]], dict[str, set[tuple[int, str]]]]:
    """Milliseconds of each try of each kind, and every different answer to each request."""
    taken: dict[Kind, list[float]] = {(name, who): [] for name in REQUESTS for who in ("known", "unknown")}
    answers: dict[str, set[tuple[int, str]]] = {name: set() for name in REQUESTS}
    order, chance, ends = list(taken), random.Random(1), time.monotonic() + LONGEST_RUN
    async with httpx2.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
        for number in range(ADDRESSES):
            body = {"email": f"known{number}@example.com", "password": PASSWORD}
            (await client.post("/auth/register", json=body)).raise_for_status()
        for turn in range(-5, tries):  # the first warm up
            chance.shuffle(order)
            for name, who in order:
                is_new = (name, who) == ("register", "unknown")
                number = f"-{turn}" if is_new else turn % ADDRESSES
                body = {"email": f"{who}{number}@example.com"}
                body |= {"password": PASSWORD} if name == "register" else {}
                client.cookies.clear()
                started = time.perf_counter()
                answer = await client.post(REQUESTS[name], json=body)
                if turn >= 0:
                    taken[name, who].append((time.perf_counter() - started) * 1000)
                answers[name].add((answer.status_code, answer.text))
            if time.monotonic() > ends:
                break
    return taken, answers


if __name__ == "__main__":
    main()
