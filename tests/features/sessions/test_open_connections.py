"""WebSockets and streams that stay open end with the session that opened them."""

import asyncio
from typing import Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from starlette.responses import StreamingResponse
from tests.features.mini_app import both_carriers

from limen import Accounts, Auth, Principal, Roles

pytestmark = pytest.mark.anyio

PROMISE = 1.0


def open_routes(app: FastAPI, auth: Auth[Any]) -> None:
    known = Depends(auth.current_principal)

    @app.websocket("/echo")
    async def echo(socket: WebSocket, principal: Principal = known) -> None:
        await socket.accept()
        while True:
            await socket.send_text(await socket.receive_text())

    @app.websocket("/silent")
    async def silent(socket: WebSocket, principal: Principal = known) -> None:
        await socket.accept()
        await asyncio.sleep(3600)

    @app.websocket("/tidy")
    async def tidy(socket: WebSocket, principal: Principal = known) -> None:
        await socket.accept()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.2)

    @app.get("/events")
    async def events(principal: Principal = known) -> StreamingResponse:
        async def forever():
            yield "data: hello\n\n"
            await asyncio.sleep(3600)

        return StreamingResponse(forever(), media_type="text/event-stream")

    @app.get("/brief")
    async def brief(principal: Principal = known) -> StreamingResponse:
        async def twice():
            yield "one"
            yield "two"

        return StreamingResponse(twice())


class Line:
    """One connection to the app, spoken in ASGI: what a server would send and get."""

    def __init__(self, app: FastAPI, path: str, *, headers: dict[str, str], websocket: bool) -> None:
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {
            "type": "websocket" if websocket else "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "scheme": "ws" if websocket else "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": raw,
            "client": ("203.0.113.7", 1234),
            "server": ("localhost", 8000),
            "subprotocols": [],
            "state": {},
            "extensions": {"websocket.http.response": {}},
            **({} if websocket else {"method": "GET", "http_version": "1.1"}),
        }
        self._in: asyncio.Queue[Any] = asyncio.Queue()
        self._out: asyncio.Queue[Any] = asyncio.Queue()
        self.say({"type": "websocket.connect"} if websocket else {"type": "http.request", "body": b""})
        self.task = asyncio.create_task(app(scope, self._in.get, self._out.put))

    def say(self, message: dict[str, Any]) -> None:
        self._in.put_nowait(message)

    async def hear(self) -> dict[str, Any]:
        return await asyncio.wait_for(self._out.get(), PROMISE)


async def opened_line(mini, path: str, *, websocket: bool):
    alice = await mini.signed_in()
    jar = {"Cookie": f"limen={alice.client.cookies['limen']}"} if alice.carrier == "cookie" else {}
    line = Line(mini.app, path, headers={**alice.credentials(), **jar}, websocket=websocket)
    first = await line.hear()
    assert first["type"] == ("websocket.accept" if websocket else "http.response.start"), first
    if not websocket:
        assert first["status"] == 200
        assert (await line.hear())["body"] == b"data: hello\n\n"
    return alice, line


ENDINGS = {
    "logout": lambda mini, alice: alice.post("/auth/logout"),
    "disabled": lambda mini, alice: mini.auth[Accounts].set_active(alice.account.id, False),
    "roles changed": lambda mini, alice: mini.auth[Roles].assign_as_operator(alice.account.id, roles=["editor"]),
    "deleted": lambda mini, alice: mini.auth[Accounts].remove(alice.account.id),
}


@both_carriers
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("path", ["/echo", "/silent"])
async def test_a_websocket_is_closed_when_what_let_it_in_is_taken_back(opened, path, ending):
    mini = await opened(routes=open_routes)
    alice, line = await opened_line(mini, path, websocket=True)
    await ENDINGS[ending](mini, alice)
    closed = await line.hear()
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
    await asyncio.wait_for(line.task, PROMISE)


@both_carriers
@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_stream_ends_when_what_let_it_in_is_taken_back(opened, ending):
    mini = await opened(routes=open_routes)
    alice, line = await opened_line(mini, "/events", websocket=False)
    await ENDINGS[ending](mini, alice)
    last = await line.hear()
    assert (last["type"], last["body"], last["more_body"]) == ("http.response.body", b"", False)
    await asyncio.wait_for(line.task, PROMISE)


@both_carriers
async def test_another_sessions_end_leaves_a_websocket_open(opened):
    mini = await opened(routes=open_routes)
    alice, line = await opened_line(mini, "/echo", websocket=True)
    other = mini.visitor()
    await other.login()
    await other.logout()
    line.say({"type": "websocket.receive", "text": "still there"})
    assert (await line.hear())["text"] == "still there"
    await alice.logout()
    assert (await line.hear())["type"] == "websocket.close"


async def test_a_server_that_stops_is_obeyed_by_a_connection_that_is_closing(opened):
    mini = await opened(routes=open_routes)
    alice, line = await opened_line(mini, "/tidy", websocket=True)
    await alice.logout()
    await asyncio.sleep(0.05)
    assert not line.task.done()
    line.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(line.task, PROMISE)


async def test_what_ends_by_itself_is_watched_no_longer(opened):
    mini = await opened(routes=open_routes)
    alice = await mini.signed_in()
    assert (await alice.get("/brief")).text == "onetwo"
    assert len(mini.auth.kernel.authenticator.connections) == 0
    assert (await alice.logout()).status_code == 204


async def test_a_refused_handshake_gets_a_real_401(opened):
    mini = await opened(routes=open_routes)
    line = Line(mini.app, "/echo", headers={"Authorization": "Bearer a.b.c"}, websocket=True)
    denied = await line.hear()
    assert (denied["type"], denied["status"]) == ("websocket.http.response.start", 401)


async def test_a_websocket_by_cookie_needs_the_same_origin(opened):
    mini = await opened(routes=open_routes)
    alice = await mini.signed_in()
    answer = await alice.client.post(
        "/auth/login?deliver=cookie", data={"username": alice.account.email, "password": "correct horse battery staple"}
    )
    cookie = {"Cookie": f"limen={alice.client.cookies['limen']}"}
    assert answer.status_code == 200
    for headers, first in (
        (cookie, ("websocket.http.response.start", 403)),
        ({**cookie, "Origin": "https://evil.example"}, ("websocket.http.response.start", 403)),
        ({**cookie, "Origin": "http://localhost:8000"}, ("websocket.accept", None)),
    ):
        line = Line(mini.app, "/echo", headers=headers, websocket=True)
        heard = await line.hear()
        assert (heard["type"], heard.get("status")) == first
        line.task.cancel()
        await asyncio.gather(line.task, return_exceptions=True)
