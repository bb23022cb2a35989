"""Hot statements run on a few connections that are held: what goes wrong on one is told apart, and none is lost."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, bindparam, func, insert, select, text
from tests.servers.postgres import PostgresServer

from limen.db.database import Database
from limen.db.hot import HotStatement
from limen.db.server_lane import MOST_HELD
from limen.errors import Unavailable, Unprocessable

pytestmark = pytest.mark.anyio

NOTES = Table(
    "notes",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String(20), unique=True),
    Column("size", BigInteger),
)
SLEEPS = select(func.pg_sleep(bindparam("seconds")), func.pg_backend_pid())


@pytest.fixture(params=["psycopg", "asyncpg"])
async def database(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> AsyncIterator[Database]:
    """A database with one note, over each driver."""
    url = postgres_server.create_database()
    database = Database.of_url(url.replace("+psycopg", f"+{request.param}"))
    async with database.engine.begin() as connection:
        await connection.run_sync(NOTES.metadata.create_all)
        await connection.execute(insert(NOTES).values(id=1, name="first", size=7))
    yield database
    await database.dispose()
    postgres_server.drop_database(url)


@pytest.fixture
def by_name(database: Database) -> HotStatement:
    return database.hot(select(NOTES.c.id, NOTES.c.size).where(NOTES.c.name == bindparam("name")))


async def first(database: Database, by_name: HotStatement) -> list[object]:
    return [list(row) for row in await database.run_hot(by_name, {"name": "first"})]


def held(database: Database) -> int:
    """Connections that are not in the pool."""
    return int(database.engine.pool.checkedout())


async def run(database: Database, statement: str) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text(statement))


async def test_a_connection_that_broke_while_idle_is_replaced(database, by_name):
    assert await first(database, by_name) == [[1, 7]]
    ends = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle'"
    )
    await run(database, ends)
    assert await first(database, by_name) == [[1, 7]]
    assert held(database) == 1


async def test_a_table_that_was_migrated_meanwhile_is_read_as_it_is_now(database, by_name):
    assert await first(database, by_name) == [[1, 7]]
    await run(database, "ALTER TABLE notes ALTER COLUMN size TYPE integer")
    assert await first(database, by_name) == [[1, 7]]
    assert held(database) == 1


async def test_a_value_that_cannot_be_held_is_no_outage(database, by_name):
    with pytest.raises(Unprocessable):
        await database.run_hot(by_name, {"name": "a\0b"})
    with pytest.raises(Unprocessable):
        await database.run_hot(
            database.hot(select(NOTES.c.id).where(NOTES.c.size == 1 / bindparam("size", type_=Integer))), {"size": 0}
        )
    assert await first(database, by_name) == [[1, 7]]


async def test_a_mistake_in_a_statement_is_no_outage(database, by_name):
    missing = Table("missing", MetaData(), Column("id", Integer))
    with pytest.raises(Exception, match="missing") as caught:
        await database.run_hot(database.hot(select(missing.c.id)), {})
    assert not isinstance(caught.value, Unavailable)
    assert await first(database, by_name) == [[1, 7]]


async def test_many_at_once_share_a_few_connections_which_all_come_back(database):
    sleeps = database.hot(SLEEPS)
    rows = await asyncio.gather(*(database.run_hot(sleeps, {"seconds": 0.02}) for _ in range(5 * MOST_HELD)))
    assert len({pid for [(_, pid)] in rows}) == held(database) == MOST_HELD
    await database.leave()
    assert held(database) == 0


async def test_one_in_use_when_they_are_given_back_follows_after_its_statement(database):
    asleep = asyncio.create_task(database.run_hot(database.hot(SLEEPS), {"seconds": 0.2}))
    await asyncio.sleep(0.1)
    await database.leave()
    assert held(database) == 1
    await asleep
    assert held(database) == 0


async def test_one_that_was_cancelled_is_not_used_again(database, by_name):
    asleep = asyncio.create_task(database.run_hot(database.hot(SLEEPS), {"seconds": 5}))
    await asyncio.sleep(0.1)
    asleep.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asleep
    assert held(database) == 0
    assert await first(database, by_name) == [[1, 7]]
