"""One's own account: see it, change it, close it."""

import pytest
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tests.features.answers import INVALID_TOKEN, NOTHING_PRESENTED, named_fields, refused
from tests.features.mini_app import both_carriers, features_of

from limen import Accounts, UserMixin
from limen.events import AccountDeleted, AccountUpdated
from limen.testing import PASSWORD

pytestmark = [pytest.mark.anyio, both_carriers]


class Base(DeclarativeBase):
    pass


class Member(UserMixin, Base):
    __tablename__ = "members"

    id: Mapped[int] = mapped_column(primary_key=True)
    city: Mapped[str | None] = mapped_column(String(40))
    plan: Mapped[str] = mapped_column(String(20), default="free")
    notes: Mapped[str | None]


class Profile(BaseModel):
    city: str | None = Field(None, max_length=40)


async def test_i_see_my_account(mini):
    alice = await mini.signed_in(username="alice")
    answer = await alice.me()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["id"], body["email"], body["username"]) == (alice.account.subject, "alice@example.com", "alice")
    assert (body["roles"], body["permissions"], body["is_active"], body["is_verified"]) == (["member"], [], True, False)


async def test_nobody_is_not_authenticated(mini):
    answer = await mini.visitor().me()
    refused(answer, 401, "not_authenticated")
    assert answer.headers["www-authenticate"] == NOTHING_PRESENTED


async def test_i_change_my_username_and_sign_in_with_it(mini):
    alice = await mini.signed_in()
    answer = await alice.patch("/users/me", json={"username": "Alice.S"})
    assert (answer.status_code, answer.json()["username"]) == (200, "Alice.S")
    assert (await alice.me()).json()["username"] == "Alice.S"
    assert (await mini.visitor().login("alice.s")).status_code == 200
    (event,) = mini.heard(AccountUpdated)
    assert event.subject == alice.account.subject
    assert "username" in event.fields


async def test_i_cannot_take_anothers_username_or_a_bad_one(mini):
    alice = await mini.signed_in()
    await mini.account("bob@example.com", username="Bob")
    refused(await alice.patch("/users/me", json={"username": "bob"}), 409, "username_taken")
    for bad in ("", "a b", "bob@example.com", "\x00", 7, ["bob"], "x" * 65):
        body = refused(await alice.patch("/users/me", json={"username": bad}), 422, "validation_error")
        assert named_fields(body) == {"username"}


async def test_a_change_of_nothing_changes_nothing(mini):
    alice = await mini.signed_in(username="alice")
    assert (await alice.patch("/users/me", json={})).json()["username"] == "alice"
    assert not mini.heard(AccountUpdated)


async def test_i_cannot_give_myself_anything_that_is_not_mine_to_give(mini):
    alice = await mini.signed_in()
    for field, value in {
        "is_active": False,
        "is_verified": True,
        "roles": ["admin"],
        "permissions": ["*"],
        "email": "other@example.com",
        "email_canonical": "other@example.com",
        "rights_epoch": 9,
        "id": "x",
        "password": "x",
        "created_at": "2020-01-01T00:00:00Z",
    }.items():
        body = refused(await alice.patch("/users/me", json={field: value}), 422, "validation_error")
        assert named_fields(body) == {field}
    before = await alice.me()
    assert (before.json()["roles"], before.json()["is_verified"]) == (["member"], False)


async def test_the_apps_own_columns_are_mine_if_the_profile_names_them(opened):
    mini = await opened(user=Member, features=features_of(profile=Profile))
    answer = await mini.visitor().register(city="Trier")
    assert (answer.status_code, answer.json()["city"]) == (201, "Trier")
    assert "plan" not in answer.json()
    alice = mini.visitor()
    await alice.login()
    answer = await alice.patch("/users/me", json={"city": "Bonn"})
    assert (answer.status_code, answer.json()["city"]) == (200, "Bonn")
    assert (await alice.patch("/users/me", json={"username": "alice"})).json()["city"] == "Bonn"
    assert (await alice.patch("/users/me", json={"city": None})).json()["city"] is None
    for field, value in (("plan", "gold"), ("notes", "x"), ("id", 7)):
        body = refused(await alice.patch("/users/me", json={field: value}), 422, "validation_error")
        assert named_fields(body) == {field}
        refused(await mini.visitor().register("bob@example.com", **{field: value}), 422, "validation_error")


