"""Writes that wait for SQLite at the same time are committed together, and none answers for another."""

import asyncio

import pytest
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, insert, select

from limen.db.database import Database
from limen.errors import Unprocessable

pytestmark = pytest.mark.anyio

NUMBERS = Table(
    "numbers", MetaData(), Column("id", Integer, primary_key=True), Column("value", BigInteger, unique=True)
)


async def test_a_value_that_is_refused_costs_nobody_else_their_write(tmp_path):
    database = Database.of_url(f"sqlite+aiosqlite:///{tmp_path}/limen.db")
    async with database.engine.begin() as connection:
        await connection.run_sync(NUMBERS.metadata.create_all)
    values = [1, 2, 2**70, 1, 3]
    writes = (database.write(insert(NUMBERS).values(value=value)) for value in values)
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    rows = await database.read(select(NUMBERS.c.value).order_by(NUMBERS.c.value))
    await database.dispose()
    assert [row.value for row in rows] == [1, 2, 3]
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, False, True, True, False]
    assert isinstance(outcomes[2], Unprocessable)
