"""What administrators may do with other people's accounts (contract, *Administration*)."""

import asyncio
from uuid import uuid4

import pytest
from tests.features.answers import named_fields, refused

from limen import Accounts, Role, Roles
from limen.errors import Forbidden, InsufficientScope, LastAdmin
from limen.events import AccountDeleted, AccountUpdated, RightsChanged, SessionsEnded

pytestmark = pytest.mark.anyio

ROLES = (
    Role("member", ["items:read", "items:write"], default=True),
    Role("editor", ["items"]),
    Role("support", ["users:read", "users:write", "items:read"]),
    Role("reader", ["users:read"]),
    Role("remover", ["users:delete"]),
    Role("badge", []),
    Role("admin", ["*"]),
)


@pytest.fixture
async def mini(opened):
    return await opened(roles=ROLES)


async def test_the_list_goes_on_from_page_to_page(mini):
    admin = await mini.signed_in("admin@example.com", roles=["admin"])
    for number in range(5):
        await mini.account(f"user{number}@example.com")
    seen, query = [], "?limit=2"
    while query is not None:
        answer = await admin.get(f"/users{query}")
        assert answer.status_code == 200, answer.text
        seen += [user["email"] for user in answer.json()]
        link = answer.headers.get("link")
        query = link and link.partition("<")[2].partition(">")[0]
    assert sorted(seen) == sorted(["admin@example.com", *(f"user{number}@example.com" for number in range(5))])


async def test_the_list_is_searched_and_filtered(mini):
    admin = await mini.signed_in("admin@example.com", roles=["admin"])
    await mini.account("bob@example.com", roles=["editor"])
    await mini.account("bert@example.com", username="Zed")
    for query, found in (
        ("q=bo", {"bob@example.com"}),
        ("q=BO", {"bob@example.com"}),
        ("q=b", {"bob@example.com", "bert@example.com"}),
        ("q=zed", {"bert@example.com"}),
        ("q=%25", set()),
        ("q=_", set()),
        ("role=editor", {"bob@example.com"}),
        ("role=nobody", set()),
        ("role=member&q=b", {"bert@example.com"}),
    ):
        answer = await admin.get(f"/users?{query}")
        assert {user["email"] for user in answer.json()} == found, query
    for query in ("limit=0", "limit=201", "limit=x", "cursor=not-an-id", "q=%00", "role=%00", "sort=email"):
        refused(await admin.get(f"/users?{query}"), 422, "validation_error")


async def test_each_route_asks_for_its_permission(mini):
    bob = await mini.account("bob@example.com")
    calls = {
        "users:read": [("GET", "/users", None), ("GET", f"/users/{bob.id}", None)],
        "users:write": [
            ("PATCH", f"/users/{bob.id}", {"is_verified": True}),
            ("PUT", f"/users/{bob.id}/roles", {"roles": ["member"]}),
            ("PUT", f"/users/{bob.id}/permissions", {"permissions": []}),
            ("POST", f"/users/{bob.id}/sign-out", None),
        ],
        "users:delete": [("DELETE", f"/users/{bob.id}", None)],
    }
    people = {
        name: await mini.signed_in(f"{name}@example.com", roles=[name]) for name in ("member", "reader", "remover")
    }
    support = await mini.signed_in("support@example.com", roles=["support"])
    allowed = {"users:read": "reader", "users:write": "support", "users:delete": "remover"}
    people["support"] = support
    for permission, routes in calls.items():
        for method, path, body in routes:
            options = {} if body is None else {"json": body}
            refused(await mini.visitor().request(method, path, **options), 401, "not_authenticated")
            for name in ("member", "remover" if permission != "users:delete" else "reader"):
                answer = await people[name].request(method, path, **options)
                assert refused(answer, 403, "insufficient_scope")["scope"] == permission
            answer = await people[allowed[permission]].request(method, path, **options)
            assert answer.status_code in (200, 204), (method, path, answer.text)


async def test_an_unknown_account_is_not_found(mini):
    admin = await mini.signed_in("admin@example.com", roles=["admin"])
    for user_id in (uuid4(), "7", "not-an-id", "%00"):
        refused(await admin.get(f"/users/{user_id}"), 404, "not_found")
        refused(await admin.patch(f"/users/{user_id}", json={"is_active": False}), 404, "not_found")
        refused(await admin.delete(f"/users/{user_id}"), 404, "not_found")
        refused(await admin.post(f"/users/{user_id}/sign-out"), 404, "not_found")
        refused(await admin.request("PUT", f"/users/{user_id}/roles", json={"roles": []}), 404, "not_found")
        refused(await admin.request("PUT", f"/users/{user_id}/permissions", json={"permissions": []}), 404, "not_found")


