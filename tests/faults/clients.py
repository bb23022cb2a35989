"""Who signs in and refreshes in the tests of this folder, over HTTP, and what the database says of it afterwards."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
from sqlalchemy import create_engine, text
from tests.servers.workers import Workers

PASSWORD = "correct horse battery staple"

_names = count(1)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a sign-in handed out."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)

    @property
    def session_id(self) -> str:
        return self.refresh.removeprefix("lmr_").partition(".")[0]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access}"}


@dataclass(frozen=True, slots=True)
class Row:
    """A session as the database has it."""

    generation: int
    is_live: bool
    end_reason: str | None


@asynccontextmanager
async def browser() -> AsyncIterator[httpx2.AsyncClient]:
    """A client without limits of its own that would hide those of the server."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx2.AsyncClient(limits=limits, timeout=30, trust_env=False) as http:
        yield http


async def register(http: httpx2.AsyncClient, url: str) -> str:
    """A new account; its address."""
    email = f"someone-{next(_names)}-{uuid4().hex[:8]}@example.com"
    answer = await http.post(f"{url}/auth/register", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return email


async def sign_in(http: httpx2.AsyncClient, url: str, email: str) -> Tokens:
    answer = await http.post(f"{url}/auth/login", data={"username": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return tokens_of(answer)


async def sign_in_often(http: httpx2.AsyncClient, workers: Workers, *, times: int) -> list[Tokens]:
    """That many sessions of one new account, opened at all workers."""
    email = await register(http, workers.next_url())
    signed_in: list[Tokens] = []
    for start in range(0, times, 50):
        urls = [workers.next_url() for _ in range(min(50, times - start))]
        signed_in += await asyncio.gather(*(sign_in(http, url, email) for url in urls))
    return signed_in


async def refresh(http: httpx2.AsyncClient, url: str, token: str) -> httpx2.Response:
    return await http.post(f"{url}/auth/refresh", json={"refresh_token": token})


async def hang_up_on_refresh(url: str, token: str) -> None:
    """Ask for a refresh and cut the line before the answer."""
    body = f'{{"refresh_token": "{token}"}}'
    parts = urlsplit(url)
    _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"POST /auth/refresh HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    await writer.drain()
    writer.transport.abort()


async def status_at(http: httpx2.AsyncClient, url: str, tokens: Tokens) -> int:
    """The answer of a guarded route that needs no database."""
    return (await http.get(f"{url}/items", headers=tokens.headers)).status_code


async def seconds_until(
    http: httpx2.AsyncClient, url: str, tokens: Tokens, *, status: int, limit: float, before: int = 200
) -> float:
    """How long the guarded route goes on to answer `before` until it answers `status`; it answers nothing else."""
    started = time.monotonic()
    while (seen := await status_at(http, url, tokens)) != status:
        assert seen == before
        assert time.monotonic() - started < limit, f"still {seen} after {limit} s"
        await asyncio.sleep(0.02)
    return time.monotonic() - started


async def log_out(http: httpx2.AsyncClient, url: str, tokens: Tokens) -> None:
    answer = await http.post(f"{url}/auth/logout", headers=tokens.headers)
    assert answer.status_code == 204, answer.text


def tokens_of(answer: httpx2.Response) -> Tokens:
    body: dict[str, Any] = answer.json()
    return Tokens(body["access_token"], body["refresh_token"])


def rows_of(workers: Workers, sessions: Sequence[str]) -> list[Row]:
    """The sessions as the database has them, in this order; a missing one is an error."""
    url = workers.database_url.replace("+aiosqlite", "")
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            found = connection.execute(text("SELECT id, generation, ended_at, end_reason FROM limen_sessions")).all()
    finally:
        engine.dispose()
    rows = {str(row.id).replace("-", ""): Row(row.generation, row.ended_at is None, row.end_reason) for row in found}
    return [rows[session.replace("-", "")] for session in sessions]
