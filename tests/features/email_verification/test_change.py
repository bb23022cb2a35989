"""Another address: it confirms, the old one is told and can have the account back."""

import pytest
from tests.features.answers import refused
from tests.features.mailing import open_mailing
from tests.features.mini_app import both_carriers

from limen import ApiKeys
from limen.events import AccountDisowned, EmailChanged, EmailChangeRequested, EmailChangeUndone
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

OLD, NEW = "alice@example.com", "alice@new.example"


async def change(browser, new_email=NEW, password=PASSWORD):
    return await browser.post("/auth/email/change", json={"new_email": new_email, "password": password})


async def post(mini, path, **body):
    return await mini.visitor().client.post(path, json=body)


async def changed(mini, box, browser, new_email=NEW):
    """Ask for a change and confirm it."""
    assert (await change(browser, new_email)).status_code == 202
    token = (await box.latest(to=new_email, template="confirm_new_email")).token
    answer = await post(mini, "/auth/email/verify", token=token)
    assert (answer.status_code, answer.json()["email"]) == (200, new_email)


@both_carriers
async def test_a_change_takes_effect_when_the_new_address_confirms(opened):
    mini, box = await open_mailing(opened)
    alice = await mini.signed_in()
    assert (await change(alice)).status_code == 202
    assert (await alice.me()).json()["email"] == OLD
    asked = {(each.template, each.to) for each in await box.letters()}
    assert asked == {("confirm_new_email", NEW), ("email_change_notice", OLD)}
    token = (await box.latest(to=NEW)).token
    answer = await post(mini, "/auth/email/verify", token=token)
    assert (answer.status_code, answer.json()["email"], answer.json()["is_verified"]) == (200, NEW, True)
    assert (await box.latest()).to == OLD
    assert (await alice.me()).json()["email"] == NEW
    refused(await mini.visitor().login(OLD), 401, "invalid_credentials")
    assert (await mini.visitor().login(NEW)).status_code == 200
    refused(await post(mini, "/auth/email/verify", token=token), 400, "invalid_token")
    assert (len(mini.heard(EmailChangeRequested)), len(mini.heard(EmailChanged))) == (1, 1)


async def test_a_change_needs_the_password_and_a_fresh_sign_in(opened):
    mini, box = await open_mailing(opened)
    alice = await mini.signed_in()
    refused(await change(alice, password="wrong"), 401, "invalid_credentials")
    refused(await change(alice, "no address"), 422, "validation_error")
    refused(await mini.visitor().post("/auth/email/change", json={}), 401, "not_authenticated")
    key = await mini.auth[ApiKeys].create(alice.account, name="ci")
    by_key = mini.visitor(**{"X-API-Key": key.text})
    refused(await change(by_key), 403, "forbidden")
    mini.clock.advance(minutes=10, seconds=1)
    refused(await change(alice), 401, "insufficient_user_authentication")
    assert [each.template for each in await box.letters()] == ["key_created"]


async def test_a_taken_address_is_answered_alike_and_its_owner_alone_is_told(opened):
    mini, box = await open_mailing(opened)
    await mini.account("bob@example.com")
    alice = await mini.signed_in()
    free, taken = await change(alice), await change(alice, "BOB@example.com")
    assert (free.status_code, taken.status_code) == (202, 202)
    assert free.content == taken.content
    assert [each.template for each in await box.letters(to="bob@example.com")] == ["account_exists"]


async def test_an_address_that_is_taken_meanwhile_is_not_taken_over(opened):
    mini, box = await open_mailing(opened)
    alice = await mini.signed_in()
    await change(alice)
    await mini.account(NEW)
    refused(await post(mini, "/auth/email/verify", token=(await box.latest(to=NEW)).token), 400, "invalid_token")
    assert (await alice.me()).json()["email"] == OLD


async def test_a_newer_wish_voids_the_older(opened):
    mini, box = await open_mailing(opened)
    alice = await mini.signed_in()
    await change(alice, "first@new.example")
    await change(alice, "second@new.example")
    first, second = [(await box.latest(to=f"{name}@new.example")).token for name in ("first", "second")]
    refused(await post(mini, "/auth/email/verify", token=first), 400, "invalid_token")
    assert (await post(mini, "/auth/email/verify", token=second)).json()["email"] == "second@new.example"


async def test_a_new_password_stops_a_change_that_waits(opened):
    mini, box = await open_mailing(opened)
    alice = await mini.signed_in()
    await change(alice)
    body = {"current_password": PASSWORD, "new_password": "some other long sentence"}
    assert (await alice.post("/auth/password/change", json=body)).status_code == 204
    refused(await post(mini, "/auth/email/verify", token=(await box.latest(to=NEW)).token), 400, "invalid_token")


