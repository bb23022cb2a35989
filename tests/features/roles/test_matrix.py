"""The authorization matrix: who gets what at every route, in a snapshot that a review can read."""

import asyncio
from typing import Annotated
from uuid import UUID

import pytest
from fastapi import Depends, FastAPI, WebSocket
from starlette.responses import StreamingResponse
from tests.features.mini_app import features_of, settings_of

from limen import Auth, Role, role
from limen.testing import Matrix, call_matrix, create_tables

pytestmark = pytest.mark.anyio


@pytest.fixture
async def auth(tmp_path):
    auth = Auth(
        settings=settings_of(f"sqlite+aiosqlite:///{tmp_path}/limen.db"),
        features=features_of(),
        roles=[Role("member", ["items:read"]), Role("editor", ["items"]), Role("admin", ["*"])],
    )
    await create_tables(auth)
    async with auth:
        yield auth


@pytest.fixture
def app(auth: Auth) -> FastAPI:
    app = FastAPI()
    auth.install(app)
    left = {1, 2, 3}

    @app.get("/items", dependencies=[Depends(auth.require("items:read"))])
    async def items() -> StreamingResponse:
        async def endless():
            while True:
                yield b"item\n"
                await asyncio.sleep(0.01)

        return StreamingResponse(endless())

    @app.post("/items", status_code=201, dependencies=[Depends(auth.require("items:write"))])
    async def add(body: dict[str, str]) -> None: ...

    @app.delete("/items/{item_id}", dependencies=[Depends(auth.require("items:delete"))])
    async def delete(item_id: int) -> None:
        left.remove(item_id)

    @app.get("/files/{key}/{rest:path}")
    async def files(key: UUID, rest: str) -> None: ...

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, admin: Annotated[object, Depends(auth.require(role("admin")))]) -> None:
        await websocket.accept()
        await websocket.receive_text()

    return app


OWN = """\
GET /items: nobody 401, admin 200, editor 200, member 200
POST /items: nobody 401, admin 422, editor 422, member 403
DELETE /items/{item_id}: nobody 401, admin 200, editor 500, member 403
GET /files/{key}/{rest:path}: nobody 200, admin 200, editor 200, member 200
WEBSOCKET /ws: nobody 401, admin 101, editor 403, member 403
"""


def is_own(route) -> bool:
    return route.path.startswith(("/items", "/files", "/ws"))


async def test_every_route_is_called_as_everyone(auth, app) -> None:
    parameters = {"key": str(UUID(int=1)), "item_id": "2"}
    assert str(await call_matrix(auth, app, only=is_own, parameters=parameters)) == OWN


async def test_limens_own_routes_are_called_without_harm(auth, app) -> None:
    matrix = await call_matrix(auth, app, only=lambda route: route.because == "limen" or "/users" in route.path)
    assert matrix.statuses["GET /users"] == {"nobody": 401, "admin": 200, "editor": 403, "member": 403}
    assert matrix.statuses["PUT /users/{user_id}/roles"] == {"nobody": 401, "admin": 422, "editor": 403, "member": 403}
    assert matrix.statuses["DELETE /users/{user_id}"] == {"nobody": 401, "admin": 404, "editor": 403, "member": 403}
    assert all(status < 500 for row in matrix.statuses.values() for status in row.values())
    assert set(matrix.statuses["POST /auth/refresh"].values()) == {422}


async def test_a_snapshot_is_written_compared_and_accepted(tmp_path) -> None:
    path = tmp_path / "authorization.txt"
    before = Matrix({"GET /items": {"nobody": 401, "member": 200}, "GET /old": {"nobody": 200}})
    after = Matrix({"GET /items": {"nobody": 200, "member": 200}})
    with pytest.raises(AssertionError, match="--update-matrix"):
        before.assert_matches(path)
    before.assert_matches(path, update=True)
    before.assert_matches(path)
    with pytest.raises(AssertionError) as told:
        after.assert_matches(path)
    assert str(told.value).splitlines()[1:] == [
        "- GET /items: nobody 401, member 200",
        "- GET /old: nobody 200",
        "+ GET /items: nobody 200, member 200",
    ]
    after.assert_matches(path, update=True)
    after.assert_matches(path)


async def test_the_fixture_compares_with_the_file(auth, app, tmp_path, authorization_matrix) -> None:
    path = tmp_path / "authorization.txt"
    path.write_text(OWN.replace("editor 500", "editor 200"))
    own = {"only": is_own, "parameters": {"key": str(UUID(int=1)), "item_id": "2"}}
    with pytest.raises(AssertionError, match=r"\+ DELETE /items/\{item_id\}: nobody 401, admin 200, editor 500"):
        await authorization_matrix(auth, app, str(path), **own)
    path.write_text(OWN)
    with pytest.raises(AssertionError, match="admin 500"):  # it is gone by now
        await authorization_matrix(auth, app, str(path), **own)
