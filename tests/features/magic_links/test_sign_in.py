"""Sign-in by a link or a code in a mail."""

import pytest
from tests.features.answers import refused
from tests.features.mailing import open_mailing
from tests.features.mini_app import both_carriers

from limen import ApiKeys
from limen.events import AccountDisowned, EmailVerified, LoggedIn, LoginFailed, MagicLinkRequested, Registered
from limen.features import MagicLinks
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

EMAIL = "alice@example.com"
PAGE = {"Sec-Fetch-Site": "same-origin"}


async def ask(browser, email=EMAIL, **headers):
    return await browser.client.post("/auth/magic-link", json={"email": email}, headers=headers)


async def sign_in(browser, *, headers=PAGE, **body):
    path = "/auth/magic-link/verify" + ("?deliver=cookie" if browser.carrier == "cookie" else "")
    return browser.keep(await browser.client.post(path, json=body, headers=headers))


@both_carriers
async def test_the_link_signs_in_the_browser_that_asked(opened):
    mini, box = await open_mailing(opened, MagicLinks())
    await mini.account(is_verified=True)
    alice = mini.visitor()
    assert (await ask(alice)).status_code == 202
    letter = await box.latest(to=EMAIL)
    assert letter.link.startswith("http://localhost:8000/auth/magic-link/verify#token=")
    done = await sign_in(alice, token=letter.token, scope="items:read")
    assert (done.status_code, done.json()["status"]) == (200, "complete")
    assert done.headers["cache-control"] == "no-store"
    assert (await alice.me()).status_code == 200
    assert mini.heard(LoggedIn)[-1].amr == ("otp",)
    if alice.carrier == "bearer":
        assert done.json()["scope"] == "items:read"
    refused(await sign_in(alice, token=letter.token), 400, "invalid_token")
    assert (await mini.visitor().login()).status_code == 200  # a verified account keeps its password


@both_carriers
async def test_the_code_does_too_and_uses_the_link_up(opened):
    mini, box = await open_mailing(opened, MagicLinks())
    await mini.account(is_verified=True)
    alice = mini.visitor()
    await ask(alice)
    letter = await box.latest()
    assert (await sign_in(alice, email="ALICE@example.com", code=letter.code)).json()["status"] == "complete"
    assert (await alice.me()).status_code == 200
    refused(await sign_in(mini.visitor(), headers={}, token=letter.token), 400, "invalid_token")


@both_carriers
async def test_in_another_browser_neither_signs_in_and_both_stay_good_in_the_first(opened):
    """Else a link that an attacker asked for would sign its reader in as the attacker."""
    mini, box = await open_mailing(opened, MagicLinks())
    await mini.account(is_verified=True)
    alice, other = mini.visitor(), mini.visitor()
    await ask(alice)
    letter = await box.latest()
    for body in ({"token": letter.token}, {"email": EMAIL, "code": letter.code}):
        refused(await sign_in(other, **body), 400, "another_browser")
    await ask(other, "nobody@example.com")  # which gives it a cookie of its own
    refused(await sign_in(other, token=letter.token), 400, "another_browser")
    assert (await sign_in(alice, token=letter.token)).status_code == 200


async def test_a_foreign_page_neither_asks_nor_signs_in(opened):
    mini, box = await open_mailing(opened, MagicLinks())
    await mini.account(is_verified=True)
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    visitor = mini.visitor()
    refused(await ask(visitor, **foreign), 403, "cross_origin")
    await ask(visitor)
    token = (await box.latest()).token
    path = "/auth/magic-link/verify?deliver=cookie"
    refused(await visitor.client.post(path, json={"token": token}, headers=foreign), 403, "cross_origin")


async def test_a_client_that_is_no_browser_needs_no_cookie(opened):
    mini, box = await open_mailing(opened, MagicLinks())
    await mini.account(is_verified=True)
    await ask(mini.visitor())
    assert (await sign_in(mini.visitor(), headers={}, token=(await box.latest()).token)).status_code == 200


async def test_asking_is_answered_alike_and_reaches_who_may_sign_in(opened):
    mini, box = await open_mailing(opened, MagicLinks())
    await mini.account(is_verified=True)
    answers = [await ask(mini.visitor(), email) for email in (EMAIL, "nobody@example.com", "no address", "")]
    assert {(answer.status_code, answer.content) for answer in answers} == {(202, answers[0].content)}
    assert len({frozenset(answer.headers) for answer in answers}) == 1
    assert [each.to for each in await box.letters()] == [EMAIL]
    assert [event.subject is None for event in mini.heard(MagicLinkRequested)] == [False, True, True, True]
    refused(await sign_in(mini.visitor(), email="nobody@example.com", code="123456"), 400, "invalid_token")


