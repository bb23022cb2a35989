"""One worker process that guesses one account's password, for `test_four_processes`.

It reads lines of JSON, `{"database_url", "redis_url", "tries"}`; says "ready" when its app for one stands, waits for a
line to begin, and answers with how many tries ended in which status and how many passwords were looked at.
"""

import asyncio
import itertools
import json
import sys
from collections import Counter
from typing import Any

import httpx2
from fastapi import FastAPI
from tests.features.mini_app import BASE_URL, features_of, settings_of

from limen import Auth, Passwords
from limen.features.limits import Limits, LimitSettings

FORM = {"username": "alice@example.com", "password": "wrong horse battery staple"}


def say(what: object) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


async def hear() -> Any:
    return json.loads(await asyncio.to_thread(sys.stdin.readline) or "null")


async def guess(number: int, job: dict[str, Any]) -> dict[str, object]:
    settings = settings_of(job["database_url"], redis_url=job["redis_url"])
    auth: Auth[Any] = Auth(
        settings=settings, features=features_of(Limits(settings=LimitSettings(_env_file=None))), clock=None
    )
    app, looked_at = FastAPI(), []
    auth.install(app)
    verify = auth[Passwords].hasher.verify

    async def seen_verify(password: str, digest: str | None) -> Any:
        looked_at.append(password)
        return await verify(password, digest)

    auth[Passwords].hasher.verify = seen_verify  # type: ignore[method-assign]
    async with auth:
        transport = httpx2.ASGITransport(from_everywhere(app, network=f"198.51.{number}"))
        async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL) as client:
            say("ready")
            await hear()
            answers = await asyncio.gather(*(client.post("/auth/login", data=FORM) for _ in range(job["tries"])))
    return {"statuses": Counter(answer.status_code for answer in answers), "looked_at": len(looked_at)}


def from_everywhere(app: FastAPI, *, network: str) -> Any:
    """The app, to which every request comes from another address."""
    hosts = itertools.count(1)

    async def from_another(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "client": (f"{network}.{next(hosts)}", 1)}, receive, send)

    return from_another


async def main(number: int) -> None:
    while (job := await hear()) is not None:
        say(await guess(number, job))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
