"""Making, listing, using and revoking keys."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from tests.features.answers import named_fields, refused
from tests.features.api_keys.conftest import by_bearer, by_header, make_key
from tests.features.mini_app import both_carriers

from limen import ApiKeys
from limen.errors import NotFound, TooManyKeys, Unprocessable
from limen.events import ApiKeyCreated, ApiKeyRevoked

pytestmark = pytest.mark.anyio


def moment(text):
    return datetime.fromisoformat(text)


@both_carriers
async def test_a_key_is_made_as_the_contract_says(mini):
    alice = await mini.signed_in()
    made = await make_key(alice, name="deploy", scopes=["items:write", "items:read"], expires_in_days=30)
    assert made.keys() == {"id", "name", "prefix", "key", "scopes", "expires_at", "created_at"}
    assert re.fullmatch(r"lmk_[0-9A-Za-z]{54}", made["key"])
    assert made["key"].startswith(made["prefix"])
    assert made["prefix"] == f"lmk_{made['id']}"
    assert (made["name"], made["scopes"]) == ("deploy", ["items:read", "items:write"])
    assert moment(made["expires_at"]) - moment(made["created_at"]) == timedelta(days=30)
    (event,) = mini.heard(ApiKeyCreated)
    assert (event.key_id, event.subject, event.client.ip) == (made["id"], alice.account.subject, "203.0.113.7")


async def test_a_key_alone_needs_a_name_only(mini):
    alice = await mini.signed_in()
    made = await make_key(alice)
    assert (made["scopes"], made["expires_at"]) == (None, None)
    who = (await mini.visitor().get("/who", headers=by_header(made["key"]))).json()
    assert who["permissions"] == ["items:read", "items:write"]
    assert who["roles"] == ["member"]


async def test_what_is_no_key_s_body_is_refused(mini):
    alice = await mini.signed_in()
    for body, field in (
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["Items:Read"]}, "scopes"),
        ({"name": "x", "scopes": ["items:read items:write"]}, "scopes"),
        ({"name": "x", "scopes": ["a" * 129]}, "scopes"),
        ({"name": "x", "scopes": [f"a:{n}" for n in range(200)]}, "scopes"),
        ({"name": "x", "expires_in_days": 0}, "expires_in_days"),
        ({"name": "x", "expires_in_days": 10**9}, "expires_in_days"),
        ({"name": "x", "allowed_networks": ["everywhere"]}, "allowed_networks"),
        ({"name": "x", "allowed_networks": ["10.0.0.1/8"]}, "allowed_networks"),
        ({"name": "x", "rate_limit": "often"}, "rate_limit"),
        ({"name": "x", "owner": "me"}, "owner"),
    ):
        answer = await alice.post("/auth/api-keys", json=body)
        assert field in named_fields(refused(answer, 422, "validation_error")), body


@pytest.mark.parametrize("shown", [by_header, by_bearer], ids=["header", "bearer"])
async def test_a_key_proves_its_owner_without_a_session(mini, shown):
    alice = await mini.signed_in()
    made = await make_key(alice, scopes=["items:read"])
    who = (await mini.visitor().get("/who", headers=shown(made["key"]))).json()
    assert who == {
        "sub": alice.account.subject,
        "credential": "api_key",
        "credential_id": made["id"],
        "session_id": None,
        "auth_time": None,
        "permissions": ["items:read"],
        "roles": [],
    }
    assert (await mini.visitor().get("/users/me", headers=shown(made["key"]))).json()["email"] == "alice@example.com"


async def test_the_list_shows_keys_without_their_secrets(mini):
    alice, bob = await mini.signed_in(), await mini.signed_in("bob@example.com")
    first, second = await make_key(alice, name="first"), await make_key(alice, name="second")
    await make_key(bob, name="bob's")
    answer = await alice.get("/auth/api-keys")
    listed = answer.json()
    assert {each["name"] for each in listed} == {"first", "second"}
    assert all(each["last_used_at"] is None for each in listed)
    assert all(
        each.keys() == {"id", "name", "prefix", "scopes", "expires_at", "created_at", "last_used_at"} for each in listed
    )
    assert first["key"] not in answer.text
    assert second["key"][20:] not in answer.text
    assert answer.headers["cache-control"] == "no-store"


async def test_a_revoked_key_is_over_at_once_and_gone_from_the_list(mini):
    alice, visitor = await mini.signed_in(), mini.visitor()
    made, other = await make_key(alice), await make_key(alice)
    assert (await visitor.get("/who", headers=by_header(made["key"]))).status_code == 200
    assert (await alice.delete(f"/auth/api-keys/{made['id']}")).status_code == 204
    refused(await visitor.get("/who", headers=by_header(made["key"])), 401, "invalid_token")
    assert (await visitor.get("/who", headers=by_header(other["key"]))).status_code == 200
    assert [each["id"] for each in (await alice.get("/auth/api-keys")).json()] == [other["id"]]
    refused(await alice.delete(f"/auth/api-keys/{made['id']}"), 404, "not_found")
    (event,) = mini.heard(ApiKeyRevoked)
    assert (event.key_id, event.reason, event.subject) == (made["id"], "revoked", alice.account.subject)


async def test_nobody_touches_another_s_key(mini):
    alice, bob = await mini.signed_in(), await mini.signed_in("bob@example.com")
    made = await make_key(alice)
    refused(await bob.delete(f"/auth/api-keys/{made['id']}"), 404, "not_found")
    refused(await bob.post(f"/auth/api-keys/{made['id']}/rotate"), 404, "not_found")
    for odd in ("x", "ä", "%00", "a" * 5000, "1234567890123456"):
        refused(await alice.delete(f"/auth/api-keys/{odd}"), 404, "not_found")
        refused(await alice.post(f"/auth/api-keys/{odd}/rotate"), 404, "not_found")
    assert (await mini.visitor().get("/who", headers=by_header(made["key"]))).status_code == 200


async def test_a_key_expires(mini):
    alice, visitor = await mini.signed_in(), mini.visitor()
    made = await make_key(alice, expires_in_days=1)
    assert (await visitor.get("/who", headers=by_header(made["key"]))).status_code == 200
    mini.clock.advance(hours=23, minutes=59)
    assert (await visitor.get("/who", headers=by_header(made["key"]))).status_code == 200
    mini.clock.advance(minutes=2)
    refused(await visitor.get("/who", headers=by_header(made["key"])), 401, "invalid_token")


async def test_last_use_is_written_beside_the_requests_and_once_a_minute(mini):
    alice, visitor = await mini.signed_in(), mini.visitor()
    made = await make_key(alice)
    used = datetime.now(UTC)
    await visitor.get("/who", headers=by_header(made["key"]))

    async def last_used():
        (listed,) = (await alice.get("/auth/api-keys")).json()
        return listed["last_used_at"] and moment(listed["last_used_at"])

    assert await last_used() is None
    await mini.auth.kernel.last_seen.write()
    first = await last_used()
    assert abs(first - used) < timedelta(minutes=1)
    await visitor.get("/who", headers=by_header(made["key"]))
    await mini.auth.kernel.last_seen.write()
    assert await last_used() == first, "another worker has just written it"
    mini.clock.advance(minutes=1)
    await visitor.get("/who", headers=by_header(made["key"]))
    await mini.auth.kernel.last_seen.write()
    assert await last_used() > first


async def test_the_python_api_obeys_the_same_limits(mini, monkeypatch):
    account = await mini.account()
    keys = mini.auth[ApiKeys]
    row = await mini.auth.kernel.users.load(account.subject)
    for user in (row, account, account.id, account.subject):
        new = await keys.create(user, name="worker", scopes=["items:read"])
        assert new.text not in repr(new)
        assert (await mini.visitor().get("/items", headers=by_header(new.text))).status_code == 200
    with pytest.raises(Unprocessable):
        await keys.create(account, scopes=["not a permission"])
    with pytest.raises(Unprocessable):
        await keys.create(account, scopes=[])
    with pytest.raises(NotFound):
        await keys.create("nobody")
    monkeypatch.setattr(keys, "per_user", 4)
    with pytest.raises(TooManyKeys):
        await keys.create(account)


async def test_one_user_s_keys_are_bounded(mini, monkeypatch):
    alice = await mini.signed_in()
    monkeypatch.setattr(mini.auth[ApiKeys], "per_user", 2)
    made = await make_key(alice)
    await make_key(alice, expires_in_days=1)
    refused(await alice.post("/auth/api-keys", json={"name": "third"}), 409, "too_many_keys")
    await alice.delete(f"/auth/api-keys/{made['id']}")
    await make_key(alice)
    mini.clock.advance(days=2)
    await alice.login()
    await make_key(alice)


async def test_keys_end_with_their_owner(mini):
    alice = await mini.signed_in()
    made = await make_key(alice)
    visitor = mini.visitor()
    assert (await visitor.get("/who", headers=by_header(made["key"]))).status_code == 200
    answer = await alice.request("DELETE", "/users/me", json={"password": "correct horse battery staple"})
    assert answer.status_code == 204
    refused(await visitor.get("/who", headers=by_header(made["key"])), 401, "invalid_token")


async def test_ended_keys_are_purged_after_a_month(mini):
    alice = await mini.signed_in()
    revoked, expired, live = await make_key(alice), await make_key(alice, expires_in_days=1), await make_key(alice)
    await alice.delete(f"/auth/api-keys/{revoked['id']}")
    keys = mini.auth[ApiKeys]
    mini.clock.advance(days=29)
    await keys.purge()
    assert await keys.store.find(revoked["id"]) is not None
    mini.clock.advance(days=3)
    await keys.purge()
    assert [await keys.store.find(key["id"]) for key in (revoked, expired)] == [None, None]
    assert await keys.store.find(live["id"]) is not None
