"""Where a key may come from and how often: asked on every request, not only at first sight."""

import httpx2
import pytest
from tests.features.answers import refused
from tests.features.api_keys.conftest import by_header, counted, make_key
from tests.features.mini_app import BASE_URL

pytestmark = pytest.mark.anyio


async def get_from(mini, address, key, **headers):
    transport = httpx2.ASGITransport(mini.app, client=(address, 1234))
    async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL) as client:
        return await client.get("/who", headers={**by_header(key["key"]), **headers})


async def test_the_network_is_asked_on_every_request(mini):
    alice = await mini.signed_in()
    made = await make_key(alice, allowed_networks=["203.0.113.0/24", "2001:db8::/32"])
    assert made["allowed_networks"] == ["203.0.113.0/24", "2001:db8::/32"]
    for _ in range(2):
        assert (await get_from(mini, "203.0.113.9", made)).status_code == 200
        assert (await get_from(mini, "2001:db8::9", made)).status_code == 200
        assert (await get_from(mini, "::ffff:203.0.113.9", made)).status_code == 200
        for elsewhere in ("198.51.100.1", "2001:db9::1", "::1", "testclient", ""):
            refused(await get_from(mini, elsewhere, made), 401, "invalid_token")


async def test_a_stolen_key_is_refused_elsewhere_at_first_sight_as_any_wrong_key(mini):
    alice = await mini.signed_in()
    made = await make_key(alice, allowed_networks=["203.0.113.0/24"])
    elsewhere = await get_from(mini, "198.51.100.1", made)
    wrong = await get_from(mini, "198.51.100.1", {"key": made["key"][:-1]})
    assert (elsewhere.status_code, elsewhere.content) == (401, wrong.content)


async def test_a_forwarded_address_counts_only_from_a_trusted_proxy(open_keys):
    mini = await open_keys(settings={"trusted_proxies": "10.0.0.0/8"})
    alice = await mini.signed_in()
    made = await make_key(alice, allowed_networks=["203.0.113.0/24"])
    forwarded = {"X-Forwarded-For": "203.0.113.9"}
    assert (await get_from(mini, "10.1.1.1", made, **forwarded)).status_code == 200
    refused(await get_from(mini, "198.51.100.1", made, **forwarded), 401, "invalid_token")
    refused(await get_from(mini, "10.1.1.1", made, **{"X-Forwarded-For": "198.51.100.1"}), 401, "invalid_token")


async def test_a_key_s_rate_is_its_own(mini):
    alice = await mini.signed_in()
    limited, other = await make_key(alice, rate_limit="3/minute"), await make_key(alice, rate_limit="3/minute")
    free = await make_key(alice)
    assert limited["rate_limit"] == "3/minute"
    visitor = mini.visitor()
    answers = [await visitor.get("/who", headers=by_header(limited["key"])) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert refused(answers[3], 429, "too_many_requests")["retry_after"] == 20
    assert answers[3].headers["retry-after"] == "20"
    assert (await visitor.get("/who", headers=by_header(other["key"]))).status_code == 200
    assert all([(await visitor.get("/who", headers=by_header(free["key"]))).status_code == 200 for _ in range(20)])
    mini.clock.advance(seconds=20)
    answers = [await visitor.get("/who", headers=by_header(limited["key"])) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]


async def test_a_rate_is_not_used_up_from_outside_the_networks(mini):
    alice = await mini.signed_in()
    made = await make_key(alice, rate_limit="2/minute", allowed_networks=["203.0.113.0/24"])
    for _ in range(10):
        refused(await get_from(mini, "198.51.100.1", made), 401, "invalid_token")
    assert [(await get_from(mini, "203.0.113.1", made)).status_code for _ in range(3)] == [200, 200, 429]


async def test_one_request_counts_once_however_many_guards_ask(mini):
    alice = await mini.signed_in()
    made = await make_key(alice, rate_limit="2/minute")
    visitor = mini.visitor()  # /users/me loads the user, behind another guard
    answers = [await visitor.get("/users/me", headers=by_header(made["key"])) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]


async def test_limited_keys_need_no_database_either(mini):
    alice = await mini.signed_in()
    made = await make_key(alice, rate_limit="1000/minute", allowed_networks=["203.0.113.0/24"])
    await get_from(mini, "203.0.113.1", made)
    with counted(mini) as statements:
        for _ in range(20):
            assert (await get_from(mini, "203.0.113.1", made)).status_code == 200
    assert statements == []
