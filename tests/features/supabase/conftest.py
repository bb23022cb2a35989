"""A project that answers by Supabase's own contract, an app whose people sign in there, and their browsers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from starlette.responses import StreamingResponse
from tests.features.conftest import NewDatabase
from tests.features.mini_app import Browser, MiniApp, features_of, open_app
from tests.features.supabase.contract import CheckedSupabase

from limen import Auth, Principal
from limen.features import Supabase
from limen.testing import FakeClock
from limen.testing.supabase import FakeUser

PASSWORD = "one green door"
ALICE = {"email": "alice@example.com", "password": PASSWORD}


def routes(app: FastAPI, auth: Auth[Any]) -> None:
    @app.get("/me")
    async def me(user: Annotated[Any, Depends(auth.current_user)]) -> dict[str, Any]:
        return {"id": str(user.id), "email": user.email, "is_verified": user.is_verified}

    @app.get("/who")
    async def who(principal: Annotated[Principal, Depends(auth.current_principal)]) -> dict[str, Any]:
        said = {"iss": principal.issuer, "sub": principal.subject, "account": principal.account}
        rights = {"permissions": sorted(principal.permissions), "roles": sorted(principal.roles)}
        proved = {"amr": list(principal.amr), "sid": principal.session_id, "credential": principal.credential}
        return {**said, **rights, **proved, "aal": principal.claims.get("aal")}

    @app.get("/stream")
    async def stream(_: Annotated[Principal, Depends(auth.current_principal)]) -> StreamingResponse:
        async def forever() -> AsyncIterator[str]:
            yield "hello"
            await asyncio.sleep(3600)

        return StreamingResponse(forever())

    @app.get("/items", dependencies=[Depends(auth.require("items:read"))])
    async def items() -> list[str]:
        return []

    @app.post("/items", dependencies=[Depends(auth.require("items:write"))])
    async def add_item() -> list[str]:
        return []


class SupabaseApp:
    """The app, the project, and who visits."""

    def __init__(self, mini: MiniApp, project: CheckedSupabase) -> None:
        self.mini = mini
        self.project = project

    @property
    def auth(self) -> Auth[Any]:
        return self.mini.auth

    def browser(self) -> Browser:
        browser = self.mini.visitor()
        browser.carrier = "cookie"
        return browser

    def bearer(self, token: str) -> Browser:
        browser = self.mini.visitor()
        browser.carrier, browser.tokens = "bearer", {"access_token": token}
        return browser

    def user(self, email: str = "alice@example.com", **more: Any) -> FakeUser:
        return self.project.add_user(email, PASSWORD, **more)

    async def signed_in(self, email: str = "alice@example.com", **more: Any) -> Browser:
        """The browser of somebody whom the project knows and who has just signed in there."""
        self.user(email, **more)
        browser = self.browser()
        answer = await browser.post("/auth/supabase/sign-in", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return browser

    async def carried(self, carrier: str, email: str = "alice@example.com", **more: Any) -> Browser:
        """The same, or a client that has the token."""
        if carrier == "cookie":
            return await self.signed_in(email, **more)
        return self.bearer(self.project.sign_in(self.user(email, **more)).access_token)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def project(clock: FakeClock) -> Iterator[CheckedSupabase]:
    """Every request to it and every answer of it is compared with the contract."""
    with CheckedSupabase(clock=clock) as project:
        yield project
    assert project.violations == []


@pytest.fixture
async def opened(new_database: NewDatabase, database_url: str, clock: FakeClock) -> AsyncIterator[Any]:
    """Opens apps on this test's database whose people sign in at a project."""
    async with AsyncExitStack() as stack:

        async def open_one(project: CheckedSupabase, **options: Any) -> SupabaseApp:
            own = {name: options.pop(name) for name in ("user", "settings", "roles") if name in options}
            url = new_database(with_tables=False) if "user" in own else database_url
            feature = Supabase(project.url, **{"key": project.key, **options})
            features = features_of(feature)
            opening = open_app(url, features=features, routes=routes, clock=clock, has_tables="user" not in own, **own)
            return SupabaseApp(await stack.enter_async_context(opening), project)

        yield open_one


@pytest.fixture
async def app(opened: Any, project: CheckedSupabase) -> SupabaseApp:
    return await opened(project)
