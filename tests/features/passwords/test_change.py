"""Replacing one's own password. What becomes of refresh tokens is asked of tokens only: cookies have none."""

import pytest
from tests.features.answers import NOTHING_PRESENTED, named_fields, refused
from tests.features.mini_app import both_carriers

from limen import Passwords
from limen.errors import WeakPassword
from limen.events import PasswordChanged, SessionsEnded
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

NEW = "a new and longer sentence"


async def change(browser, current=PASSWORD, new=NEW, **more):
    return await browser.post("/auth/password/change", json={"current_password": current, "new_password": new, **more})


@both_carriers
async def test_a_changed_password_signs_in_and_the_old_one_does_not(mini):
    alice = await mini.signed_in()
    answer = await change(alice)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["cache-control"] == "no-store"
    refused(await mini.visitor().login(), 401, "invalid_credentials")
    assert (await mini.visitor().login(password=NEW)).status_code == 200


@both_carriers
async def test_a_password_change_ends_every_other_session_and_keeps_this_one(mini):
    here, elsewhere = await mini.signed_in(), mini.visitor()
    await elsewhere.login()
    assert (await elsewhere.me()).status_code == 200
    assert (await change(here)).status_code == 204
    refused(await elsewhere.me(), 401, "invalid_token")
    assert (await here.me()).status_code == 200


async def test_a_password_change_leaves_refresh_tokens_of_this_session_only(mini):
    here, elsewhere = await mini.signed_in(), mini.visitor()
    await elsewhere.login()
    await change(here)
    refused(await elsewhere.refresh(), 401, "invalid_grant")
    assert (await here.refresh()).status_code == 200
    assert (await here.me()).status_code == 200


@both_carriers
async def test_a_password_change_leaves_other_people_alone(mini):
    alice, bob = await mini.signed_in(), await mini.signed_in("bob@example.com")
    await change(alice)
    assert (await bob.me()).status_code == 200
    if bob.carrier == "bearer":
        assert (await bob.refresh()).status_code == 200


@both_carriers
async def test_the_wrong_current_password_changes_nothing(mini):
    here, elsewhere = await mini.signed_in(), mini.visitor()
    await elsewhere.login()
    refused(await change(here, current="wrong"), 401, "invalid_credentials")
    refused(await change(here, current=""), 401, "invalid_credentials")
    assert (await elsewhere.me()).status_code == 200
    assert (await mini.visitor().login()).status_code == 200


@both_carriers
async def test_a_weak_password_is_refused_with_its_reasons(mini):
    alice = await mini.signed_in()
    for new, reason in (
        ("short", "too_short"),
        ("", "too_short"),
        ("password123", "common"),
        ("alice@example.com", "context"),
        ("x" * 4097, "too_long"),
        ("ü" * 2049, "too_long"),
    ):
        body = refused(await change(alice, new=new), 422, "weak_password")
        assert named_fields(body) == {"new_password"}
        assert reason in {error["type"] for error in body["errors"]}
        assert len(new) < 8 or new not in str(body)
    assert (await mini.visitor().login()).status_code == 200


@both_carriers
async def test_fields_that_are_unknown_or_missing_are_refused_without_quoting_values(mini):
    alice = await mini.signed_in()
    body = refused(await change(alice, user_id="someone else"), 422, "validation_error")
    assert named_fields(body) == {"user_id"}
    answer = await alice.post("/auth/password/change", json={"current_password": PASSWORD})
    assert named_fields(refused(answer, 422, "validation_error")) == {"new_password"}
    assert PASSWORD not in answer.text
    odd = await alice.post("/auth/password/change", json={"new_password": 7, "current_password": None})
    assert named_fields(refused(odd, 422, "validation_error")) == {"new_password", "current_password"}


@both_carriers
async def test_nobody_changes_a_password_without_being_signed_in(mini):
    answer = await change(mini.visitor())
    refused(answer, 401, "not_authenticated")
    assert answer.headers["www-authenticate"] == NOTHING_PRESENTED


@both_carriers
async def test_a_password_change_is_heard_of(mini):
    alice, elsewhere = await mini.signed_in(), mini.visitor()
    await elsewhere.login()
    await change(alice)
    (changed,), (ended,) = mini.heard(PasswordChanged), mini.heard(SessionsEnded)
    assert changed.subject == ended.subject == alice.account.subject
    assert (ended.reason, len(ended.session_ids)) == ("password_changed", 1)


@both_carriers
async def test_a_password_that_an_operator_sets_ends_every_session(mini):
    alice = await mini.signed_in()
    await mini.auth[Passwords].set(alice.account.id, NEW)
    refused(await alice.me(), 401, "invalid_token")
    if alice.carrier == "bearer":
        refused(await alice.refresh(), 401, "invalid_grant")
    assert (await alice.login(password=NEW)).status_code == 200
    with pytest.raises(WeakPassword):
        await mini.auth[Passwords].set(alice.account.id, "short")
