"""What an API key costs: `python benchmarks/api_keys.py`.

limen's own work for one request, in this process, without a server, a route or a handler: `Authenticator.authenticate`
on the ASGI scope of a request as uvicorn makes it, with the headers that curl and browsers send. Warm is a key that was
seen before (no I/O); cold one that was not (one read of SQLite on disk); refused is a key whose checksum is wrong.
What is in memory is measured in this thread's CPU time, which a busy machine stretches least; reads in wall time.
"""

import asyncio
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request

from limen import Accounts, ApiKeys, Auth, AuthSettings, Passwords, Roles, Services, Sessions, Tokens
from limen.core.checked_token import CheckedToken
from limen.errors import AuthError
from limen.testing import PASSWORD, create_tables, fast_hasher

ROUNDS, LOOPS = 25, 2000
LIMIT_MICROSECONDS = 5.0
WARM = ("warm key, X-API-Key", "warm key, Bearer", "warm key with allowed networks", "warm key with a rate")
OTHERS = [
    (b"host", b"api.example.com"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, deflate, br"),
]
Case = Callable[[], Awaitable[object]]


def request(name: bytes, value: str) -> Request:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/items",
        "query_string": b"",
        "headers": [*OTHERS, (name, value.encode())],
        "client": ("203.0.113.7", 1234),
    }
    return Request(scope)


async def microseconds(
    case: Case, *, loops: int = LOOPS, clock: Callable[[], float] = time.thread_time
) -> tuple[float, float]:
    """Of one call: the median and the best round."""
    await case()
    rounds = []
    for _ in range(ROUNDS):
        await asyncio.sleep(0.01)  # the revocation log is followed meanwhile
        start = clock()
        for _ in range(loops):
            await case()
        rounds.append((clock() - start) / loops * 1e6)
    return statistics.median(rounds), min(rounds)


async def main() -> None:
    logging.getLogger("limen").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        settings = AuthSettings(
            _env_file=None,  # type: ignore[call-arg]  # pydantic-settings' own
            secret_key="a secret of more than thirty-two bytes, for benchmarks only",
            database_url=f"sqlite+aiosqlite:///{folder}/limen.db",
        )
        features = (Passwords(hasher=fast_hasher()), Tokens(), Sessions(), ApiKeys(), Services(), Accounts(), Roles())
        auth = Auth(settings=settings, features=features)
        auth.install(FastAPI())
        await create_tables(auth)
        async with auth:
            sys.exit(0 if await measure(auth) else 1)


async def measure(auth: Auth) -> bool:
    """Print the table; whether a warm key is within the limit in the best round."""
    account = await auth[Accounts].register(email="alice@example.com", password=PASSWORD)
    keys = auth[ApiKeys]
    plain = (await keys.create(account)).text
    near = (await keys.create(account, allowed_networks=["203.0.113.0/24"])).text
    paced = (await keys.create(account, rate_limit="999999/second")).text
    session = await auth[Passwords].login("alice@example.com", PASSWORD)
    jwt = str(getattr(session, "body", {})["access_token"])
    authenticate = auth.kernel.authenticator.authenticate
    token = CheckedToken.parse(plain, prefix="lmk_")
    assert token

    def case(name: bytes, value: str) -> Case:
        async def once() -> object:
            return await authenticate(request(name, value))

        return once

    def refused(value: str) -> Case:
        async def once() -> object:
            try:
                return await authenticate(request(b"x-api-key", value))
            except AuthError as error:
                return error

        return once

    async def nothing() -> object:
        return request(b"x-api-key", plain)

    async def cold() -> object:
        return await keys.verify(plain)

    _, base = await microseconds(nothing)
    within = True
    print(f"{base:8.2f} µs  the benchmark itself: a request object and an awaited call (taken off below)")
    for name, each in {
        "warm key, X-API-Key": case(b"x-api-key", plain),
        "warm key, Bearer": case(b"authorization", f"Bearer {plain}"),
        "warm JWT, for comparison": case(b"authorization", f"Bearer {jwt}"),
        "warm key with allowed networks": case(b"x-api-key", near),
        "warm key with a rate": case(b"x-api-key", paced),
        "refused: wrong checksum": refused(plain[:-1] + ("0" if plain[-1] != "0" else "1")),
    }.items():
        median, best = await microseconds(each)
        within = within and (name not in WARM or best - base < LIMIT_MICROSECONDS)
        print(f"{median - base:8.2f} µs  {name} (best round {best - base:.2f})")
    for name, each in {
        "cold key: one read of SQLite": cold,
        "refused: wrong secret, one read": refused(CheckedToken("lmk_", token.id, "0" * 32).text),
    }.items():
        median, best = await microseconds(each, loops=50, clock=time.perf_counter)
        print(f"{median - base:8.0f} µs  {name} (best round {best - base:.0f})")
    return within


if __name__ == "__main__":
    asyncio.run(main())
