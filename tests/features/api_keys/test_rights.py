"""A key never exceeds its owner, at the time of the request, and does not do what only people may."""

import pytest
from tests.features.answers import refused
from tests.features.api_keys.conftest import by_header, make_key

from limen import Accounts, Roles
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio


async def who(mini, key):
    return (await mini.visitor().get("/who", headers=by_header(key["key"]))).json()


async def assign(mini, account, **what):
    await mini.auth[Roles].assign_as_operator(account.id, **what)


async def test_a_key_asks_for_more_than_its_owner_holds_and_carries_what_both_cover(mini):
    alice = await mini.signed_in()
    made = await make_key(alice, scopes=["items", "users:write", "items:read"])
    assert made["scopes"] == ["items", "items:read", "users:write"], "stored as asked"
    assert (await who(mini, made))["permissions"] == ["items:read", "items:write"]
    refused(await mini.visitor().get("/users", headers=by_header(made["key"])), 403, "insufficient_scope")


async def test_a_key_shrinks_and_grows_with_its_owner(mini):
    alice = await mini.signed_in()
    whole, narrow = await make_key(alice), await make_key(alice, scopes=["items:write"])
    visitor = mini.visitor()
    assert (await visitor.post("/items", headers=by_header(narrow["key"]))).status_code == 200
    await assign(mini, alice.account, roles=[], permissions=["items:read"])
    refused(await visitor.post("/items", headers=by_header(narrow["key"])), 403, "insufficient_scope")
    assert (await who(mini, narrow))["permissions"] == []
    assert (await who(mini, whole))["permissions"] == ["items:read"]
    await assign(mini, alice.account, roles=["editor"], permissions=[])
    assert (await who(mini, narrow))["permissions"] == ["items:write"]
    assert ((await who(mini, whole))["roles"], (await who(mini, whole))["permissions"]) == (["editor"], ["items"])


async def test_a_narrowed_key_does_not_pass_for_a_whole_role(mini):
    admin = await mini.signed_in(roles=["admin"])
    assert (await who(mini, await make_key(admin)))["roles"] == ["admin"]
    assert (await who(mini, await make_key(admin, scopes=["items"])))["roles"] == []


async def test_a_disabled_owner_s_keys_are_refused_and_come_back_with_the_owner(mini):
    alice = await mini.signed_in()
    made, visitor = await make_key(alice), mini.visitor()
    assert (await visitor.get("/who", headers=by_header(made["key"]))).status_code == 200
    await mini.auth[Accounts].set_active(alice.account.id, False)
    refused(await visitor.get("/who", headers=by_header(made["key"])), 401, "invalid_token")
    await mini.auth[Accounts].set_active(alice.account.id, True)
    assert (await visitor.get("/who", headers=by_header(made["key"]))).status_code == 200


async def test_a_narrowed_sign_in_makes_no_wider_key(mini):
    narrowed = await mini.signed_in(scope="items:read")
    for asked in (None, ["items"], ["items:read"], ["items:read", "items:write"]):
        made = await make_key(narrowed, **({} if asked is None else {"scopes": asked}))
        assert made["scopes"] == ["items:read"]
        assert (await who(mini, made))["permissions"] == ["items:read"]
    made = await make_key(narrowed, scopes=["items:write"])
    assert made["scopes"] == []
    assert (await who(mini, made))["permissions"] == []


async def test_a_narrowed_sign_in_rotates_no_key_into_a_wider_one(mini):
    alice = await mini.signed_in()
    whole = await make_key(alice)
    narrowed = mini.visitor()
    assert (await narrowed.login(scope="items:read")).status_code == 200
    answer = await narrowed.post(f"/auth/api-keys/{whole['id']}/rotate")
    assert answer.json()["scopes"] == ["items:read"]
    assert (await who(mini, answer.json()))["permissions"] == ["items:read"]


async def test_a_key_does_not_do_what_only_people_may(mini):
    admin, bob = await mini.signed_in(roles=["admin"]), await mini.signed_in("bob@example.com")
    made, other = await make_key(admin), await make_key(admin)
    bobs = await make_key(bob)
    headers, user = by_header(made["key"]), f"/users/{bob.account.subject}"
    robot = mini.visitor()
    service = (await admin.post("/auth/services", json={"name": "robot"})).json()["id"]
    assert (await robot.get("/users", headers=headers)).status_code == 200, "it is an administrator's"
    for method, path, body in (
        ("POST", "/auth/api-keys", {"name": "child"}),
        ("GET", "/auth/api-keys", None),
        ("DELETE", f"/auth/api-keys/{other['id']}", None),
        ("POST", f"/auth/api-keys/{made['id']}/rotate", {}),
        ("POST", f"/users/{service}/api-keys", {"name": "child"}),
        ("DELETE", f"{user}/api-keys/{bobs['id']}", None),
        ("POST", "/auth/services", {"name": "child"}),
        ("POST", f"/auth/services/{service}/secrets", {}),
        ("POST", f"/auth/services/{service}/keys", {"public_key": "x"}),
        ("DELETE", f"/auth/services/{service}/credentials/{'0' * 16}", None),
        ("POST", "/auth/password/change", {"current_password": PASSWORD, "new_password": "another pass phrase"}),
        ("PUT", f"{user}/roles", {"roles": ["admin"]}),
        ("PUT", f"{user}/permissions", {"permissions": ["*"]}),
        ("POST", f"{user}/sign-out", None),
        ("GET", "/auth/sessions", None),
        ("DELETE", "/auth/sessions", None),
        ("POST", "/auth/logout", None),
        ("PATCH", "/users/me", {"username": "robot2"}),
        ("DELETE", "/users/me", {"password": PASSWORD}),
    ):
        answer = await robot.request(method, path, headers=headers, json=body)
        assert answer.status_code in (401, 403), (method, path, answer.text)
        assert answer.json()["code"] in ("forbidden", "insufficient_user_authentication"), (method, path, answer.text)
    assert (await bob.get("/who")).status_code == 200
    assert (await robot.get("/who", headers=by_header(other["key"]))).status_code == 200


async def test_a_route_may_ask_for_one_kind_of_credential(mini):
    alice, visitor = await mini.signed_in(), mini.visitor()
    made = await make_key(alice)
    assert (await visitor.get("/machines", headers=by_header(made["key"]))).status_code == 200
    refused(await alice.get("/machines"), 403, "forbidden")
    assert (await alice.get("/people")).status_code == 200
    refused(await visitor.get("/people", headers=by_header(made["key"])), 403, "forbidden")


async def test_an_administrator_sees_and_takes_back_keys_and_makes_none_for_people(mini):
    admin, bob = await mini.signed_in(roles=["admin"]), await mini.signed_in("bob@example.com")
    made = await make_key(bob)
    path = f"/users/{bob.account.subject}/api-keys"
    assert [each["id"] for each in (await admin.get(path)).json()] == [made["id"]]
    refused(await admin.post(path, json={"name": "for bob"}), 404, "not_found")
    refused(await bob.get(f"/users/{admin.account.subject}/api-keys"), 403, "insufficient_scope")
    assert (await admin.delete(f"{path}/{made['id']}")).status_code == 204
    refused(await mini.visitor().get("/who", headers=by_header(made["key"])), 401, "invalid_token")
