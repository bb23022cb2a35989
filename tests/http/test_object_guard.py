"""`auth.require(…, on=…)`: first who asks, then which object, then whether they may; and the endpoint gets it."""

from typing import Annotated

import httpx2
import pytest
from fastapi import Depends, FastAPI, Security, WebSocket
from pydantic import BaseModel
from tests.features.answers import refused
from tests.features.mini_app import features_of, settings_of

from limen import Auth, Principal, Role
from limen.errors import ConfigurationError
from limen.testing import as_user, create_tables

pytestmark = pytest.mark.anyio


class Note(BaseModel):
    id: int
    owner: str
    is_open: bool = False


@pytest.fixture
async def auth(tmp_path):
    auth = Auth(
        settings=settings_of(f"sqlite+aiosqlite:///{tmp_path}/limen.db"),
        features=features_of(),
        roles=[
            Role("member", ["notes:read", "notes:delete"]),
            Role("keeper", ["notes"]),
            Role("reader", ["notes:read"]),
        ],
    )
    await create_tables(auth)
    async with auth:
        yield auth


@pytest.fixture
async def client(auth: Auth):
    app, notes, loaded = FastAPI(), dict[int, Note](), list[int]()
    app.state.notes, app.state.loaded = notes, loaded

    @auth.policy("notes:read")
    def open_or_own(principal: Principal, note: Note) -> bool:
        return note.is_open | (note.owner == principal.subject)

    @auth.policy("notes:delete")
    async def own(principal: Principal, note: Note) -> bool:
        return note.owner == principal.subject

    async def find_note(note_id: int) -> Note | None:
        loaded.append(note_id)
        return notes.get(note_id)

    auth.install(app)

    @app.get("/notes/{note_id}")
    async def read(note: Annotated[Note, Depends(auth.require("notes:read", on=find_note))]) -> Note:
        return note

    @app.delete("/notes/{note_id}", status_code=204)
    def delete(note: Annotated[Note, Depends(auth.require("notes:delete", on=find_note))]) -> None:
        del notes[note.id]

    @app.put("/notes/{note_id}")
    async def write(
        note: Annotated[Note, Security(auth.require("notes:read", on=find_note), scopes=["notes:write"])],
        principal: Annotated[Principal, Depends(auth.current_principal)],
    ) -> str:
        return f"{principal.subject} {note.id}"

    @app.websocket("/notes/{note_id}/live")
    async def live(websocket: WebSocket, note: Annotated[Note, Depends(auth.require("notes:read", on=find_note))]):
        await websocket.accept()
        await websocket.close()

    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
        client.app = app
        yield client


async def test_the_endpoint_gets_what_one_may_have(auth, client) -> None:
    alice, keeper = await as_user(auth, roles=["member"]), await as_user(auth, roles=["keeper"])
    client.app.state.notes[1] = Note(id=1, owner=alice.subject)
    for person in (alice, keeper):
        answer = await client.get("/notes/1", headers=person.headers)
        assert (answer.status_code, answer.json()["id"]) == (200, 1)
    assert (await client.delete("/notes/1", headers=alice.headers)).status_code == 204
    refused(await client.get("/notes/1", headers=keeper.headers), 404, "not_found")


async def test_what_may_not_be_known_looks_like_what_does_not_exist(auth, client) -> None:
    alice, bob = await as_user(auth, roles=["member"]), await as_user(auth, roles=["member"])
    client.app.state.notes[1] = Note(id=1, owner=alice.subject)
    client.app.state.notes[2] = Note(id=2, owner=alice.subject, is_open=True)
    for method in ("GET", "DELETE"):
        hidden = await client.request(method, "/notes/1", headers=bob.headers)
        missing = await client.request(method, "/notes/9", headers=bob.headers)
        assert refused(hidden, 404, "not_found") == refused(missing, 404, "not_found")
    assert (await client.get("/notes/2", headers=bob.headers)).status_code == 200
    refused(await client.delete("/notes/2", headers=bob.headers), 403, "forbidden")


async def test_nothing_is_loaded_for_who_is_not_let_in(auth, client) -> None:
    alice, reader = await as_user(auth, roles=["member"]), await as_user(auth, roles=["reader"])
    client.app.state.notes[1] = Note(id=1, owner=alice.subject)
    for path in ("/notes/1", "/notes/9"):
        refused(await client.get(path), 401, "not_authenticated")
        refused(await client.get(path, headers={"Authorization": "Bearer x"}), 401, "invalid_token")
        answer = await client.delete(path, headers=reader.headers)
        assert refused(answer, 403, "insufficient_scope")["scope"] == "notes:delete"
    assert client.app.state.loaded == []


async def test_scopes_of_security_reach_it(auth, client) -> None:
    alice, keeper = await as_user(auth, roles=["member"]), await as_user(auth, roles=["keeper"])
    client.app.state.notes[1] = Note(id=1, owner=alice.subject)
    answer = await client.put("/notes/1", headers=alice.headers)
    assert refused(answer, 403, "insufficient_scope")["scope"] == "notes:write"
    assert (await client.put("/notes/1", headers=keeper.headers)).json() == f"{keeper.subject} 1"


async def test_a_narrowed_credential_is_narrowed_on_objects_too(auth, client) -> None:
    keeper = await as_user(auth, roles=["keeper"], scopes=["notes:read"])
    client.app.state.notes[1] = Note(id=1, owner="somebody")
    refused(await client.get("/notes/1", headers=keeper.headers), 404, "not_found")


async def test_openapi_and_the_map_know_it(auth, client) -> None:
    operation = client.app.openapi()["paths"]["/notes/{note_id}"]["delete"]
    assert {"bearer": ["notes:delete"]} in [dict(each) for each in operation["security"]] or operation["security"]
    assert [each["name"] for each in operation["parameters"]] == ["note_id"]
    found = {str(route): route.guards for route in auth.routes()}
    assert found["DELETE /notes/{note_id}"] == ("notes:delete", "notes:delete by rule own over Note")
    assert found["WEBSOCKET /notes/{note_id}/live"] == ("notes:read", "notes:read by rule open_or_own over Note")


async def test_a_guard_without_a_rule_does_not_start(auth) -> None:
    app = FastAPI()
    auth.install(app)

    @app.get("/notes/{note_id}")
    async def read(note: Annotated[Note, Depends(auth.require("notes:read", on=lambda note_id: None))]) -> None: ...

    with pytest.raises(ConfigurationError, match=r"auth.require\(\"notes:read\", on=…\) has no rule"):
        async with app.router.lifespan_context(app):
            pass