async def test_a_code_is_good_for_five_tries(opened):
    mini, box = await open_mailing(opened, MagicLinks())
    await mini.account(is_verified=True)
    alice = mini.visitor()
    await ask(alice)
    code = (await box.latest()).code
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    for _ in range(5):
        refused(await sign_in(alice, email=EMAIL, code=wrong), 400, "invalid_token")
    refused(await sign_in(alice, email=EMAIL, code=code), 400, "invalid_token")
    assert len(mini.heard(LoginFailed)) == 6


async def test_a_link_is_good_for_ten_minutes_and_a_newer_one_voids_it(opened):
    mini, box = await open_mailing(opened, MagicLinks())
    await mini.account(is_verified=True)
    alice = mini.visitor()
    await ask(alice)
    first = (await box.latest()).token
    await ask(alice)
    refused(await sign_in(alice, token=first), 400, "invalid_token")
    second = (await box.latest()).token
    mini.clock.advance(minutes=10)
    refused(await sign_in(alice, token=second), 400, "invalid_token")


async def test_who_registered_with_a_strangers_address_is_out_when_the_owner_comes(opened):
    mini, box = await open_mailing(opened, MagicLinks())
    squatter = await mini.signed_in()
    key = await mini.auth[ApiKeys].create(squatter.account, name="trap")
    await squatter.post("/auth/email/change", json={"new_email": "squatter@new.example", "password": PASSWORD})
    waiting = (await box.latest(to="squatter@new.example")).token
    alice = mini.visitor()
    await ask(alice)
    assert (await sign_in(alice, token=(await box.latest(template="magic_link")).token)).status_code == 200
    assert (await alice.me()).json()["is_verified"] is True
    refused(await squatter.me(), 401, "invalid_token")
    refused(await mini.visitor(**{"X-API-Key": key.text}).me(), 401, "invalid_token")
    refused(await mini.visitor().login(), 401, "invalid_credentials")
    refused(await mini.visitor().post("/auth/email/verify", json={"token": waiting}), 400, "invalid_token")
    assert (await alice.me()).json()["email"] == EMAIL
    assert (len(mini.heard(AccountDisowned)), len(mini.heard(EmailVerified))) == (1, 1)


async def test_an_address_without_an_account_gets_one_only_where_the_app_says_so(opened):
    mini, box = await open_mailing(opened, MagicLinks(sign_up=True), verification="required")
    alice = mini.visitor()
    await ask(alice, "Alice@example.com")
    assert (await sign_in(alice, token=(await box.latest(to="Alice@example.com")).token)).json()["status"] == "complete"
    me = (await alice.me()).json()
    assert (me["email"], me["is_verified"], me["roles"]) == ("Alice@example.com", True, ["member"])
    assert len(mini.heard(Registered)) == 1
    refused(await mini.visitor().login(password=PASSWORD), 401, "invalid_credentials")


async def test_a_link_for_a_new_account_is_void_when_there_is_one_meanwhile(opened):
    mini, box = await open_mailing(opened, MagicLinks(sign_up=True))
    alice = mini.visitor()
    await ask(alice)
    await mini.account()
    refused(await sign_in(alice, token=(await box.latest()).token), 400, "invalid_token")


async def test_a_link_dies_with_the_address_it_was_sent_to(opened):
    mini, box = await open_mailing(opened, MagicLinks())
    alice = await mini.signed_in(is_verified=True)
    await ask(alice)
    token = (await box.latest()).token
    body = {"new_email": "alice@new.example", "password": PASSWORD}
    await alice.post("/auth/email/change", json=body)
    confirm = (await box.latest(to="alice@new.example")).token
    await mini.visitor().client.post("/auth/email/verify", json={"token": confirm})
    refused(await sign_in(alice, token=token), 400, "invalid_token")


async def test_links_can_be_sent_and_taken_in_code(opened):
    mini, box = await open_mailing(opened, MagicLinks())
    await mini.account(is_verified=True)
    links = mini.auth[MagicLinks]
    await links.request(EMAIL)
    outcome = await links.sign_in((await box.latest()).token)
    assert outcome.body["access_token"]
