"""One decision per guard, one verification per request, and a line of log for each decision where it is asked for."""

import json
import logging
from typing import Annotated

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Security
from tests.features.mini_app import features_of, settings_of

from limen import Auth, Principal, Role, User, role, shadow
from limen.testing import as_user, create_tables

pytestmark = pytest.mark.anyio


@pytest.fixture
async def auth(tmp_path):
    auth = Auth(
        settings=settings_of(f"sqlite+aiosqlite:///{tmp_path}/limen.db"),
        features=features_of(),
        roles=[Role("member", ["items:read", "items:write"]), Role("editor", ["items"])],
    )
    await create_tables(auth)
    async with auth:
        yield auth


def client_of(app: FastAPI) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost:8000")


async def test_one_verification_however_many_guards(auth) -> None:
    app = FastAPI(dependencies=[Depends(auth.current_principal)])
    router = APIRouter(dependencies=[Depends(auth.require("items:read"))])

    def nested(principal: Annotated[Principal, Security(auth.current_principal, scopes=["items:write"])]) -> Principal:
        return principal

    def deeper(
        outer: Annotated[Principal, Depends(nested)], inner: Annotated[Principal, Depends(auth.require(role("member")))]
    ) -> bool:
        return outer is inner

    @router.get("/items", dependencies=[Depends(auth.require("items:write"))])
    async def items(
        same: Annotated[bool, Depends(deeper)],
        user: Annotated[User, Security(auth.current_user, scopes=["items:read"])],
        optional: Annotated[User | None, Depends(auth.optional_user)],
    ) -> bool:
        return same and optional is not None

    auth.install(app)
    app.include_router(router, dependencies=[Depends(auth.require("items"))], prefix="/editors")
    app.include_router(router)
    (bearer,) = (each for each in auth.kernel.authenticator.schemes if each.name == "OAuth2PasswordBearer")
    verified, verify = [], type(bearer).verify

    async def counted(self, presented):
        verified.append(presented)
        return await verify(self, presented)

    type(bearer).verify = counted
    try:
        person = await as_user(auth, roles=["member"])
        async with client_of(app) as client:
            assert (await client.get("/items", headers=person.headers)).json() is True
            assert len(verified) == 1
            assert (
                await client.get("/items", headers={"Authorization": f"Bearer {person.access_token[:-4]}AAAA"})
            ).status_code == 401
            assert len(verified) == 2
            assert (await client.get("/editors/items", headers=person.headers)).status_code == 403
            assert len(verified) == 2  # remembered from the first request
    finally:
        type(bearer).verify = verify


async def test_decisions_are_logged_with_their_reasons(auth, caplog) -> None:
    app = FastAPI()
    auth.install(app)
    app.get("/items", dependencies=[Depends(auth.require("items:read" & (role("editor") | "items:write")))])(lambda: 1)
    app.get("/all", dependencies=[Depends(auth.require("items"))])(lambda: 1)
    person = await as_user(auth, roles=["member"])
    with caplog.at_level(logging.DEBUG, "limen.decisions"):
        async with client_of(app) as client:
            assert (await client.get("/items", headers=person.headers)).status_code == 200
            assert (await client.get("/all", headers=person.headers)).status_code == 403
    first, second = (json.loads(each.getMessage()) for each in caplog.records if each.name == "limen.decisions")
    assert (first["allowed"], first["path"], first["subject"]) == (True, "/items", person.subject)
    assert first["steps"] == [
        [1, "items:read", True],
        [1, "role editor | items:write", True],
        [2, "role editor", False],
        [2, "items:write", True],
    ]
    assert (second["allowed"], second["policy"], second["steps"]) == (False, "items", [])
    assert person.access_token not in caplog.text


async def test_a_policy_on_trial_refuses_nobody(auth, caplog) -> None:
    app = FastAPI()
    auth.install(app)
    app.get("/items", dependencies=[Depends(auth.require("items:read" & shadow(role("editor"))))])(lambda: 1)
    person = await as_user(auth, roles=["member"])
    async with client_of(app) as client:
        assert (await client.get("/items", headers=person.headers)).status_code == 200
        caplog.clear()
        assert (await client.get("/items", headers=person.headers)).status_code == 200
    assert [each.getMessage() for each in caplog.records if each.name == "limen.shadow"] == [
        f"role editor would refuse {person.subject} by access_token"
    ]
