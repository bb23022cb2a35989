"""The store of the tries is down: nobody's password is looked at, and whoever is signed in notices nothing."""

import asyncio

import pytest
from tests.features.answers import refused
from tests.features.api_keys.conftest import by_header
from tests.features.limits.conftest import WRONG, guesses
from tests.servers.process import MissingWheel
from tests.servers.valkey import ValkeyServer

from limen import ApiKeys
from limen.core.conditions import Rate
from limen.core.tries import Budget
from limen.core.turns import MAX_WAITING
from limen.errors import Unavailable
from limen.features import Limits

pytestmark = pytest.mark.anyio


@pytest.fixture
def place():
    return "valkey"


@pytest.fixture
def redis_url():
    """Of a Valkey that this test may stop."""
    try:
        server = ValkeyServer()
    except MissingWheel as missing:
        pytest.skip(str(missing))
    with server:
        self_made.append(server)
        yield server.url
        self_made.clear()


self_made: list[ValkeyServer] = []


async def test_sign_in_and_registration_wait_and_good_credentials_pass(mini):
    alice, visitor = await mini.signed_in(), mini.visitor()
    key = (await mini.auth[ApiKeys].create(alice.account)).text
    self_made[0].stop()
    for answer in (await visitor.login(), await visitor.login(password=WRONG), await visitor.register("b@example.com")):
        refused(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1
    assert (await alice.me()).status_code == 200
    assert (await alice.refresh()).status_code == 200
    assert (await visitor.get("/users/me", headers=by_header(key))).status_code == 200
    wrong = by_header(key[:-8] + "AAAAAAAA")
    refused(await visitor.get("/users/me", headers=wrong), 401, "invalid_token")
    self_made[0].start()
    assert (await visitor.login()).status_code == 200


async def test_an_outcome_that_cannot_be_written_stands(mini, caplog):
    await mini.account()
    limits = mini.auth[Limits]
    settle = limits.store.settle

    async def down(changes):
        self_made[0].stop()
        await settle(changes)

    limits.store.settle = down
    assert (await mini.visitor().login()).status_code == 200
    assert "was not written" in caplog.text


async def test_whoever_dies_with_a_try_under_way_has_used_it_up(mini):
    """Places that nobody gives back: the others wait for them a while, and then they count as failures."""
    await mini.account()
    limits = mini.auth[Limits]
    real = limits.store.settle

    async def lost(changes):
        return None

    limits.store.settle = lost
    assert (await guesses(mini.visitor(), 10)) == [401] * 10
    limits.store.settle = real
    mini.clock.advance(seconds=31)
    refused(await asyncio.wait_for(mini.visitor().login(), timeout=30), 429, "too_many_requests")


async def test_no_more_wait_than_memory_can_hold(mini):
    turns = mini.auth[Limits].turns
    turns._waiting = MAX_WAITING
    refused(await mini.visitor().login(), 503, "unavailable")
    turns._waiting = 0
    assert turns._lines == {}


async def test_each_verb_says_that_the_store_is_down(mini):
    store = mini.auth[Limits].store
    await store.purge()
    self_made[0].stop()
    for asked in (store.settle({"name": ("x", "")}), store.forget("name")):
        with pytest.raises(Unavailable):
            await asked
    with pytest.raises(Unavailable):
        await store.take("name", "x" * 26, Budget((Rate(1, 60),)), 0.0)
