"""WebSockets and streams that stay open: closed when what let them in is taken back."""

import asyncio
import contextlib
from collections.abc import Awaitable, Iterator
from functools import cache
from typing import cast

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from limen.core.principal import Principal
from limen.core.revocations import Revocation, Revocations, Revoked, foreign_session

POLICY_VIOLATION = 1008
"""The close code of RFC 6455 §7.4.1 for a connection that is no longer allowed."""


class OpenConnection:
    """One open connection: whose it is, the task that serves it, how to tell the client."""

    def __init__(self, principal: Principal, *, is_websocket: bool, send: Send) -> None:
        self.principal = principal
        self.is_closing = False
        self._is_websocket = is_websocket
        self._send = send
        task = asyncio.current_task()
        assert task is not None, "ASGI apps run in tasks"
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._is_over = self._is_cancelled = False

    def close(self) -> None:
        """End it from wherever the revocation was heard."""
        if not self.is_closing:
            self.is_closing = True
            self._loop.call_soon_threadsafe(self._cancel)

    def leave(self) -> None:
        """It went by itself: its task is another's now."""
        self._is_over = True

    async def say_goodbye(self) -> None:
        """Tell the client, as far as it still listens; our cancellation is answered herewith, and nobody else's."""
        if self._is_cancelled:
            self._task.uncancel()
        closing: Message = {"type": "http.response.body", "body": b"", "more_body": False}
        if self._is_websocket:
            closing = {"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "session ended"}
        with contextlib.suppress(Exception):  # it went by itself
            await self._send(closing)

    def _cancel(self) -> None:
        if not self._is_over:
            self._is_cancelled = True
            self._task.cancel()


class OpenConnections:
    """Knows the open connections by what could end them.

    Attributes:
        memo: where a request keeps its principal.
        watches_http: whether every HTTP request is watched, because some guard is not checked at its route; those that
            are watch the responses that stay open by themselves.
    """

    def __init__(self, revocations: Revocations, *, memo: str) -> None:
        self.memo = memo
        self.watches_http = True
        self._revocations = revocations
        self._by_target: dict[tuple[Revoked, str], set[OpenConnection]] = {}
        revocations.subscribe(self._close)

    def __len__(self) -> int:
        return len(set().union(*self._by_target.values()))

    async def watch(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve by `app`, and end it if it stays open and what let it in is taken back.

        Raises:
            CancelledError: somebody else wants it to end too, such as a server that stops.
        """
        opened: OpenConnection | None = None
        task = asyncio.current_task()
        before = task.cancelling() if task else 0

        def watched(message: Message) -> Awaitable[None]:
            nonlocal opened
            if opened is None and (message.get("more_body") or message["type"] == "websocket.accept"):
                opened = self._open(scope, send)
            return send(message)

        try:
            await app(scope, receive, watched)
        except asyncio.CancelledError:
            if opened is None or not opened.is_closing:
                raise
        finally:
            if opened is not None:
                self._leave(opened)
        if opened is not None and opened.is_closing:  # a response's own task group may have kept the cancellation
            await opened.say_goodbye()
            if task and task.cancelling() > before:
                raise asyncio.CancelledError

    def watched(self, response: Response) -> Response:
        """The same response; while it is being sent it is watched."""
        kind = type(response)
        if not issubclass(kind, _WatchedResponse):
            response.__class__ = _watched_kind(kind)  # type: ignore[arg-type]  # classes are hashable
            cast("_WatchedResponse", response).limen_connections = self
        return response

    def _open(self, scope: Scope, send: Send) -> OpenConnection | None:
        principal = scope.get(self.memo)
        if not isinstance(principal, Principal):
            return None
        opened = OpenConnection(principal, is_websocket=scope["type"] == "websocket", send=send)
        for target in _targets(principal):
            self._by_target.setdefault(target, set()).add(opened)
        if self._revocations.covers(principal):  # taken back between the guard and here
            opened.close()
        return opened

    def _leave(self, opened: OpenConnection) -> None:
        opened.leave()
        for target in _targets(opened.principal):
            those = self._by_target[target]
            those.discard(opened)
            if not those:
                del self._by_target[target]

    def _close(self, revocation: Revocation) -> None:
        if revocation.refuses_a_key:
            self._close_those_by_token()
        for connection in tuple(self._by_target.get((revocation.kind, revocation.target), ())):
            if self._revocations.covers(connection.principal):
                connection.close()

    def _close_those_by_token(self) -> None:
        """Nobody knows any more which key their tokens were signed with; whose was good comes back."""
        for connection in set[OpenConnection]().union(*self._by_target.values()):
            if connection.principal.credential == "access_token":
                connection.close()


class WatchOpenConnections:
    """ASGI middleware: whatever a guard let in and stays open is watched from its first message on.

    Every request of the app passes here; one that watches itself, at its route, only passes.
    """

    def __init__(self, app: ASGIApp, *, connections: OpenConnections) -> None:
        self._app = app
        self._connections = connections

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        kind = scope["type"]
        if kind == "websocket" or (kind == "http" and self._connections.watches_http):
            return self._connections.watch(self._app, scope, receive, send)
        return self._app(scope, receive, send)


class _WatchedResponse(Response):
    limen_connections: OpenConnections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.limen_connections.watch(super().__call__, scope, receive, send)


@cache
def _watched_kind(kind: type[Response]) -> type[Response]:  # an app has a handful of them
    """What a watched response of this class is: the same in all but how it is sent."""
    return type(kind.__name__, (_WatchedResponse, kind), {"__module__": kind.__module__})


def _targets(principal: Principal) -> Iterator[tuple[Revoked, str]]:
    if principal.user_id is not None:
        yield Revoked.SUBJECT, principal.user_id
    if principal.session_id is not None:
        foreign = principal.account and foreign_session(principal.issuer, principal.session_id)
        yield Revoked.SESSION, foreign or principal.session_id
    if principal.credential_id is not None:
        yield Revoked.CREDENTIAL, principal.credential_id
