"""An issuer that publishes its keys, a service that trusts it, and a clock whose waiting can be turned too."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI
from tests.features.trusted_issuers.key_server import KeyServer

from limen import Principal, TrustedIssuer, Verifier
from limen.testing import FakeClock

Visit = Callable[..., Any]


class TurnedClock(FakeClock):
    """Waiting is fooled as well: a cooldown of 30 s takes no time."""

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead.total_seconds()


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def issuer() -> Iterator[KeyServer]:
    with KeyServer() as server:
        yield server


@pytest.fixture
def other_issuer() -> Iterator[KeyServer]:
    with KeyServer() as server:
        yield server


def guarded_app(guards: Any) -> FastAPI:
    """A small service: who I am, and something that needs a permission."""
    app = FastAPI()
    guards.install(app)

    @app.get("/who")
    async def who(principal: Annotated[Principal, Depends(guards.current_principal)]) -> dict[str, Any]:
        return {
            "sub": principal.subject,
            "iss": principal.issuer,
            "permissions": sorted(principal.permissions),
            "roles": sorted(principal.roles),
            "sid": principal.session_id,
        }

    @app.get("/items", dependencies=[Depends(guards.require("items:read"))])
    async def items() -> list[str]:
        return []

    return app


class Service:
    """A service that runs, and requests to it."""

    def __init__(self, app: FastAPI, client: httpx2.AsyncClient, guards: Any) -> None:
        self.app = app
        self.client = client
        self._guards = guards

    async def who(self, token: str, path: str = "/who") -> httpx2.Response:
        return await self.client.get(path, headers={"Authorization": f"Bearer {token}"})

    async def landed(self) -> None:
        """Wait for the fetch that a request of a verifier's may have begun beside it."""
        await self._guards._issuer.keys._landed()


@pytest.fixture
async def opened() -> AsyncIterator[Visit]:
    """Runs the app of whatever guards it: `service = await opened(Verifier(…))`."""
    async with AsyncExitStack() as stack:

        async def open_one(guards: Any) -> Service:
            app = guarded_app(guards)
            await stack.enter_async_context(app.router.lifespan_context(app))
            transport = httpx2.ASGITransport(app)
            client = httpx2.AsyncClient(transport=transport, base_url="http://service.test")
            return Service(app, await stack.enter_async_context(client), guards)

        yield open_one


@pytest.fixture
async def service(opened: Visit, issuer: KeyServer, clock: TurnedClock) -> Service:
    """A service that trusts the issuer."""
    return await opened(Verifier(TrustedIssuer(issuer.issuer), clock=clock))
