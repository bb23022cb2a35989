"""Holes that were found by attacking the whole, each closed where it was."""

import asyncio
import random

import pytest
from tests.features.answers import refused
from tests.features.mini_app import ROLES, open_app

from limen import Accounts, Auth, Role, Roles
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

FORM = {"username": "alice@example.com", "password": PASSWORD}


@pytest.fixture
def url(tmp_path):
    return f"sqlite+aiosqlite:///{tmp_path}/limen.db"


async def test_a_cancelled_transaction_leaves_sqlite_free_to_write(url):
    async with open_app(url) as mini:
        alice = await mini.account()
        for number in range(60):
            delay = random.Random(number).uniform(0.0002, 0.006)
            try:
                async with asyncio.timeout(delay):
                    await mini.auth[Roles].assign_as_operator(alice.id, roles=["member"])
            except TimeoutError:
                pass
            async with asyncio.timeout(2):
                await mini.auth[Accounts].change(alice.id, values={"is_verified": bool(number % 2)})


async def test_a_cookie_planted_inside_anothers_value_is_no_cookie_of_ours(url):
    async with open_app(url, settings={"base_url": "https://app.example.com"}) as mini:
        await mini.account()
        client = mini.visitor().client
        answer = await client.post("/auth/login?deliver=cookie", data=FORM)
        value = answer.headers["set-cookie"].partition(";")[0].partition("=")[2]
        good = mini.visitor(Cookie=f"__Host-limen={value}").client
        assert (await good.get("/users/me")).status_code == 200  # remembered now
        for planted in (f"x=y __Host-limen={value}", f"x __Host-limen={value}", f"x__Host-limen={value}"):
            refused(await mini.visitor(Cookie=planted).client.get("/users/me"), 401, "not_authenticated")
        for fine in (f"x=y; __Host-limen={value}", f"x=y;__Host-limen={value}; z=1"):
            assert (await mini.visitor(Cookie=fine).client.get("/users/me")).status_code == 200


async def test_a_narrowed_credential_passes_for_no_role_without_permissions(url):
    def routes(app, auth: Auth) -> None:
        from fastapi import Depends

        from limen import role

        @app.get("/vip", dependencies=[Depends(auth.require(role("vip")))])
        async def vip() -> str:
            return "in"

    async with open_app(url, routes=routes, roles=[*ROLES, Role("vip", [])]) as mini:
        whole = await mini.signed_in(roles=["vip", "member"])
        assert (await whole.get("/vip")).status_code == 200
        for scope in ("items:read", "nothing:here"):
            narrowed = mini.visitor()
            await narrowed.login(scope=scope)
            refused(await narrowed.get("/vip"), 403, "forbidden")


async def test_a_shortened_lifetime_holds_for_tokens_that_are_out(tmp_path, url):
    async with open_app(url, settings={"access_token_expire_minutes": 60}) as before:
        alice = await before.signed_in()
        token = dict(alice.credentials())
    async with open_app(url, settings={"access_token_expire_minutes": 5}, has_tables=True) as after:
        visitor = after.visitor(**token).client
        assert (await visitor.get("/users/me")).status_code == 200
        await after.auth[Accounts].set_active(alice.account.id, False)
        for _ in range(10):
            refused(await visitor.get("/auth/sessions"), 401, "invalid_token")
            after.clock.advance(minutes=1)


async def test_only_administrators_act_on_administrators(url):
    helpdesk = Role("helpdesk", ["users:read", "users:write", "users:delete"])
    async with open_app(url, roles=[*ROLES, helpdesk]) as mini:
        for name in ("root@example.com", "second@example.com"):
            admin = await mini.account(name, roles=["admin"])
        member = await mini.account("member@example.com")
        helper = await mini.signed_in("helper@example.com", roles=["helpdesk"])
        path = f"/users/{admin.id}"
        for answer in (
            await helper.request("PUT", f"{path}/roles", json={"roles": []}),
            await helper.request("PATCH", path, json={"is_active": False}),
            await helper.request("POST", f"{path}/sign-out"),
            await helper.request("DELETE", path),
        ):
            refused(answer, 403, "forbidden")
        assert (await helper.request("PATCH", f"/users/{member.id}", json={"is_active": False})).status_code == 200
        assert (await helper.request("DELETE", f"/users/{member.id}")).status_code == 204


async def test_a_token_whose_account_is_unknown_is_refused_as_a_credential(url):
    async with open_app(url) as mini:
        alice = await mini.signed_in()
        import jwt as pyjwt
        from tests.features.mini_app import SECRET

        claims = pyjwt.decode(alice.access_token, options={"verify_signature": False})
        header = pyjwt.get_unverified_header(alice.access_token)
        forged = pyjwt.encode({**claims, "sub": "4f1ee4f5-8a39-4bf4-8a5b-3c8d6c1e6d52"}, SECRET, headers=header)
        visitor = mini.visitor(Authorization=f"Bearer {forged}").client
        refused(await visitor.get("/users/me"), 401, "invalid_token")


async def test_a_header_that_is_not_ascii_is_a_401_at_the_token_endpoint(url):
    async with open_app(url) as mini:
        client = mini.visitor().client
        answer = await client.post(
            "/auth/token", data={"grant_type": "password"}, headers={b"Authorization": b"Basic \xff"}
        )
        assert answer.status_code == 401
        assert answer.json()["error"] == "invalid_client"
