"""Who holds what, and how soon a change of it is felt."""

import pytest
from fastapi import Depends
from tests.features.answers import INVALID_TOKEN, refused
from tests.features.mini_app import both_carriers

from limen import Roles, role
from limen.errors import NotFound, Unprocessable
from limen.events import RightsChanged

pytestmark = pytest.mark.anyio


def routes(app, auth):
    @app.get("/delete", dependencies=[Depends(auth.require("items:delete"))])
    async def delete() -> str:
        return "delete"

    @app.get("/admin", dependencies=[Depends(auth.require(role("admin")))])
    async def admin() -> str:
        return "admin"


@pytest.fixture
async def mini(opened):
    return await opened(routes=routes, permissions={"reports": "See reports"})


async def test_a_change_of_roles_refuses_old_tokens_and_a_refresh_brings_the_new_rights(mini):
    alice = await mini.signed_in()
    assert (await alice.get("/delete")).status_code == 403
    await mini.auth[Roles].assign_as_operator(alice.account.id, roles=["editor"])
    answer = await alice.get("/delete")
    refused(answer, 401, "invalid_token")
    assert answer.headers["www-authenticate"] == INVALID_TOKEN
    answer = await alice.refresh()
    assert answer.json()["scope"] == "items"
    assert (await alice.get("/delete")).status_code == 200
    assert (await alice.me()).json()["roles"] == ["editor"]


@both_carriers
async def test_a_right_that_is_taken_is_gone_at_once(mini):
    admin = await mini.signed_in(roles=["admin"])
    await mini.account("another@example.com", roles=["admin"])  # the last one could not be demoted
    assert (await admin.get("/admin")).status_code == 200
    await mini.auth[Roles].assign_as_operator(admin.account.id, roles=["member"])
    assert (await admin.get("/admin")).status_code in (401, 403)
    assert (await admin.get("/delete")).status_code in (401, 403)


async def test_a_change_of_rights_touches_nobody_else(mini):
    alice, bob = await mini.signed_in(), await mini.signed_in("bob@example.com")
    await mini.auth[Roles].assign_as_operator(alice.account.id, roles=["editor"])
    assert (await bob.me()).status_code == 200


async def test_direct_permissions_are_held_beside_roles(mini):
    alice = await mini.signed_in()
    await mini.auth[Roles].assign_as_operator(alice.account.id, permissions=["items:delete", "reports"])
    assert (await alice.refresh()).json()["scope"] == "items:delete items:read items:write reports"
    assert (await alice.get("/delete")).status_code == 200
    body = (await alice.me()).json()
    assert (body["roles"], body["permissions"]) == (["member"], ["items:delete", "reports"])


async def test_roles_and_permissions_are_replaced_apart(mini):
    alice = await mini.signed_in()
    await mini.auth[Roles].assign_as_operator(alice.account.id, permissions=["reports"])
    await mini.auth[Roles].assign_as_operator(alice.account.id, roles=["editor"])
    account = await mini.auth[Roles].assign_as_operator(alice.account.id)
    assert (account.held.roles, account.held.permissions) == (frozenset({"editor"}), frozenset({"reports"}))
    account = await mini.auth[Roles].assign_as_operator(alice.account.id, roles=[], permissions=[])
    assert (account.held.roles, account.held.permissions) == (frozenset(), frozenset())
    assert (await alice.refresh()).json()["scope"] == ""


async def test_what_is_not_declared_is_not_assigned(mini):
    alice = await mini.signed_in()
    for wrong in (
        {"roles": ["superuser"]},
        {"permissions": ["Items:Write"]},
        {"permissions": ["a b"]},
        {"roles": [""]},
    ):
        with pytest.raises(Unprocessable):
            await mini.auth[Roles].assign_as_operator(alice.account.id, **wrong)
    with pytest.raises(NotFound):
        await mini.auth[Roles].assign_as_operator("no such user", roles=["editor"])
    assert (await alice.me()).json()["roles"] == ["member"]


async def test_a_change_of_rights_is_heard_of(mini):
    alice = await mini.signed_in()
    await mini.auth[Roles].assign_as_operator(alice.account.id, roles=["editor", "member"], permissions=["reports"])
    (event,) = mini.heard(RightsChanged)
    assert (event.subject, event.roles, event.permissions) == (
        alice.account.subject,
        ("editor", "member"),
        ("reports",),
    )


async def test_a_role_that_the_code_no_longer_declares_gives_nothing(opened):
    from limen import Role

    before = await opened()
    await before.account(roles=["editor"])
    after = await opened(roles=[Role("member", ["items:read"])])
    alice = after.visitor()
    assert (await alice.login()).json()["scope"] == ""
