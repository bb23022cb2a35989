"""Rotation: a successor with the same terms, and an overlap that holds on every worker."""

import asyncio
from datetime import datetime, timedelta

import pytest
from fastapi import FastAPI
from tests.features.answers import named_fields, refused
from tests.features.api_keys.conftest import by_header, make_key, routes
from tests.features.mini_app import SECRET, features_of, settings_of

from limen import ApiKeys, Auth, Services
from limen.errors import Conflict
from limen.events import ApiKeyRotated

pytestmark = pytest.mark.anyio


async def status(mini, key):
    return (await mini.visitor().get("/who", headers=by_header(key["key"]))).status_code


async def rotate(browser, key, **body):
    return await browser.post(f"/auth/api-keys/{key['id']}/rotate", json=body)


async def test_the_successor_has_the_same_terms(mini):
    alice = await mini.signed_in()
    old = await make_key(
        alice,
        name="ci",
        scopes=["items:read"],
        expires_in_days=10,
        allowed_networks=["203.0.113.0/24"],
        rate_limit="50/minute",
    )
    mini.clock.advance(days=4)
    await alice.login()
    answer = await rotate(alice, old)
    assert answer.status_code == 201
    new = answer.json()
    same = ("name", "scopes", "allowed_networks", "rate_limit")
    assert [new[name] for name in same] == [old[name] for name in same]
    assert new["id"] != old["id"]
    lifetime = datetime.fromisoformat(new["expires_at"]) - datetime.fromisoformat(new["created_at"])
    assert lifetime == timedelta(days=10)
    (event,) = mini.heard(ApiKeyRotated)
    assert (event.key_id, event.successor_id) == (old["id"], new["id"])


async def test_both_keys_work_during_the_overlap_and_then_the_new_one_only(mini):
    alice = await mini.signed_in()
    old = await make_key(alice)
    assert await status(mini, old) == 200
    new = (await rotate(alice, old, overlap_seconds=60)).json()
    assert [await status(mini, old), await status(mini, new)] == [200, 200]
    mini.clock.advance(seconds=59)
    assert [await status(mini, old), await status(mini, new)] == [200, 200]
    mini.clock.advance(seconds=2)
    assert [await status(mini, old), await status(mini, new)] == [401, 200]


async def test_without_overlap_the_old_key_ends_at_once(mini):
    alice = await mini.signed_in()
    old = await make_key(alice)
    assert await status(mini, old) == 200
    new = (await rotate(alice, old, overlap_seconds=0)).json()
    assert [await status(mini, old), await status(mini, new)] == [401, 200]


async def test_the_overlap_is_a_day_by_default_and_never_longer_than_the_key(mini):
    alice = await mini.signed_in()
    old, brief = await make_key(alice), await make_key(alice, expires_in_days=1)
    await alice.post(f"/auth/api-keys/{old['id']}/rotate")
    await rotate(alice, brief, overlap_seconds=5 * 86_400)
    mini.clock.advance(hours=23)
    assert [await status(mini, old), await status(mini, brief)] == [200, 200]
    mini.clock.advance(hours=2)
    assert [await status(mini, old), await status(mini, brief)] == [401, 401]


async def test_a_key_is_rotated_once(mini):
    alice = await mini.signed_in()
    old = await make_key(alice)
    assert (await rotate(alice, old)).status_code == 201
    refused(await rotate(alice, old), 409, "conflict")
    revoked = await make_key(alice)
    await alice.delete(f"/auth/api-keys/{revoked['id']}")
    refused(await rotate(alice, revoked), 404, "not_found")


async def test_of_many_rotations_at_once_one_succeeds(mini):
    account = await mini.account()
    keys = mini.auth[ApiKeys]
    old = await keys.create(account)
    tries = await asyncio.gather(*(keys.rotate(old.key.id) for _ in range(20)), return_exceptions=True)
    made = [each for each in tries if not isinstance(each, BaseException)]
    assert len(made) == 1
    assert all(isinstance(each, Conflict) for each in tries if isinstance(each, BaseException))
    assert {key.id for key in await keys.list(account)} == {old.key.id, made[0].key.id}


async def test_an_overlap_out_of_bounds_is_refused(mini):
    alice = await mini.signed_in()
    old = await make_key(alice)
    for seconds in (-1, 91 * 86_400, "soon", 1.5):
        body = refused(await rotate(alice, old, overlap_seconds=seconds), 422, "validation_error")
        assert named_fields(body) == {"overlap_seconds"}


async def test_a_worker_that_remembers_the_old_key_learns_when_it_ends(mini, database_url):
    """Another process on the same database: here another `Auth`, which hears of it by the log only."""
    alice = await mini.signed_in()
    old = await make_key(alice)
    other = Auth(
        settings=settings_of(database_url, secret_key=SECRET, revocation_poll_seconds=0.05),
        features=features_of(ApiKeys(), Services()),
        clock=mini.clock,
    )
    app = FastAPI()
    routes(app, other)
    other.install(app)
    import httpx2

    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost:8000") as client,
    ):
        assert (await client.get("/who", headers=by_header(old["key"]))).status_code == 200
        await rotate(alice, old, overlap_seconds=60)
        await asyncio.sleep(0.3)
        assert (await client.get("/who", headers=by_header(old["key"]))).status_code == 200
        mini.clock.advance(seconds=61)
        assert (await client.get("/who", headers=by_header(old["key"]))).status_code == 401
        second = await make_key(alice)
        assert (await client.get("/who", headers=by_header(second["key"]))).status_code == 200
        await alice.delete(f"/auth/api-keys/{second['id']}")
        await asyncio.sleep(0.3)
        assert (await client.get("/who", headers=by_header(second["key"]))).status_code == 401
