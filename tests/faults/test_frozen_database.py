"""A server that neither answers nor hangs up: requests end in 503, not in silence."""

import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest
from tests.features.answers import refused
from tests.features.mini_app import open_app
from tests.servers.postgres import PostgresServer

from limen.db import database

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

DEADLINE = 1.0
PSYCOPG_ASKS_THE_SERVER_TO_STOP = 10.0


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as own:
        yield own


def signal_all(server: PostgresServer, number: int) -> None:
    postmaster = psutil.Process(server.pid)
    for process in (postmaster, *postmaster.children(recursive=True)):
        os.kill(process.pid, number)


async def test_a_frozen_database_is_a_503_within_the_deadline(server, monkeypatch):
    monkeypatch.setattr(database, "DEADLINE_SECONDS", DEADLINE)
    async with open_app(server.create_database()) as mini:
        alice = await mini.signed_in()
        signal_all(server, signal.SIGSTOP)
        try:
            for ask in (alice.me, alice.login):
                begun = time.monotonic()
                assert refused(await ask(), 503, "unavailable")["retry_after"] >= 1
                assert time.monotonic() - begun < DEADLINE + PSYCOPG_ASKS_THE_SERVER_TO_STOP + 5
        finally:
            signal_all(server, signal.SIGCONT)
        assert (await alice.me()).status_code == 200
