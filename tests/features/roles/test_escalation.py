"""Nobody gets more than they hold: not by a scope that is asked for, not by fields in bodies of other routes."""

import pytest
from tests.features.answers import refused

from limen import Role
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

ROLES = (Role("member", ["items:read"], default=True), Role("admin", ["*"]))
RIGHTS = (
    {"roles": ["admin"]},
    {"permissions": ["*"]},
    {"role": "admin"},
    {"scope": "*"},
    {"is_active": True},
    {"is_verified": True},
    {"rights_epoch": 7},
    {"id": "00000000-0000-0000-0000-000000000001"},
)


@pytest.fixture
async def mini(opened):
    return await opened(roles=ROLES)


async def test_other_bodies_give_no_rights(mini) -> None:
    for rights in RIGHTS:
        refused(await mini.visitor().register("eve@example.com", **rights), 422, "validation_error")
    eve = await mini.signed_in("eve@example.com")
    for method, path, body in (
        ("PATCH", "/users/me", {}),
        ("DELETE", "/users/me", {"password": PASSWORD}),
        ("POST", "/auth/refresh", {"refresh_token": eve.refresh_token}),
        ("POST", "/auth/password/change", {"current_password": PASSWORD, "new_password": "another pass phrase"}),
    ):
        for rights in RIGHTS:
            refused(await eve.request(method, path, json={**body, **rights}), 422, "validation_error")
    me = (await eve.me()).json()
    assert (me["roles"], me["permissions"], me["is_verified"]) == (["member"], [], False)


async def test_forms_give_no_rights(mini) -> None:
    await mini.account("eve@example.com")
    eve = mini.visitor()
    form = {"username": "eve@example.com", "password": PASSWORD, "roles": "admin", "permissions": "*", "role": "admin"}
    for path, more in (("/auth/login", {}), ("/auth/token", {"grant_type": "password"})):
        answer = await eve.client.post(path, data={**form, **more})
        assert answer.json()["scope"] == "items:read", answer.text
        eve.keep(answer)
        assert (await eve.me()).json()["roles"] == ["member"]


@pytest.mark.parametrize(
    "scope", ["*", "items", "items:*", "items:read items:write", "users:write", "admin", "items:read *"]
)
async def test_a_scope_never_adds(mini, scope) -> None:
    eve = await mini.signed_in("eve@example.com", scope=scope)
    granted = set(eve.tokens["scope"].split())
    assert granted <= {"items:read"}
    form = {"grant_type": "refresh_token", "refresh_token": eve.refresh_token, "scope": scope}
    answer = await eve.client.post("/auth/token", data=form)
    assert set(answer.json()["scope"].split()) <= granted
    refused(await eve.get("/users"), 403, "insufficient_scope")


async def test_a_refresh_narrows_its_access_token_only(mini) -> None:
    admin = await mini.signed_in("root@example.com", roles=["admin"])
    form = {"grant_type": "refresh_token", "refresh_token": admin.refresh_token, "scope": "items:read users:read"}
    narrowed = await admin.client.post("/auth/token", data=form)
    assert narrowed.json()["scope"] == "items:read users:read"
    admin.keep(narrowed)
    refused(
        await admin.request("PUT", f"/users/{admin.account.id}/roles", json={"roles": []}), 403, "insufficient_scope"
    )
    assert (await admin.refresh()).json()["scope"] == "*"
