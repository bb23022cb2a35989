"""The authorization matrix: every route, called as every declared role and as nobody; what each of them got.

async def test_who_may_do_what(authorization_matrix):
    await authorization_matrix(auth, app, "tests/authorization.txt")    # --update-matrix writes it anew
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Scope

from limen.auth import Auth
from limen.db.users import UserMixin
from limen.http.route_map import EVERY_METHOD, MappedRoute
from limen.testing.people import as_user

NOBODY = "nobody"
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "WEBSOCKET"})
ACCEPTED = 101
"""What an accepted WebSocket counts as: its handshake's status."""
_PATIENCE = 10.0
_SAMPLES = {"int": "1", "float": "1.0", "uuid": "00000000-0000-4000-8000-000000000001"}


@dataclass(frozen=True, slots=True)
class Matrix:
    """The status by route and by who called."""

    statuses: Mapping[str, Mapping[str, int]]

    def __str__(self) -> str:
        lines = (
            f"{route}: {', '.join(f'{who} {status}' for who, status in row.items())}"
            for route, row in self.statuses.items()
        )
        return "\n".join(lines) + "\n"

    def assert_matches(self, path: str | Path, *, update: bool = False) -> None:
        """Compare with the snapshot at `path`, one line per route; `update` writes it.

        Raises:
            AssertionError: there is none, or it says something else; the message is the difference.
        """
        snapshot = Path(path)
        if update:
            snapshot.write_text(str(self), "utf-8")
            return
        if not snapshot.is_file():
            raise AssertionError(f"There is no {snapshot}: write it with `pytest --update-matrix` and read it.")
        before, now = snapshot.read_text("utf-8").splitlines(), str(self).splitlines()
        gone, new = [line for line in before if line not in now], [line for line in now if line not in before]
        told = "\n".join([*(f"- {line}" for line in gone), *(f"+ {line}" for line in new)])
        if told:
            raise AssertionError(f"Who may do what has changed; `pytest --update-matrix` accepts it:\n{told}")


async def call_matrix(
    auth: Auth[UserMixin],
    app: ASGIApp,
    *,
    only: Callable[[MappedRoute], bool] = lambda _: True,
    parameters: Mapping[str, str] | None = None,
    roles: Iterable[str] | None = None,
) -> Matrix:
    """Call every route of the app as each role and as nobody, without a body.

    Each call that may change something is somebody else's, made for it: what one call deletes, none else misses. What
    comes in shows by what the endpoint makes of a request without a body: 200, 404, 422. Use a database of the test's.

    Args:
        app: the app as it is served; its lifespan, or `async with auth`, is running.
        only: which routes; all otherwise.
        parameters: what stands in the paths, by name; "1" otherwise, or a UUID where the path says so.
        roles: instead of every declared one.
    """
    people = _People(auth)
    names = tuple(sorted(auth.kernel.roles)) if roles is None else tuple(roles)
    statuses: dict[str, dict[str, int]] = {}
    for route in auth.routes():
        if not only(route):
            continue
        for method in route.methods:
            path = _filled(route.path, parameters or {})
            called = "GET" if method == EVERY_METHOD else method
            row = statuses.setdefault(f"{method} {route.path}", {})
            for who in (NOBODY, *names):
                headers = await people.headers(who, is_safe=called in SAFE)
                row.setdefault(who, await _call(app, called, path, headers))
    return Matrix(statuses)


class _People:
    """Somebody of each role for calls that change nothing, and somebody new for each call that may."""

    def __init__(self, auth: Auth[UserMixin]) -> None:
        self._auth = auth
        self._known: dict[str, Mapping[str, str]] = {}

    async def headers(self, who: str, *, is_safe: bool) -> Mapping[str, str]:
        if who == NOBODY:
            return {}
        if not is_safe:
            return (await as_user(self._auth, roles=[who])).headers
        if who not in self._known:
            self._known[who] = (await as_user(self._auth, roles=[who])).headers
        return self._known[who]


def _filled(path: str, parameters: Mapping[str, str]) -> str:
    _, plain, convertors = compile_path(path)
    for name, convertor in convertors.items():
        kind = type(convertor).__name__.removesuffix("Convertor").lower()
        sample = _SAMPLES["uuid"] if name.endswith("uuid") else _SAMPLES.get(kind, "1")
        plain = plain.replace(f"{{{name}}}", parameters.get(name, sample))
    return plain


async def _call(app: ASGIApp, method: str, path: str, headers: Mapping[str, str]) -> int:
    """The status with which the app begins to answer; a stream is not waited for."""
    is_websocket = method == "WEBSOCKET"
    answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            await asyncio.sleep(_PATIENCE)
            return {"type": "websocket.disconnect", "code": 1000} if is_websocket else {"type": "http.disconnect"}
        sent = True
        return {"type": "websocket.connect"} if is_websocket else {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        status = _STATUS.get(message["type"]) or message.get("status")
        if status is not None and not answered.done():
            answered.set_result(int(status))

    running: asyncio.Future[Any] = asyncio.ensure_future(app(_scope(method, path, headers), receive, send))
    either: set[asyncio.Future[Any]] = {running, answered}
    await asyncio.wait(either, timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    if is_websocket or not answered.done():
        running.cancel()
    await asyncio.wait({running}, timeout=_PATIENCE / 10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return answered.result() if answered.done() else 500


_STATUS = {"websocket.accept": ACCEPTED, "websocket.close": 403}


def _scope(method: str, path: str, headers: Mapping[str, str]) -> Scope:
    is_websocket = method == "WEBSOCKET"
    lines = [(b"host", b"localhost"), *((name.lower().encode(), value.encode()) for name, value in headers.items())]
    common = {
        "type": "websocket" if is_websocket else "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws" if is_websocket else "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": lines,
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }
    if is_websocket:
        return {**common, "subprotocols": [], "extensions": {"websocket.http.response": {}}}
    return {**common, "method": method}
