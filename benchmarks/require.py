"""What guards add to a request, beside the unguarded route, turn by turn in one process.

Exits with 1 when `require` adds 10 µs or more to the median. A busy machine makes everything slower: look at both.
"""

import asyncio
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Security

from limen import Accounts, Auth, AuthSettings, Passwords, Principal, Role, Roles, Sessions, Tokens, role
from limen.testing import as_user, create_tables, fast_hasher

ROUNDS, CALLS = 60, 200
LIMIT_MICROSECONDS = 10.0


Declare = Callable[[Auth, FastAPI], None]


def bare(_: Auth, app: FastAPI) -> None:
    @app.get("/")
    async def hello() -> str:
        return "hello"


def authenticated(auth: Auth, app: FastAPI) -> None:
    @app.get("/", dependencies=[Depends(auth.current_principal)])
    async def hello() -> str:
        return "hello"


def permission(auth: Auth, app: FastAPI) -> None:
    @app.get("/", dependencies=[Depends(auth.require("items:write"))])
    async def hello() -> str:
        return "hello"


def parameter(auth: Auth, app: FastAPI) -> None:
    @app.get("/")
    async def hello(_principal: Annotated[Principal, Security(auth.current_principal, scopes=["items:write"])]) -> str:
        return "hello"


def composed(auth: Auth, app: FastAPI) -> None:
    @app.get("/", dependencies=[Depends(auth.require("items:write" & (role("member") | role("editor"))))])
    async def hello() -> str:
        return "hello"


def three_guards(auth: Auth, app: FastAPI) -> None:
    guards = [Depends(auth.require(each)) for each in ("items:read", "items:write", role("editor"))]

    @app.get("/", dependencies=guards)
    async def hello() -> str:
        return "hello"


def bare_router(_: Auth, app: FastAPI) -> None:
    router = APIRouter()

    @router.get("/")
    async def hello() -> str:
        return "hello"

    app.include_router(router)


def permission_router(auth: Auth, app: FastAPI) -> None:
    """A router that knows nothing of limen's route class: FastAPI solves the guard."""
    router = APIRouter(dependencies=[Depends(auth.require("items:write"))])

    @router.get("/")
    async def hello() -> str:
        return "hello"

    app.include_router(router)


EVERY = bare, authenticated, permission, parameter, composed, three_guards, bare_router, permission_router
CASES: dict[str, Declare] = {each.__name__: each for each in EVERY}


def build(url: str, declare: Declare) -> tuple[Auth, FastAPI]:
    """An app of one route; everything else of it is the same for all, the unguarded one too."""
    settings = AuthSettings(_env_file=None, secret_key="s" * 40, database_url=url)  # type: ignore[call-arg]
    features = [Passwords(hasher=fast_hasher()), Tokens(), Sessions(), Accounts(), Roles()]
    auth = Auth(settings=settings, features=features, roles=[Role("editor", ["items"]), Role("member", ["items:read"])])
    app = FastAPI()
    auth.install(app)
    declare(auth, app)
    return auth, app


def caller(app: FastAPI, token: str) -> Callable[[], Awaitable[None]]:
    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())]

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, object]) -> None:
        if message.get("status", 200) != 200:
            raise RuntimeError(f"the app answered {message}")

    async def call() -> None:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/",
            "raw_path": b"/",
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
        }
        await app(scope, receive, send)  # type: ignore[arg-type]

    return call


async def measure(calls: dict[str, Callable[[], Awaitable[None]]]) -> dict[str, list[float]]:
    """Microseconds of this process's time by case, one figure a round; each round asks all, in another order."""
    took: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for turn in range(ROUNDS + 5):
        await asyncio.sleep(0.02)  # nothing of the calls waits, and the revocation log must be followed meanwhile
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            call, begun = calls[name], time.process_time()
            for _ in range(CALLS):
                await call()
            if turn >= 5:  # warm by then
                took[name].append((time.process_time() - begun) / CALLS * 1e6)
    return took


async def main() -> int:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        built = {name: build(f"sqlite+aiosqlite:///{folder}/limen.db", declare) for name, declare in CASES.items()}
        await create_tables(built["bare"][0])
        for auth, _ in built.values():
            await stack.enter_async_context(auth)
        token = (await as_user(built["bare"][0], roles=["editor"])).access_token
        gc.disable()
        took = await measure({name: caller(app, token) for name, (_, app) in built.items()})
        gc.enable()
    return report(took)


def report(took: dict[str, list[float]]) -> int:
    beside = {name: took["bare_router" if name.endswith("_router") else "bare"] for name in took}
    added = {
        name: statistics.median(each - other for each, other in zip(figures, beside[name], strict=True))
        for name, figures in took.items()
    }
    least = {name: min(figures) - min(beside[name]) for name, figures in took.items()}
    print("      median      added  least added  µs of a request")
    for name, figures in took.items():
        print(f"{statistics.median(figures):12.1f} {added[name]:+10.1f} {least[name]:+12.1f}  {name}")
    rounded = {name: {"median": round(added[name], 2), "least": round(least[name], 2)} for name in took}
    if "--json" in sys.argv:
        print(json.dumps({"added_microseconds": rounded, "limit": LIMIT_MICROSECONDS}))
    return int(added["permission"] >= LIMIT_MICROSECONDS)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
