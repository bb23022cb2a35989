"""The signing key is replaced five times while two worker processes serve: nobody notices."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import httpx2
import jwt as pyjwt
import pytest
from tests.faults.clients import browser, refresh, register, sign_in, tokens_of
from tests.features.mini_app import settings_of
from tests.servers.postgres import PostgresServer
from tests.servers.workers import SECRET_KEY, Workers

from limen import Auth
from limen.db.signing_keys import SigningKeys

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

ROTATIONS = 5
PEOPLE = 4


@pytest.fixture
def two_workers(postgres_server: PostgresServer) -> Iterator[Workers]:
    """Two workers whose signing keys are in PostgreSQL."""
    settings = {"LIMEN_ALGORITHM": "ES256"}
    with Workers(2, database_url=postgres_server.create_database(), settings=settings) as workers:
        yield workers


async def test_five_rotations_at_once_fail_no_request(two_workers: Workers) -> None:
    """`limen keys rotate --now`, the hardest way: the new key signs before anybody else heard of it."""
    statuses, kids, is_over = Counter[int](), set[str](), asyncio.Event()

    async def live(http: httpx2.AsyncClient, email: str) -> None:
        """Sign in at one, show every token at both, refresh at the other, and again."""
        while not is_over.is_set():
            tokens = await sign_in(http, two_workers.next_url(), email)
            for _ in range(3):
                kids.add(pyjwt.get_unverified_header(tokens.access)["kid"])
                for url in two_workers.urls:
                    statuses[(await http.get(f"{url}/items", headers=tokens.headers)).status_code] += 1
                answer = await refresh(http, two_workers.next_url(), tokens.refresh)
                statuses[answer.status_code] += 1
                tokens = tokens_of(answer)

    settings = settings_of(two_workers.database_url, secret_key=SECRET_KEY, algorithm="ES256")
    async with browser() as http, Auth(settings=settings) as operator, asyncio.TaskGroup() as group:
        keys = operator.kernel.keys
        assert isinstance(keys, SigningKeys)
        for _ in range(PEOPLE):
            email = await register(http, two_workers.next_url())
            group.create_task(live(http, email))
        for rotation in range(ROTATIONS):
            while len(kids) <= rotation:  # noqa: ASYNC110 - the crowd does not know who waits
                await asyncio.sleep(0.02)
            await keys.rotate_now()
        while len(kids) <= ROTATIONS:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        is_over.set()
    assert set(statuses) == {200}, statuses
    assert len(kids) == ROTATIONS + 1
