"""Scope asked at login: granted = asked ∩ what the user's roles and permissions allow.

Only a sign-in with tokens says what was granted, and only tokens are refreshed: what is read off these runs once.
"""

import pytest
from tests.features.answers import oauth_refused, refused
from tests.features.mini_app import both_carriers

from limen import Auth, Roles
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio


def routes(app, auth: Auth):
    from fastapi import Depends

    @app.get("/read", dependencies=[Depends(auth.require("items:read"))])
    async def read() -> str:
        return "read"

    @app.get("/delete", dependencies=[Depends(auth.require("items:delete"))])
    async def delete() -> str:
        return "delete"


@pytest.fixture
async def mini(opened):
    return await opened(routes=routes)


async def test_what_is_granted_is_asked_and_held(mini):
    await mini.account()
    alice = mini.visitor()
    for asked, granted in (
        (None, "items:read items:write"),
        ("", "items:read items:write"),
        ("items:read", "items:read"),
        ("items:read items:write", "items:read items:write"),
        ("items", "items:read items:write"),
        ("*", "items:read items:write"),
        ("items:*", "items:read items:write"),
        ("items:read users:write", "items:read"),
        ("items:read:own", "items:read:own"),
        ("items:read items:read", "items:read"),
        ("openid profile https://example.com/read", ""),
        ("users:write", ""),
    ):
        assert (await alice.login(scope=asked)).json()["scope"] == granted, asked
        assert (await alice.get("/delete")).status_code == 403, asked


@both_carriers
async def test_a_narrowed_sign_in_may_do_only_what_it_was_narrowed_to(mini):
    editor = await mini.signed_in(roles=["editor"], scope="items:read")
    assert (await editor.get("/read")).status_code == 200
    answer = await editor.get("/delete")
    assert refused(answer, 403, "insufficient_scope")["scope"] == "items:delete"
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="limen", error="insufficient_scope", '
        'error_description="The credential does not carry the permission that this needs.", scope="items:delete"'
    )


@both_carriers
async def test_a_narrowed_sign_in_does_not_pass_for_the_whole_role(opened):
    from fastapi import Depends

    from limen import role

    def admin_route(app, auth):
        @app.get("/admin", dependencies=[Depends(auth.require(role("admin")))])
        async def admin() -> str:
            return "admin"

    mini = await opened(routes=admin_route)
    whole = await mini.signed_in(roles=["admin"])
    assert (await whole.get("/admin")).status_code == 200
    narrowed = mini.visitor()
    assert (await narrowed.login(scope="items:read")).status_code == 200
    refused(await narrowed.get("/admin"), 403, "forbidden")


async def test_a_refresh_keeps_what_the_sign_in_was_narrowed_to(mini):
    editor = await mini.signed_in(roles=["editor"], scope="items:read")
    assert (await editor.refresh()).json()["scope"] == "items:read"
    assert (await editor.get("/delete")).status_code == 403


@both_carriers
async def test_rights_that_come_later_do_not_widen_a_narrowed_sign_in(mini):
    alice = await mini.signed_in(scope="items:read")
    await mini.auth[Roles].assign_as_operator(alice.account.id, roles=["admin"])
    if alice.carrier == "bearer":
        assert (await alice.refresh()).json()["scope"] == "items:read"
    assert (await alice.get("/read")).status_code == 200
    refused(await alice.get("/delete"), 403, "insufficient_scope")


async def test_a_malformed_scope_is_refused(mini):
    await mini.account()
    visitor = mini.visitor()
    for scope in (" ", "a  b", " a", "a ", 'a"b', "a\\b", "a\tb", "ä", "a\x00b", "a " * 200, "x" * 4097):
        refused(await visitor.login(scope=scope), 400, "invalid_scope")
        form = {"grant_type": "password", "username": "alice@example.com", "password": PASSWORD, "scope": scope}
        oauth_refused(await visitor.post("/auth/token", data=form), 400, "invalid_scope")