async def test_who_is_shut_out_is_refused_at_once_and_may_come_back(mini):
    admin = await mini.signed_in("admin@example.com", roles=["admin"])
    bob = await mini.signed_in("bob@example.com")
    answer = await admin.patch(f"/users/{bob.account.id}", json={"is_active": False, "is_verified": True})
    assert (answer.json()["is_active"], answer.json()["is_verified"]) == (False, True)
    refused(await bob.me(), 401, "invalid_token")
    assert {event.fields for event in mini.heard(AccountUpdated)} == {("is_active",), ("is_verified",)}
    assert (await admin.patch(f"/users/{bob.account.id}", json={"is_active": True})).json()["is_active"] is True
    refused(await bob.me(), 401, "invalid_token")
    assert (await bob.login("bob@example.com")).status_code == 200
    assert (await bob.me()).status_code == 200
    assert (await admin.patch(f"/users/{bob.account.id}", json={})).status_code == 200


async def test_who_is_signed_out_may_sign_in_again(mini):
    admin = await mini.signed_in("admin@example.com", roles=["admin"])
    bob = await mini.signed_in("bob@example.com")
    assert (await admin.post(f"/users/{bob.account.id}/sign-out")).status_code == 204
    refused(await bob.me(), 401, "invalid_token")
    assert [event.reason for event in mini.heard(SessionsEnded)] == ["signed_out_by_admin"]
    assert (await admin.post(f"/users/{bob.account.id}/sign-out")).status_code == 204
    assert (await bob.login("bob@example.com")).status_code == 200


async def test_a_deleted_account_is_gone(mini):
    admin = await mini.signed_in("admin@example.com", roles=["admin"])
    bob = await mini.signed_in("bob@example.com")
    assert (await admin.delete(f"/users/{bob.account.id}")).status_code == 204
    refused(await bob.me(), 401, "invalid_token")
    refused(await admin.get(f"/users/{bob.account.id}"), 404, "not_found")
    assert [event.subject for event in mini.heard(AccountDeleted)] == [str(bob.account.id)]


async def test_a_change_of_rights_is_felt_on_live_credentials_and_brought_by_the_next_sign_in(mini):
    admin = await mini.signed_in("admin@example.com", roles=["admin"])
    bob = await mini.signed_in("bob@example.com", roles=["editor"])
    answer = await admin.request("PUT", f"/users/{bob.account.id}/roles", json={"roles": ["member", "member"]})
    assert answer.json()["roles"] == ["member"]
    answer = await admin.request("PUT", f"/users/{bob.account.id}/permissions", json={"permissions": ["items:export"]})
    assert (answer.json()["roles"], answer.json()["permissions"]) == (["member"], ["items:export"])
    refused(await bob.me(), 401, "invalid_token")
    assert (await bob.refresh()).json()["scope"] == "items:export items:read items:write"
    assert len(mini.heard(RightsChanged)) == 2


async def test_unknown_names_are_refused(mini):
    admin = await mini.signed_in("admin@example.com", roles=["admin"])
    path = f"/users/{admin.account.id}"
    for name in ("admn", "Admin", "", "adm\u0456n", "editor ", "a" * 65):
        answer = await admin.request("PUT", f"{path}/roles", json={"roles": ["admin", name]})
        assert refused(answer, 422, "validation_error")["errors"], name
    for name in ("itms:read", "items:raed", "Items", "items read", "", "orders:read", "**", "items:\u0440ead"):
        answer = await admin.request("PUT", f"{path}/permissions", json={"permissions": ["*", name]})
        assert named_fields(refused(answer, 422, "validation_error")) == {"permissions"}, name
    for body in ({}, {"roles": "admin"}, {"roles": ["admin"], "permissions": ["*"]}, {"roles": [7]}, {"roles": None}):
        refused(await admin.request("PUT", f"{path}/roles", json=body), 422, "validation_error")
    assert (await admin.me()).json()["roles"] == ["admin"]


async def test_nobody_grants_what_they_do_not_hold(mini):
    support = await mini.signed_in("support@example.com", roles=["support"])
    bob = await mini.account("bob@example.com", roles=["member"])
    for target in (bob.id, support.account.id):
        for roles, missing in ((["admin"], "*"), (["editor"], "items"), (["member", "editor"], "items")):
            held = ["support"] if target == support.account.id else ["member"]
            answer = await support.request("PUT", f"/users/{target}/roles", json={"roles": [*held, *roles]})
            assert missing in refused(answer, 403, "insufficient_scope")["scope"].split()
        for permission in ("*", "items", "items:write", "users", "users:delete"):
            answer = await support.request("PUT", f"/users/{target}/permissions", json={"permissions": [permission]})
            assert refused(answer, 403, "insufficient_scope")["scope"] == permission
    refused(await support.request("PUT", f"/users/{bob.id}/roles", json={"roles": ["badge"]}), 403, "forbidden")
    for body, path in (
        ({"permissions": ["items:read", "items:read:own", "users:write"]}, "permissions"),
        ({"roles": ["member", "reader", "support"]}, "roles"),  # member is kept, not granted
        ({"roles": []}, "roles"),
    ):
        assert (await support.request("PUT", f"/users/{bob.id}/{path}", json=body)).status_code == 200, body


