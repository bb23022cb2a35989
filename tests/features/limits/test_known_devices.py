"""An attacker can use up the budget that strangers share; the owner's own devices have one that only they use up."""

import pytest
from tests.features.answers import refused
from tests.features.limits.conftest import WRONG, everywhere, guesses, use_up, visitor_from
from tests.features.mini_app import both_carriers

from limen.events import LimitReached

pytestmark = pytest.mark.anyio

HOME, CAFE = "203.0.113.7", "192.0.2.55"
BROWSER = {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"}


@everywhere
@both_carriers
async def test_the_owner_signs_in_where_they_did_before_while_an_attack_goes_on(mini, carrier):
    await mini.signed_in()
    mini.clock.advance(days=1)
    await use_up(mini)
    assert (await visitor_from(mini, HOME).login()).status_code == 200
    body = refused(await visitor_from(mini, CAFE).login(), 429, "too_many_requests")
    assert body["retry_after"] <= 300, "a new device waits, and knows how long"


@both_carriers
async def test_a_known_address_has_ten_wrong_passwords_of_its_own(mini, carrier):
    await mini.signed_in()
    await use_up(mini)
    home = visitor_from(mini, HOME)
    assert await guesses(home, 11) == [401] * 10 + [429]
    refused(await home.login(), 429, "too_many_requests")
    assert mini.heard(LimitReached)[-1].budget == "device"


async def test_what_a_known_address_used_up_before_counts(mini):
    """In all, ten: not ten with the strangers and ten more by itself."""
    await mini.signed_in()
    home = visitor_from(mini, HOME)
    assert await guesses(home, 6) == [401] * 6
    for number in range(4):
        assert await guesses(visitor_from(mini, f"198.51.100.{number}"), 1) == [401]
    assert await guesses(home, 5) == [401] * 4 + [429]


async def test_another_accounts_address_is_nobodys_known_device(mini):
    await mini.account()
    mallory = visitor_from(mini, CAFE)
    await mini.account("mallory@example.com")
    assert (await mallory.login("mallory@example.com")).status_code == 200
    await use_up(mini)
    refused(await mallory.login(password=WRONG), 429, "too_many_requests")


async def test_a_whole_network_of_64_bits_is_one_known_address(mini):
    await mini.account()
    assert (await visitor_from(mini, "2001:db8:1:2::1").login()).status_code == 200
    await use_up(mini)
    assert (await visitor_from(mini, "2001:db8:1:2:ffff::9").login()).status_code == 200
    refused(await visitor_from(mini, "2001:db8:1:3::1").login(), 429, "too_many_requests")


@pytest.mark.parametrize("carrier", ["cookie"])
async def test_a_browser_is_known_wherever_it_goes_even_after_signing_out(mini, carrier):
    await mini.account()
    at_home = visitor_from(mini, HOME, **BROWSER)
    answer = await at_home.login()
    session, device = answer.headers.get_list("set-cookie")
    assert session.startswith("limen=lms_")
    assert device.startswith("limen-device=lmd_")
    for flag in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=15552000"):
        assert flag in device
    await at_home.logout()
    await use_up(mini)
    abroad = visitor_from(mini, CAFE, **BROWSER)
    refused(await abroad.login(), 429, "too_many_requests")
    known = at_home.client.cookies["limen-device"]
    abroad.take(at_home)
    answer = await abroad.login()
    assert answer.status_code == 200
    assert f"limen-device={known};" in answer.headers.get_list("set-cookie")[1], "still the same device"
    assert await guesses(abroad, 11) == [401] * 10 + [429]


@pytest.mark.parametrize("carrier", ["cookie"])
async def test_another_accounts_device_cookie_is_worth_nothing(mini, carrier):
    await mini.account()
    await mini.account("mallory@example.com")
    mallory = visitor_from(mini, CAFE, **BROWSER)
    assert (await mallory.login("mallory@example.com")).status_code == 200
    await use_up(mini)
    refused(await mallory.login(password=WRONG), 429, "too_many_requests")
    own = mallory.client.cookies["limen-device"]
    for forged in (own[:-1], own.replace("lmd_", "lmd_A"), "lmd_" + "A" * 22 + "." + "A" * 43, "x" * 5000):
        mallory.client.cookies.set("limen-device", forged)
        refused(await mallory.login(password=WRONG), 429, "too_many_requests")


@both_carriers
async def test_only_a_browser_is_given_a_device_cookie(mini, carrier):
    await mini.account()
    answer = await mini.visitor().login()
    assert not any("device" in line for line in answer.headers.get_list("set-cookie"))


@pytest.mark.parametrize("carrier", ["cookie"])
async def test_the_cookie_is_host_bound_and_secure_on_https(opened, carrier):
    mini = await opened(settings={"base_url": "https://testserver"})
    await mini.account()
    client = visitor_from(mini, HOME, **BROWSER).client
    form = {"username": "alice@example.com", "password": "correct horse battery staple"}
    answer = await client.post("https://testserver/auth/login?deliver=cookie", data=form)
    device = answer.headers.get_list("set-cookie")[1]
    assert device.startswith("__Host-limen-device=")
    assert "Secure" in device


async def test_a_device_cookie_signs_nobody_in(mini):
    await mini.account()
    visitor = visitor_from(mini, HOME, **BROWSER, Cookie="limen=lmd_" + "A" * 22 + "." + "A" * 43)
    refused(await visitor.me(), 401, "invalid_token")
