"""How many refreshes a second: limen's whole refresh beside one raw `UPDATE … RETURNING` by the async driver.

    python3 dev.py bench refresh [--json] [--seconds 2]

In one process, 16 at once, each on a session of its own, by turns: limen verifies the token, rotates the session, reads
the rights and signs a new pair; the raw driver (aiosqlite, psycopg) only rotates the row. On a SQLite file with
`synchronous=FULL` and on PostgreSQL with its defaults.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from uuid import UUID

import aiosqlite
import psycopg
from _cluster import PASSWORD, PostgresServer, machine
from sqlalchemy import make_url

from limen import Accounts, Auth, AuthSettings, Passwords, Role, Roles, Sessions, Tokens
from limen.core.login import Completed
from limen.testing import create_tables, fast_hasher

AT_ONCE, ROUNDS = 16, 5
TARGETS = {"postgresql": 0.6, "sqlite": 0.4}
ROTATE = (
    "UPDATE limen_sessions SET generation = generation + 1, last_seen_at = {now} WHERE id = {id} RETURNING generation"
)

Job = Callable[[], Awaitable[None]]


async def measure(url: str, *, seconds: float) -> dict[str, float]:
    """Refreshes a second of limen, rotations a second of the raw driver, and the median ratio of a round."""
    settings = AuthSettings(_env_file=None, secret_key="s" * 40, database_url=url)  # type: ignore[call-arg]
    features = [Passwords(hasher=fast_hasher()), Tokens(), Sessions(), Accounts(), Roles()]
    auth = Auth(settings=settings, features=features, roles=[Role("member", ["items:read"], default=True)])
    await create_tables(auth)
    async with auth, AsyncExitStack() as stack:
        jobs = [await one_person(auth, number) for number in range(AT_ONCE)]
        raw = await stack.enter_async_context(raw_rotations(url, [session for session, _ in jobs]))
        own, bare = [], []
        for turn in range(ROUNDS + 1):
            rates = await rate([job for _, job in jobs], seconds), await rate(raw, seconds)
            if turn:  # warm by then
                own.append(rates[0])
                bare.append(rates[1])
    ratio = statistics.median(a / b for a, b in zip(own, bare, strict=True))
    return {"limen": statistics.median(own), "raw": statistics.median(bare), "ratio": ratio}


async def one_person(auth: Auth, number: int) -> tuple[UUID, Job]:
    """Somebody who is signed in twice: a session for the raw driver, and the next refresh of the other one."""
    email = f"user{number}@example.com"
    await auth[Accounts].register(email=email, password=PASSWORD)
    spare, used = [await token_of(auth, email) for _ in range(2)]
    token = used

    async def refresh() -> None:
        nonlocal token
        token = str((await auth[Tokens].refresh(token)).body["refresh_token"])

    return auth[Tokens].refresh_tokens.read(spare).session_id, refresh


async def token_of(auth: Auth, email: str) -> str:
    completed = await auth[Passwords].login(email, PASSWORD)
    assert isinstance(completed, Completed)
    return str(completed.body["refresh_token"])


@asynccontextmanager
async def raw_rotations(url: str, sessions: Sequence[UUID]) -> AsyncIterator[list[Job]]:
    """Rotations by the driver alone: SQLite has one writer, so one connection; PostgreSQL one for each that is held."""
    parsed = make_url(url)
    async with AsyncExitStack() as stack:
        if parsed.get_backend_name() == "sqlite":
            file = await stack.enter_async_context(aiosqlite.connect(str(parsed.database), isolation_level=None))
            for pragma in ("busy_timeout=15000", "journal_mode=WAL", "synchronous=FULL"):
                await file.execute(f"PRAGMA {pragma}")
            yield [partial(_rotate_in_file, file, session) for session in sessions]
            return
        plain = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
        connect = psycopg.AsyncConnection.connect
        servers = [
            await stack.enter_async_context(await connect(plain, autocommit=True, prepare_threshold=1))
            for _ in sessions
        ]
        yield [partial(_rotate_on_server, *pair) for pair in zip(servers, sessions, strict=True)]


async def _rotate_in_file(file: aiosqlite.Connection, session: UUID) -> None:
    async with file.execute(ROTATE.format(now="datetime('now')", id="?"), (session.hex,)) as cursor:
        assert await cursor.fetchall()


async def _rotate_on_server(server: "psycopg.AsyncConnection[object]", session: UUID) -> None:
    assert await (await server.execute(ROTATE.format(now="now()", id="%s"), (session,))).fetchall()


async def rate(jobs: Sequence[Job], seconds: float) -> float:
    """How often a second all of these are done, each again and again."""
    end, done = time.perf_counter() + seconds, 0

    async def repeat(job: Job) -> None:
        nonlocal done
        while time.perf_counter() < end:
            await job()
            done += 1

    begun = time.perf_counter()
    await asyncio.gather(*map(repeat, jobs))
    return done / (time.perf_counter() - begun)


async def main() -> int:
    parser = argparse.ArgumentParser(description="Measure refreshes beside the raw driver.")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each in each round")
    arguments = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder, PostgresServer() as server:
        figures["sqlite"] = await measure(f"sqlite+aiosqlite:///{folder}/limen.db", seconds=arguments.seconds)
        figures["postgresql"] = await measure(server.create_database(), seconds=arguments.seconds)
    for name, each in figures.items():
        met = "met   " if each["ratio"] >= TARGETS[name] * 0.97 else "MISSED"
        print(f"{met}  {name:12} limen {each['limen']:7.0f}/s  raw {each['raw']:7.0f}/s  ratio {each['ratio']:.2f}")
    if arguments.json:
        print(json.dumps({"refresh": figures, "targets": TARGETS, "machine": machine()}))
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
