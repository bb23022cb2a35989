"""People are told of what happens to their account: what, when, and when not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.features.mini_app import PASSWORD, MiniApp, both_carriers, features_of

from limen import ApiKeys, Services
from limen.core.client import Client
from limen.events import IdentityLinked, IdentityUnlinked
from limen.features.mail import Mail
from limen.features.mail.notices import AT_MOST, innocent, is_known
from limen.features.mail.store import Seen
from limen.testing import Outbox, outbox

pytestmark = pytest.mark.anyio

ALICE, ADMIN = "alice@example.com", "admin@example.com"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
NEWER_FIREFOX = FIREFOX.replace("140", "141")
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1"


@pytest.fixture
async def told(opened) -> tuple[MiniApp, Outbox]:
    """An app that tells people, and what it tells them."""
    mini = await opened(features=features_of(ApiKeys(), Services(), Mail(app_name="Example")))
    return mini, outbox(mini.auth)


async def told_of(letters: Outbox, to: str = ALICE) -> list[str]:
    return [each.template for each in await letters.letters(to=to)]


@both_carriers
async def test_a_change_of_password_is_told_to_its_owner(told):
    mini, letters = told
    browser = await mini.signed_in(ALICE)
    change = {"current_password": PASSWORD, "new_password": "another long pass phrase"}
    assert (await browser.post("/auth/password/change", json=change)).status_code == 204
    letter = await letters.latest(to=ALICE)
    assert letter.subject == "The password of your Example account was changed"
    assert "another long" not in letter.text
    assert await told_of(letters) == ["password_changed"], "and not of the sessions that ended with it"


async def test_a_new_key_is_told_with_its_name_and_without_its_secret(told):
    mini, letters = told
    browser = await mini.signed_in(ALICE)
    made = (await browser.post("/auth/api-keys", json={"name": "see http://evil.example/ now"})).json()
    letter = await letters.latest(to=ALICE, template="key_created")
    assert "see http···evil·example· now" in letter.text
    assert made["id"] in letter.text
    assert made["key"] not in str(letter.message)
    await mini.auth[ApiKeys].report_leak(f"found {made['key']} in a log")
    assert await told_of(letters) == ["key_created", "key_leaked"]


async def test_a_service_account_has_no_mailbox(told, caplog):
    mini, letters = told
    service = await mini.auth[Services].create("deployer")
    await mini.auth[ApiKeys].create(service)
    assert await letters.letters() == []
    assert "a listener failed" not in caplog.text, "it was not even tried"


async def test_sessions_that_an_administrator_ends_are_told_and_ones_own_logout_is_not(told):
    mini, letters = told
    alice, admin = await mini.signed_in(ALICE), await mini.signed_in(ADMIN, roles=["admin"])
    other = mini.visitor()
    await other.login(ALICE)
    await other.logout()
    assert (await alice.delete("/auth/sessions")).status_code == 204
    assert await told_of(letters) == []
    assert (await admin.post(f"/users/{alice.account.subject}/sign-out")).status_code == 204
    assert await told_of(letters) == ["sessions_ended"]
    assert await told_of(letters, ADMIN) == []


async def test_a_stolen_refresh_token_is_told(told):
    mini, letters = told
    browser = await mini.signed_in(ALICE)
    stolen = browser.refresh_token
    await browser.refresh()
    mini.clock.advance(seconds=11)
    assert (await browser.refresh(stolen)).status_code == 401
    assert await told_of(letters) == ["session_stolen"]


async def test_another_way_in_is_told_and_the_one_of_the_sign_up_is_not(told):
    mini, letters = told
    account, kernel = await mini.account(ALICE), mini.auth.kernel
    about = {"at": mini.clock.now(), "subject": account.subject}
    await kernel.events.publish(IdentityLinked(provider="idp", by_sign_up=True, **about))
    assert await told_of(letters) == []
    await kernel.newcomers.link(account, provider="see http://evil.example/", issuer="https://idp.example", subject="1")
    assert "see http···evil·example·" in (await letters.latest(to=ALICE, template="identity_linked")).text
    await kernel.events.publish(IdentityUnlinked(provider="idp", **about))
    assert await told_of(letters) == ["identity_linked", "identity_unlinked"]


async def test_a_deleted_account_is_told_at_the_address_that_it_had(told):
    mini, letters = told
    browser = await mini.signed_in(ALICE)
    assert (
        await browser.client.request("DELETE", "/users/me", json={"password": PASSWORD}, headers=browser.credentials())
    ).status_code == 204
    assert await told_of(letters) == ["account_deleted"]
    (event,) = [event for event in mini.events if type(event).__name__ == "AccountDeleted"]
    assert ALICE not in repr(event)


# --- devices


async def test_a_sign_in_from_another_device_is_told_and_the_first_one_is_not(told):
    mini, letters = told
    await mini.account(ALICE)
    await mini.visitor(**{"User-Agent": FIREFOX}).login(ALICE)
    assert await told_of(letters) == []
    await mini.visitor(**{"User-Agent": IPHONE}).login(ALICE)
    letter = await letters.latest(to=ALICE)
    assert letter.template == "new_device"
    assert "Safari on iPhone" in letter.text
    assert "203.0.113.7" in letter.text
    await mini.visitor(**{"User-Agent": IPHONE}).login(ALICE)
    await mini.visitor(**{"User-Agent": NEWER_FIREFOX}).login(ALICE)
    assert await told_of(letters) == ["new_device"], "these two were seen before"


async def test_a_refused_sign_in_is_not_told(told):
    mini, letters = told
    await mini.account(ALICE)
    await mini.visitor(**{"User-Agent": FIREFOX}).login(ALICE)
    await mini.visitor(**{"User-Agent": IPHONE}).login(ALICE, "wrong")
    assert await told_of(letters) == []


HOME, CAFE = "192.0.2.1", "198.51.100.9"


@pytest.mark.parametrize(
    ("client", "seen", "known"),
    [
        (Client(ip=CAFE, user_agent=FIREFOX), Seen(ip=HOME, user_agent=FIREFOX), True),
        (Client(ip=HOME, user_agent=NEWER_FIREFOX), Seen(ip=HOME, user_agent=FIREFOX), True),
        (Client(ip=CAFE, user_agent=NEWER_FIREFOX), Seen(ip=HOME, user_agent=FIREFOX), False),
        (Client(ip=HOME, user_agent=IPHONE), Seen(ip=HOME, user_agent=FIREFOX), False),
        (Client(ip="2001:db8::1", user_agent=NEWER_FIREFOX), Seen(ip="2001:db8::2", user_agent=FIREFOX), True),
        (Client(ip="2001:db8:1::1", user_agent=NEWER_FIREFOX), Seen(ip="2001:db8::1", user_agent=FIREFOX), False),
        (Client(ip=HOME, user_agent=FIREFOX), Seen(ip=None, user_agent=None), False),
        (Client(ip=None, user_agent=NEWER_FIREFOX), Seen(ip=None, user_agent=FIREFOX), False),
    ],
)
def test_a_device_is_known_by_its_agent_or_its_network(client, seen, known):
    assert is_known(client, [seen]) is known
    assert not is_known(client, [])


@given(st.text())
def test_what_somebody_named_is_no_link(name):
    said = innocent(name)
    assert not set(said) & set("./:@<>\n")
    assert len(said) <= 64


# --- how many, whether at all, and what goes wrong


async def test_nobody_fills_a_mailbox_with_notices_of_one_kind(told):
    mini, letters = told
    browser = await mini.signed_in(ALICE)
    for number in range(AT_MOST.requests + 3):
        assert (await browser.post("/auth/api-keys", json={"name": f"key {number}"})).status_code == 201
    assert await told_of(letters) == ["key_created"] * AT_MOST.requests
    change = {"current_password": PASSWORD, "new_password": "another long pass phrase"}
    assert (await browser.post("/auth/password/change", json=change)).status_code == 204
    assert (await told_of(letters))[-1] == "password_changed", "they do not hide another"


async def test_notices_can_be_turned_off(opened, monkeypatch):
    monkeypatch.setenv("LIMEN_MAIL_NOTICES", "false")
    mini = await opened(features=features_of(ApiKeys(), Mail()))
    letters = outbox(mini.auth)
    browser = await mini.signed_in(ALICE)
    assert (await browser.post("/auth/api-keys", json={"name": "a key"})).status_code == 201
    assert await letters.letters() == []


async def test_a_notice_that_cannot_be_posted_does_not_disturb_what_happened(told, monkeypatch, caplog):
    mini, letters = told
    browser = await mini.signed_in(ALICE)
    await mini.auth.kernel.users.change(browser.account.id, {"email": "not an address any more"})
    assert (await browser.post("/auth/api-keys", json={"name": "a key"})).status_code == 201
    assert await letters.letters() == []
    assert "a listener failed on ApiKeyCreated" in caplog.text
