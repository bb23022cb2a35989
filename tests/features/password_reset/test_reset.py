"""A forgotten password."""

import pytest
from tests.features.answers import named_fields, refused
from tests.features.mailing import open_mailing
from tests.features.mini_app import both_carriers

from limen import Accounts, ApiKeys
from limen.events import AccountDisowned, EmailVerified, PasswordChanged, PasswordReset, PasswordResetRequested
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

FRESH = "some other long sentence"


async def post(mini, path, **body):
    return await mini.visitor().client.post(path, json=body)


async def asked(mini, box, email="alice@example.com"):
    """The token of a mail that was just asked for."""
    assert (await post(mini, "/auth/password/forgot", email=email)).status_code == 202
    return (await box.latest(template="reset_password")).token


@both_carriers
async def test_who_reads_the_mail_sets_a_password_and_every_session_ends(opened):
    mini, box = await open_mailing(opened)
    alice, elsewhere = await mini.signed_in(), mini.visitor()
    await elsewhere.login()
    token = await asked(mini, box)
    answer = await post(mini, "/auth/password/reset", token=token, new_password=FRESH)
    assert (answer.status_code, answer.content) == (204, b"")
    for browser in (alice, elsewhere):
        refused(await browser.me(), 401, "invalid_token")
    refused(await mini.visitor().login(), 401, "invalid_credentials")
    assert (await mini.visitor().login(password=FRESH)).status_code == 200
    assert (await box.latest()).template == "password_changed"
    refused(await post(mini, "/auth/password/reset", token=token, new_password=FRESH), 400, "invalid_token")
    assert [len(mini.heard(kind)) for kind in (PasswordReset, PasswordChanged, EmailVerified)] == [1, 1, 1]


async def test_asking_is_answered_alike_whoever_is_asked_for(opened):
    mini, box = await open_mailing(opened)
    await mini.account("Alice@example.com")
    disabled = await mini.account("bob@example.com")
    await mini.auth[Accounts].set_active(disabled.id, False)
    asked_for = ("alice@EXAMPLE.com", "bob@example.com", "nobody@example.com", "alice", "", "a\u0000b")
    answers = [await post(mini, "/auth/password/forgot", email=email) for email in asked_for]
    assert {(answer.status_code, answer.content) for answer in answers} == {(202, answers[0].content)}
    (letter,) = await box.letters()
    assert letter.to == "Alice@example.com"
    assert letter.link.startswith("http://localhost:8000/auth/password/reset#token=")
    assert [event.subject is None for event in mini.heard(PasswordResetRequested)] == [False] + [True] * 5


async def test_a_weak_password_is_refused_and_the_token_stays_good(opened):
    mini, box = await open_mailing(opened)
    await mini.account()
    token = await asked(mini, box)
    for weak in ("short", "alice@example.com", "x" * 4097):
        body = refused(await post(mini, "/auth/password/reset", token=token, new_password=weak), 422, "weak_password")
        assert named_fields(body) == {"new_password"}
    assert (await post(mini, "/auth/password/reset", token=token, new_password=FRESH)).status_code == 204


async def test_a_token_is_void_after_an_hour_a_newer_one_a_new_password_or_a_new_address(opened):
    mini, box = await open_mailing(opened)
    alice = await mini.signed_in()

    async def is_void(token):
        answer = await post(mini, "/auth/password/reset", token=token, new_password=FRESH)
        refused(answer, 400, "invalid_token")

    first = await asked(mini, box)
    second = await asked(mini, box)
    await is_void(first)
    body = {"current_password": PASSWORD, "new_password": "a third long sentence"}
    assert (await alice.post("/auth/password/change", json=body)).status_code == 204
    await is_void(second)
    third = await asked(mini, box)
    body = {"new_email": "alice@new.example", "password": "a third long sentence"}
    await alice.post("/auth/email/change", json=body)
    confirm = (await box.latest(to="alice@new.example")).token
    assert (await post(mini, "/auth/email/verify", token=confirm)).status_code == 200
    await is_void(third)
    fourth = await asked(mini, box, "alice@new.example")
    mini.clock.advance(hours=1)
    await is_void(fourth)
    for nonsense in ("", "x", "\x00", "ünïcode"):
        await is_void(nonsense)


async def test_who_is_disabled_meanwhile_resets_nothing(opened):
    mini, box = await open_mailing(opened)
    alice = await mini.account()
    token = await asked(mini, box)
    await mini.auth[Accounts].set_active(alice.id, False)
    refused(await post(mini, "/auth/password/reset", token=token, new_password=FRESH), 400, "invalid_token")


@pytest.mark.parametrize("verification", ["off", "required"])
async def test_a_reset_proves_the_address_and_takes_from_whoever_registered_with_a_strangers(opened, verification):
    """Where addresses are to be proved, what was set up before the proof goes; a verified account keeps its keys."""
    mini, box = await open_mailing(opened, verification=verification)
    squatted, own = await mini.account(), await mini.account("bob@example.com", is_verified=True)
    keys = [await mini.auth[ApiKeys].create(account, name="ci") for account in (squatted, own)]
    for email in ("alice@example.com", "bob@example.com"):
        token = await asked(mini, box, email)
        assert (await post(mini, "/auth/password/reset", token=token, new_password=FRESH)).status_code == 204
        answer = await mini.visitor().login(email, FRESH)
        assert (answer.status_code, answer.json()["status"]) == (200, "complete")
    by_key = [(await mini.visitor(**{"X-API-Key": key.text}).me()).status_code for key in keys]
    assert by_key == [200 if verification == "off" else 401, 200]
    assert len(mini.heard(AccountDisowned)) == (verification == "required")
