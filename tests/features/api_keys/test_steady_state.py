"""In steady state a key costs no I/O; a cold one costs one indexed read, however many keys there are."""

import secrets
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, text
from tests.features.api_keys.conftest import by_header, counted, make_key

from limen import ApiKeys
from limen.core.checked_token import CheckedToken
from limen.features.api_keys.tables import api_key_table

pytestmark = pytest.mark.anyio


async def test_a_thousand_requests_ask_the_database_once(mini):
    alice, visitor = await mini.signed_in(), mini.visitor()
    made = await make_key(alice)
    with counted(mini) as statements:
        for _ in range(1000):
            assert (await visitor.client.get("/who", headers=by_header(made["key"]))).status_code == 200
    assert len(statements) == 1, "the first sight"
    assert "limen_api_keys" in statements[0]


async def test_each_worker_reads_a_key_again_after_as_long_as_revocations_are_kept(mini):
    alice, visitor = await mini.signed_in(), mini.visitor()
    made = await make_key(alice)
    await visitor.get("/who", headers=by_header(made["key"]))
    mini.clock.advance(minutes=14)
    with counted(mini) as statements:
        await visitor.get("/who", headers=by_header(made["key"]))
    assert statements == []
    mini.clock.advance(minutes=2)
    with counted(mini) as statements:
        await visitor.get("/who", headers=by_header(made["key"]))
    assert len(statements) == 1


async def test_ten_thousand_keys_do_not_change_the_cold_read(mini):
    alice, visitor = await mini.signed_in(), mini.visitor()
    made = await make_key(alice)
    keys, kernel = mini.auth[ApiKeys], mini.auth.kernel
    with counted(mini) as before:
        await visitor.get("/who", headers=by_header(made["key"]))
    table = api_key_table(kernel.tables)
    rows = [
        {
            "id": CheckedToken.mint("lmk_").id,
            "user_id": alice.account.id,
            "name": "one of many",
            "secret_digest": secrets.token_bytes(32),
            "version": 0,
            "created_at": datetime.now(UTC),
        }
        for _ in range(10_000)
    ]
    async with kernel.database.transaction() as connection:
        for start in range(0, len(rows), 1000):
            await connection.execute(insert(table), rows[start : start + 1000])
    if not kernel.database.is_sqlite:
        async with kernel.database.engine.begin() as connection:
            await connection.execute(text("ANALYZE limen_api_keys"))
    fresh = await make_key_beside(keys, alice)
    with counted(mini) as after:
        assert (await visitor.get("/who", headers=by_header(fresh.text))).status_code == 200
    assert after == before, "one statement, the same"
    plan = await explained(kernel, after[0], fresh.key.id)
    assert "SCAN limen_api_keys" not in plan
    assert "Seq Scan on limen_api_keys" not in plan
    assert "USING INDEX sqlite_autoindex_limen_api_keys_1" in plan or "limen_api_keys_pkey" in plan, plan


async def make_key_beside(keys, browser):
    keys.per_user = 20_000
    return await keys.create(browser.account)


async def explained(kernel, statement, key_id):
    """What the database says that it does."""
    from sqlalchemy import select

    keys = kernel.service(ApiKeys).store
    query = select(*keys._columns).where(keys._table.c.id == key_id)
    compiled = str(query.compile(kernel.database.engine.sync_engine, compile_kwargs={"literal_binds": True}))
    explain = "EXPLAIN QUERY PLAN " if kernel.database.is_sqlite else "EXPLAIN "
    async with kernel.database.engine.connect() as connection:
        rows = (await connection.execute(text(explain + compiled))).all()
    return "\n".join(str(value) for row in rows for value in row)
