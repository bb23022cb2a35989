"""Asks the app: in this process by ASGI, or on this machine by HTTP. Redirects and streams are not followed."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Scope

from limen.attack.answers import ACCEPTED, Answer
from limen.attack.attempts import Attempt
from limen.errors import ConfigurationError

if TYPE_CHECKING:
    from httpx2 import AsyncClient

WEBSOCKET = "WEBSOCKET"
MAX_BODY = 64 * 1024
_SECONDS = 5.0
_PORTS = {"http": 80, "https": 443}


class Asking(Protocol):
    """Sends one request."""

    async def ask(self, method: str, path: str, attempt: Attempt) -> Answer | None:
        """The answer, or None for what cannot be asked this way."""
        ...


class InProcess:
    """Asks an app whose lifespan is running in this loop."""

    def __init__(self, app: ASGIApp, *, host: str = "localhost:8000") -> None:
        self._app = app
        self._host = host

    async def ask(self, method: str, path: str, attempt: Attempt) -> Answer | None:
        said = _Conversation(attempt.body, is_websocket=method == WEBSOCKET)
        running = asyncio.ensure_future(self._app(_scope(method, path, attempt, self._host), said.receive, said.send))
        ended: Awaitable[Any] = said.ended.wait()
        waiting = [running, asyncio.ensure_future(ended)]
        await asyncio.wait(waiting, timeout=_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return said.answer()


class _Conversation:
    """One request and what came of it; an app that raises has answered 500."""

    def __init__(self, body: bytes, *, is_websocket: bool) -> None:
        self.ended = asyncio.Event()
        self._is_websocket = is_websocket
        self._body = body
        self._asked = False
        self._status: int | None = None
        self._headers: dict[str, str] = {}
        self._said = b""

    async def receive(self) -> Message:
        if self._asked:
            await asyncio.sleep(_SECONDS)
            return {"type": "websocket.disconnect", "code": 1000} if self._is_websocket else {"type": "http.disconnect"}
        self._asked = True
        return {"type": "websocket.connect"} if self._is_websocket else {"type": "http.request", "body": self._body}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind in ("http.response.start", "websocket.http.response.start"):
            self._status = message["status"]
            self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        elif kind in ("websocket.accept", "websocket.close"):
            self._status = self._status or (ACCEPTED if kind == "websocket.accept" else 403)
            self.ended.set()
        elif kind.endswith("response.body"):
            self._said += message.get("body", b"")
            if not message.get("more_body") or len(self._said) > MAX_BODY:
                self.ended.set()

    def answer(self) -> Answer:
        return Answer(status=self._status or 500, headers=self._headers, body=self._said[:MAX_BODY])


def _scope(method: str, path: str, attempt: Attempt, host: str) -> Scope:
    is_websocket = method == WEBSOCKET
    headers = [("host", host), *attempt.headers]
    if attempt.body:
        headers += [("content-type", attempt.kind), ("content-length", str(len(attempt.body)))]
    scope: dict[str, object] = {
        "type": "websocket" if is_websocket else "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws" if is_websocket else "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": attempt.query.encode(),
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 8000),
    }
    if is_websocket:
        return {**scope, "subprotocols": [], "extensions": {"websocket.http.response": {}}}
    return {**scope, "method": method}


class Loopback:
    """Asks a server of this machine.

    Raises:
        ConfigurationError: the address is another machine's.
    """

    def __init__(self, url: str) -> None:
        scheme, host, port = _parts(url)
        if scheme not in _PORTS or not (host == "::1" or _is_loopback_v4(host)):
            raise ConfigurationError(
                f"--url {url}: only this machine is attacked, http://127.0.0.1:8000; what is yours elsewhere, run here"
            )
        self._base = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or _PORTS[scheme]}"
        self._client: AsyncClient | None = None

    async def __aenter__(self) -> Self:
        from httpx2 import AsyncClient

        # No proxy of the environment: the request must not leave this machine. Its certificate may be anyone's.
        self._client = AsyncClient(base_url=self._base, timeout=_SECONDS, trust_env=False, verify=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def ask(self, method: str, path: str, attempt: Attempt) -> Answer | None:
        from httpx2 import ConnectError, HTTPError, TimeoutException

        if method == WEBSOCKET or self._client is None:
            return None
        target = f"{path}?{attempt.query}" if attempt.query else path
        headers = list(attempt.headers)
        if attempt.body:
            headers.append(("content-type", attempt.kind))
        try:
            answer = await self._client.request(method, target, headers=headers, content=attempt.body or None)
        except ConnectError:
            raise ConfigurationError(f"--url: nothing answers at {self._base}") from None
        except TimeoutException:
            return Answer(status=504)
        except HTTPError as error:  # the server hung up: it refused to read this far
            return Answer(status=400, body=type(error).__name__.encode())
        return Answer(status=answer.status_code, headers=dict(answer.headers), body=answer.content[:MAX_BODY])


def _parts(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port. A name is none of this machine's for certain, but for this one."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "", "", None
    return parts.scheme, "127.0.0.1" if host == "localhost" else host, port


def _is_loopback_v4(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


Ask = Callable[[str, str, Attempt], Awaitable[Answer | None]]