async def test_the_limits_of_the_profile_hold_at_registration_and_at_a_change(opened):
    mini = await opened(user=Member, features=features_of(profile=Profile))
    refused(await mini.visitor().register(city="x" * 41), 422, "validation_error")
    alice = await mini.signed_in()
    body = refused(await alice.patch("/users/me", json={"city": "x" * 41}), 422, "validation_error")
    assert named_fields(body) == {"city"}


async def test_a_value_that_the_database_cannot_hold_is_the_clients_mistake(opened):
    class Loose(BaseModel):
        notes: str | None = None

    mini = await opened(user=Member, features=features_of(profile=Loose))
    alice = await mini.signed_in()
    answer = await alice.patch("/users/me", json={"notes": "a\x00b"})
    assert answer.status_code in (200, 422), answer.text
    answer = await mini.visitor().register("bob@example.com", notes="a\x00b")
    assert answer.status_code in (201, 422), answer.text


async def test_a_profile_that_takes_anything_opens_no_other_column(opened):
    class Open(Profile):
        model_config = ConfigDict(extra="allow")

    mini = await opened(user=Member, features=features_of(profile=Open))
    refused(await mini.visitor().register(is_verified=True), 422, "validation_error")
    alice = await mini.signed_in()
    refused(await alice.patch("/users/me", json={"is_active": False}), 422, "validation_error")


# --- closing it


async def close(browser, password=PASSWORD):
    return await browser.request("DELETE", "/users/me", json={"password": password})


async def test_i_close_my_account_and_nothing_of_mine_is_good_any_more(mini):
    alice, elsewhere = await mini.signed_in(), mini.visitor()
    await elsewhere.login()
    answer = await close(alice)
    assert (answer.status_code, answer.content) == (204, b"")
    for browser in (alice, elsewhere):
        answer = await browser.me()
        refused(answer, 401, "invalid_token")
        assert answer.headers["www-authenticate"] == INVALID_TOKEN
    refused(await mini.visitor().login(), 401, "invalid_credentials")
    (event,) = mini.heard(AccountDeleted)
    assert event.subject == alice.account.subject
    assert (await mini.visitor().register()).status_code == 201


async def test_nothing_of_a_closed_account_is_left(mini):
    alice = await mini.signed_in(username="alice", roles=["member", "editor"])
    await close(alice)
    kernel = mini.auth.kernel
    for table in mini.auth.tables():
        if table not in (kernel.tables.revocations,) and "key" not in table.name:
            assert not await kernel.database.read(table.select()), table.name


async def test_closing_needs_the_password(mini):
    alice = await mini.signed_in()
    for wrong in ("wrong", "", "x" * 4096):
        refused(await close(alice, wrong), 401, "invalid_credentials")
    answer = await alice.request("DELETE", "/users/me", json={})
    assert named_fields(refused(answer, 422, "validation_error")) == {"password"}
    assert (await alice.me()).status_code == 200


async def test_closing_needs_a_fresh_sign_in(mini):
    alice = await mini.signed_in()
    mini.clock.advance(minutes=11)
    answer = await close(alice)
    assert refused(answer, 401, "insufficient_user_authentication")["max_age"] == 600
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="limen", error="insufficient_user_authentication", '
        'error_description="Sign in again to do this.", max_age="600"'
    )
    await alice.login()
    assert (await close(alice)).status_code == 204


async def test_a_disabled_user_is_refused_at_once(mini):
    alice = await mini.signed_in()
    assert (await alice.me()).status_code == 200
    await mini.auth[Accounts].set_active(alice.account.id, False)
    answer = await alice.me()
    refused(answer, 401, "invalid_token")
    assert answer.headers["www-authenticate"] == INVALID_TOKEN


async def test_a_user_who_is_let_in_again_signs_in_anew(mini):
    alice = await mini.signed_in()
    await mini.auth[Accounts].set_active(alice.account.id, False)
    await mini.auth[Accounts].set_active(alice.account.id, True)
    refused(await alice.me(), 401, "invalid_token")
    assert (await alice.login()).status_code == 200
    assert (await alice.me()).status_code == 200