async def test_a_narrowed_credential_grants_no_more_than_it_carries(mini):
    admin = await mini.signed_in("admin@example.com", roles=["admin"], scope="users:write items:read")
    bob = await mini.account("bob@example.com", roles=[])
    refused(await admin.request("PUT", f"/users/{bob.id}/roles", json={"roles": ["admin"]}), 403, "insufficient_scope")
    answer = await admin.request("PUT", f"/users/{bob.id}/permissions", json={"permissions": ["items:read"]})
    assert answer.status_code == 200


async def test_the_python_api_obeys_the_same_rules(mini):
    support = await mini.account("support@example.com", roles=["support"])
    bob = await mini.account("bob@example.com", roles=[])
    browser = mini.visitor()
    await browser.login("support@example.com")
    principal = await principal_of(mini, browser)
    assert principal.subject == str(support.id)
    with pytest.raises(InsufficientScope):
        await mini.auth[Roles].assign(bob.id, by=principal, roles=["admin"])
    with pytest.raises(Forbidden):
        await mini.auth[Roles].assign(bob.id, by=principal, roles=["badge"])
    assert (await mini.auth[Roles].assign_as_operator(bob.id, roles=["admin"])).held.roles == {"admin"}
    with pytest.raises(LastAdmin):
        await mini.auth[Roles].assign_as_operator(bob.id, roles=[])
    with pytest.raises(LastAdmin):
        await mini.auth[Accounts].set_active(bob.id, False)
    with pytest.raises(LastAdmin):
        await mini.auth[Accounts].remove(bob.id)


@pytest.mark.parametrize("way", ["by role", "directly"])
async def test_the_last_administrator_stays(mini, way):
    held = {"roles": ["admin"]} if way == "by role" else {"permissions": ["*"]}
    admin = await mini.signed_in("admin@example.com", roles=["admin"])
    if way == "directly":
        await mini.auth[Roles].assign_as_operator(admin.account.id, **held)
        await mini.auth[Roles].assign_as_operator(admin.account.id, roles=[])
        await admin.refresh()
    path = f"/users/{admin.account.id}"
    body = {key: [] for key in held}
    for call in (
        admin.request("PUT", f"{path}/{next(iter(held))}", json=body),
        admin.patch(path, json={"is_active": False}),
        admin.delete(path),
        admin.request("DELETE", "/users/me", json={"password": "correct horse battery staple"}),
    ):
        refused(await call, 409, "last_admin")
    assert (await admin.me()).status_code == 200
    asleep = await mini.account("asleep@example.com", roles=["admin"])
    await mini.auth[Accounts].set_active(asleep.id, False)
    refused(await admin.delete(path), 409, "last_admin")  # a disabled one does not count
    await mini.account("other@example.com", roles=["admin"])
    assert (await admin.delete(path)).status_code == 204


async def test_where_nobody_administers_nobody_is_held(mini):
    bob = await mini.account("bob@example.com")
    await mini.auth[Accounts].set_active(bob.id, False)
    await mini.auth[Accounts].remove(bob.id)


@pytest.mark.parametrize("deed", ["demote", "disable", "delete", "mixed"])
async def test_administrators_who_remove_each_other_leave_one(mini, deed):
    deeds = {
        "demote": lambda user: mini.auth[Roles].assign_as_operator(user, roles=[]),
        "disable": lambda user: mini.auth[Accounts].set_active(user, False),
        "delete": lambda user: mini.auth[Accounts].remove(user),
    }
    for attempt in range(5):
        admins = [await mini.account(f"a{attempt}-{number}@example.com", roles=["admin"]) for number in range(4)]
        chosen = list(deeds.values()) if deed == "mixed" else [deeds[deed]]
        calls = [chosen[number % len(chosen)](admin.id) for number, admin in enumerate(admins)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        refusals = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert [type(refusal) for refusal in refusals] == [LastAdmin], outcomes
        left = [account for account in await mini.auth[Accounts].list(role="admin") if account.held.is_active]
        assert len(left) == 1
        # The next round begins without an administrator.
        async with mini.auth.kernel.database.transaction() as connection:
            await mini.auth.kernel.users.remove(connection, left[0].id)


async def test_two_administrators_demote_each_other_over_http(mini):
    one = await mini.signed_in("one@example.com", roles=["admin"])
    two = await mini.signed_in("two@example.com", roles=["admin"])
    answers = await asyncio.gather(
        one.request("PUT", f"/users/{two.account.id}/roles", json={"roles": []}),
        two.request("PUT", f"/users/{one.account.id}/roles", json={"roles": []}),
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses in ([200, 401], [200, 409]), [answer.text for answer in answers]
    assert len(await mini.auth[Accounts].list(role="admin")) == 1


async def principal_of(mini, browser):
    from limen.http.scheme import Carrier, Presented

    return await mini.auth.kernel.authenticator.prove(Presented(Carrier.BEARER, browser.access_token))
