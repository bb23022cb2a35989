"""A role that is taken at one worker is felt at another, whatever its holder shows (design §5, promise 5)."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from tests.faults.clients import PASSWORD, Tokens, browser, register, sign_in
from tests.features.mini_app import settings_of
from tests.servers.postgres import PostgresServer
from tests.servers.workers import SECRET_KEY, Workers
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from limen import Accounts, Auth, Role

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

PROMISE = 1.0
MACHINE = 0.5  # what a busy machine of two cores may add
PERIOD = 0.02


@pytest.fixture(scope="module")
def two_workers(postgres_server: PostgresServer) -> Iterator[Workers]:
    """Two workers on PostgreSQL with a WebSocket that stays open."""
    folder = Path(__file__).parent / "apps"
    database = postgres_server.create_database()
    with Workers(2, database_url=database, app="open_lines:app", app_folder=folder) as workers:
        yield workers


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with browser() as client:
        yield client


@pytest.fixture
async def admin(two_workers: Workers, http: httpx2.AsyncClient) -> Tokens:
    """Someone who may change roles."""
    email = await register(http, two_workers[0].url)
    roles = [Role("admin", ["*"])]
    async with Auth(settings=settings_of(two_workers.database_url, secret_key=SECRET_KEY), roles=roles) as auth:
        from limen import Roles

        account = await auth[Accounts].find(email)
        await auth[Roles].assign_as_operator(account.id, roles=["admin"])
    return await sign_in(http, two_workers[0].url, email)


async def take_roles(http: httpx2.AsyncClient, url: str, admin: Tokens, user_id: str) -> None:
    answer = await http.put(f"{url}/users/{user_id}/roles", json={"roles": []}, headers=admin.headers)
    assert answer.status_code == 200, answer.text


async def shown(http: httpx2.AsyncClient, url: str, email: str, carrier: str) -> dict[str, str]:
    """The header that this person's requests carry."""
    tokens = await sign_in(http, url, email)
    if carrier == "key":
        made = await http.post(f"{url}/auth/api-keys", json={"name": "ci"}, headers=tokens.headers)
        return {"X-API-Key": made.json()["key"]}
    if carrier == "cookie":
        answer = await http.post(f"{url}/auth/login?deliver=cookie", data={"username": email, "password": PASSWORD})
        http.cookies.clear()
        return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
    return tokens.headers


async def id_of(http: httpx2.AsyncClient, url: str, headers: dict[str, str]) -> str:
    return str((await http.get(f"{url}/users/me", headers=headers)).json()["id"])


@pytest.mark.parametrize(("carrier", "refusal"), [("token", 401), ("cookie", 403), ("key", 403)])
async def test_requests_feel_it(two_workers, http, admin, carrier, refusal) -> None:
    """A token says what it was made with, so it is refused; a cookie and a key live on with what is left."""
    here, there = two_workers.urls
    headers = await shown(http, here, await register(http, here), carrier)
    user_id = await id_of(http, there, headers)
    for _ in range(3):
        assert (await http.get(f"{there}/items", headers=headers)).status_code == 200
    await take_roles(http, here, admin, user_id)
    taken = time.monotonic()
    while (status := (await http.get(f"{there}/items", headers=headers)).status_code) == 200:
        assert time.monotonic() - taken < PROMISE + MACHINE
        await asyncio.sleep(PERIOD)
    assert status == refusal
    assert (await http.get(f"{there}/users/me", headers=headers)).status_code == (401 if refusal == 401 else 200)


@pytest.mark.parametrize("carrier", ["token", "cookie", "key"])
async def test_open_sockets_feel_it(two_workers, http, admin, carrier) -> None:
    here, there = two_workers.urls
    headers = await shown(http, here, await register(http, here), carrier)
    user_id = await id_of(http, there, headers)
    same_origin = {"Sec-Fetch-Site": "same-origin"} if carrier == "cookie" else {}
    url = f"{there.replace('http', 'ws', 1)}/open"
    async with connect(url, additional_headers={**headers, **same_origin}, proxy=None) as socket:
        await socket.send("are you there")
        assert await socket.recv() == "are you there"
        await take_roles(http, here, admin, user_id)
        with pytest.raises(ConnectionClosed) as closed:
            async with asyncio.timeout(PROMISE + MACHINE):
                await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
