"""An app with keys and services, and a few guarded routes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from sqlalchemy import event, inspect, text
from tests.features.mini_app import MiniApp, features_of

from limen import ApiKeys, Auth, Principal, Services, authenticated, method


def routes(app: FastAPI, auth: Auth[Any]) -> None:
    """Reading, writing, an administrator's page, machines only, people only, and a WebSocket."""
    anyone = Depends(auth.require(authenticated()))

    @app.get("/items", dependencies=[Depends(auth.require("items:read"))])
    async def read_items() -> list[str]:
        return ["lamp"]

    @app.post("/items", dependencies=[Depends(auth.require("items:write"))])
    async def add_item() -> dict[str, bool]:
        return {"added": True}

    @app.get("/machines", dependencies=[Depends(auth.require(method("api_key")))])
    async def machines() -> dict[str, bool]:
        return {"welcome": True}

    @app.get("/people", dependencies=[Depends(auth.require(~method("api_key")))])
    async def people() -> dict[str, bool]:
        return {"welcome": True}

    @app.get("/who")
    async def who(principal: Annotated[Principal, anyone]) -> dict[str, object]:
        return {
            "sub": principal.subject,
            "credential": principal.credential,
            "credential_id": principal.credential_id,
            "session_id": principal.session_id,
            "auth_time": principal.auth_time,
            "permissions": sorted(principal.permissions),
            "roles": sorted(principal.roles),
        }

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, principal: Annotated[Principal, anyone]) -> None:
        await websocket.accept()
        await websocket.send_json({"sub": principal.subject})
        with suppress(WebSocketDisconnect):
            await websocket.receive_text()


@contextmanager
def counted(mini: MiniApp) -> Iterator[list[str]]:
    """Every SQL statement that runs meanwhile, those of following the revocation log aside."""
    statements: list[str] = []

    def note(*call: Any) -> None:
        if "limen_revocations" not in call[2]:
            statements.append(call[2])

    engines = mini.auth.kernel.database.engines
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


async def everything_in(mini: MiniApp) -> str:
    """The whole database as text: every value of every table, bytes as they are and in hex."""
    async with mini.auth.kernel.database.engine.connect() as connection:
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        tables = [(await connection.execute(text(f'SELECT * FROM "{name}"'))).all() for name in names]
    values = [value for table in tables for row in table for value in row]
    told = [value.hex() + value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in values]
    return "\n".join(told)


@pytest.fixture
def open_keys(opened: Callable[..., Any]) -> Callable[..., Any]:
    """Opens the app with `ApiKeys(…)` as given: `mini = await open_keys(unsafe_query=True)`."""

    async def open_one(*, settings: Any = None, **options: Any) -> MiniApp:
        features = features_of(ApiKeys(**options), Services())
        mini: MiniApp = await opened(features=features, routes=routes, settings=settings)
        return mini

    return open_one


@pytest.fixture
async def mini(open_keys: Callable[..., Any]) -> MiniApp:
    """The app with keys as they are by default."""
    return await open_keys()  # type: ignore[no-any-return]


async def make_key(browser: Any, **body: Any) -> dict[str, Any]:
    """A key that this person makes by HTTP."""
    answer = await browser.post("/auth/api-keys", json={"name": "ci", **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def by_header(key: str) -> dict[str, str]:
    return {"X-API-Key": key}


def by_bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