async def test_a_thief_of_an_account_does_not_win_the_race_for_its_address(opened):
    """Changed twice, with a key, sessions, a reset that waits, and the old address registered by the thief."""
    mini, box = await open_mailing(opened)
    thief = await mini.signed_in()
    key = await mini.auth[ApiKeys].create(thief.account, name="thief")
    await changed(mini, box, thief)
    undo = (await box.latest(to=OLD, template="email_changed")).token
    await changed(mini, box, thief, "thief@elsewhere.example")
    thiefs_undo = (await box.latest(to=NEW, template="email_changed")).token
    await post(mini, "/auth/password/forgot", email="thief@elsewhere.example")
    thiefs_reset = (await box.latest(to="thief@elsewhere.example", template="reset_password")).token
    await change(thief, "thief@third.example")
    thiefs_wish = (await box.latest(to="thief@third.example")).token
    refused(await mini.visitor().register(OLD), 409, "email_taken")  # it is kept for its owner
    other = await mini.signed_in("other@example.com")
    await change(other, OLD)
    confirm = (await box.latest(to=OLD, template="confirm_new_email")).token
    refused(await post(mini, "/auth/email/verify", token=confirm), 400, "invalid_token")
    mini.clock.advance(hours=71)

    assert (await post(mini, "/auth/email/change/undo", token=undo)).status_code == 204
    refused(await thief.me(), 401, "invalid_token")
    refused(await mini.visitor(**{"X-API-Key": key.text}).me(), 401, "invalid_token")
    for name in (OLD, NEW, "thief@elsewhere.example"):
        refused(await mini.visitor().login(name), 401, "invalid_credentials")
    for token in (thiefs_undo, undo):
        refused(await post(mini, "/auth/email/change/undo", token=token), 400, "invalid_token")
    refused(await post(mini, "/auth/email/verify", token=thiefs_wish), 400, "invalid_token")
    body = {"token": thiefs_reset, "new_password": "the thief's new sentence"}
    refused(await post(mini, "/auth/password/reset", **body), 400, "invalid_token")
    assert [event.reason for event in mini.heard(AccountDisowned)] == ["email_change_undone"]
    assert len(mini.heard(EmailChangeUndone)) == 1

    body = {
        "token": (await box.latest(to=OLD, template="reset_password")).token,
        "new_password": "mine again, for good",
    }
    assert (await post(mini, "/auth/password/reset", **body)).status_code == 204
    alice = mini.visitor()
    assert (await alice.login(OLD, "mine again, for good")).status_code == 200
    assert (await alice.me()).json()["id"] == thief.account.subject


async def test_a_change_can_be_stopped_before_it_takes_effect(opened):
    mini, box = await open_mailing(opened)
    alice = await mini.signed_in()
    await change(alice)
    stop = await box.latest(to=OLD, template="email_change_notice")
    assert stop.link.startswith("http://localhost:8000/auth/email/change/undo#token=")
    assert (await post(mini, "/auth/email/change/undo", token=stop.token)).status_code == 204
    refused(await post(mini, "/auth/email/verify", token=(await box.latest(to=NEW)).token), 400, "invalid_token")
    refused(await alice.me(), 401, "invalid_token")


async def test_after_72_hours_a_change_stays_and_the_old_address_is_free(opened):
    mini, box = await open_mailing(opened)
    await changed(mini, box, await mini.signed_in())
    tokens = [each.token for each in await box.letters(to=OLD)]
    mini.clock.advance(hours=72, seconds=1)
    for token in tokens:
        refused(await post(mini, "/auth/email/change/undo", token=token), 400, "invalid_token")
    assert (await mini.visitor().register(OLD)).status_code == 201


async def test_an_address_that_was_mistyped_and_never_proved_cannot_have_the_account(opened):
    mini, box = await open_mailing(opened, verification="optional")
    await changed(mini, box, await mini.signed_in())
    told = [each for each in await box.letters(to=OLD) if each.template != "verify_email"]
    assert [each.template for each in told] == ["email_change_notice", "email_changed"]
    for letter in told:
        assert "#token=" not in letter.message.as_string()


async def test_one_goes_back_to_ones_own_old_address(opened):
    mini, box = await open_mailing(opened)
    alice = await mini.signed_in()
    await changed(mini, box, alice)
    await changed(mini, box, alice, OLD)
    assert (await alice.me()).json()["email"] == OLD
