import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from tests.servers import postgres
from tests.servers.postgres import PostgresServer
from tests.servers.valkey import ValkeyServer


def dsn(url: str) -> str:
    return url.replace("+psycopg", "")


def processes_of(pid: int) -> set[int]:
    """The server and its children, read from where Linux lists them."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return {pid, *map(int, children.read_text().split())} if children.exists() else {pid}


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def comes_true(condition: Callable[[], bool], *, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_postgres_answers_then_stops_and_leaves_nothing_behind() -> None:
    with PostgresServer() as server:
        with psycopg.connect(dsn(server.create_database())) as connection:
            assert connection.execute("SELECT 6 * 7").fetchone() == (42,)
        processes = processes_of(server.pid)
    assert not [pid for pid in processes if exists(pid)]
    assert not server.folder.exists()


def test_postgres_copies_a_template_database(postgres_server: PostgresServer) -> None:
    template = postgres_server.create_database()
    with psycopg.connect(dsn(template)) as connection:
        connection.execute("CREATE TABLE doors AS SELECT 3 AS number")
    copy = postgres_server.create_database(template)
    with psycopg.connect(dsn(copy)) as connection:
        assert connection.execute("SELECT number FROM doors").fetchone() == (3,)
    for url in (copy, template):
        postgres_server.drop_database(url)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(dsn(copy))


def test_postgres_keeps_its_data_over_a_restart() -> None:
    with PostgresServer() as server:
        url = server.create_database()
        with psycopg.connect(dsn(url)) as connection:
            connection.execute("CREATE TABLE doors AS SELECT 3 AS number")
        server.stop()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(dsn(url))
        server.start()
        with psycopg.connect(dsn(url)) as connection:
            assert connection.execute("SELECT number FROM doors").fetchone() == (3,)


def test_postgres_runs_from_a_copy_where_its_account_cannot_read_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "can_run", lambda *_: False)
    with PostgresServer() as server:
        assert server.programs != postgres.installed_programs()
        server.drop_database(server.create_database())
    assert not server.programs.exists()


def test_valkey_answers_then_stops_and_leaves_nothing_behind() -> None:
    with ValkeyServer() as server:
        with redis.Redis.from_url(server.url) as client:
            assert client.set("door", "open")
            assert client.get("door") == b"open"
        pid = server.pid
    assert not exists(pid)
    assert not server.folder.exists()


def test_valkey_can_be_paused_and_restarted() -> None:
    with ValkeyServer() as server, redis.Redis.from_url(server.url, socket_timeout=0.2, retry=None) as client:
        server.pause()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.resume()
        assert comes_true(client.ping)
        server.stop()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        assert client.ping()


@pytest.mark.parametrize("server", ["postgres.PostgresServer", "valkey.ValkeyServer"])
def test_a_server_ends_when_the_tests_are_killed(server: str) -> None:
    module, name = server.split(".")
    script = f"""
import time
from tests.servers.{module} import {name}
with {name}() as server:
    print(server.pid, server.folder, flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout
        pid, folder = tests.stdout.readline().split()
        tests.send_signal(signal.SIGKILL)
    assert comes_true(lambda: not exists(int(pid)) and not Path(folder).exists())


@pytest.mark.anyio
async def test_database_url_is_a_fresh_database(database_url: str) -> None:
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE doors (number INTEGER)"))
        assert (await connection.execute(text("SELECT count(*) FROM doors"))).scalar_one() == 0
    await engine.dispose()
