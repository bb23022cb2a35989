"""Clients of an app under test that know its people: `auth_client.as_user(roles=["editor"]).get("/items")`."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import ParamSpec, Self, TypeVar, Unpack
from urllib.parse import urlsplit

import httpx2
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.types import Receive, Scope, Send
from typing_extensions import TypedDict

from limen.testing.clock import FakeClock
from limen.testing.mailbox import Outbox, ReceivedLetter
from limen.testing.people import Carrier, SignedIn, as_user
from limen.testing.rehearsal import Rehearsal

P = ParamSpec("P")
T = TypeVar("T")

HERE = ("127.0.0.1", 50000)


class Who(TypedDict, total=False):
    """Whom `as_user` signs in; each may be left out.

    Attributes:
        email: one that is known signs in again, on another device.
        roles: instead of the default ones.
        scopes: what the credential is narrowed to.
        values: the app's own columns.
        carrier: `bearer` (tokens), `cookie` (a browser's session) or `api_key`.
    """

    email: str | None
    roles: Iterable[str] | None
    scopes: Iterable[str] | None
    values: Mapping[str, object] | None
    carrier: Carrier


class AuthClient(TestClient):
    """Starlette's `TestClient` of the app; `as_user` gives another one, in which somebody is signed in.

    Attributes:
        clock: `client.clock.advance(minutes=16)`.
        user: who is signed in.
    """

    def __init__(self, rehearsal: Rehearsal, *, signed_in: SignedIn | None = None) -> None:
        super().__init__(_Prepared(rehearsal), base_url=_origin(rehearsal), client=HERE)
        self.rehearsal = rehearsal
        self.clock: FakeClock = rehearsal.clock
        self._signed_in = signed_in
        _show(self, rehearsal, signed_in)

    @property
    def user(self) -> SignedIn:
        """Who is signed in here.

        Raises:
            LookupError: nobody is.
        """
        return _known(self._signed_in)

    @property
    def outbox(self) -> "Letters":
        """What the app posted.

        Raises:
            LookupError: it has no feature `Mail`.
        """
        return Letters(_posted(self.rehearsal), self)

    def as_user(self, **who: Unpack[Who]) -> "AuthClient":
        """A client in which this person is signed in, in the same running app.

        Raises:
            RuntimeError: a step holds the sign-in up.
            ValueError: roles or columns for somebody who is there already.
        """
        signed_in = self.run(as_user, self.rehearsal.auth, **who)
        client = AuthClient(self.rehearsal, signed_in=signed_in)
        client.portal = self.portal
        return client

    def run(self, function: Callable[P, Awaitable[T]], *arguments: P.args, **options: P.kwargs) -> T:
        """Run an async function where the app runs, and get what it answers: `client.run(auth[Roles].assign, …)`."""
        if self.portal is None:
            raise RuntimeError("the app does not run: use the fixture auth_client, or `with AuthClient(…)`")
        return self.portal.call(partial(function, *arguments, **options))

    def websocket_connect(
        self, url: str, subprotocols: Sequence[str] | None = None, **options: object
    ) -> WebSocketTestSession:
        """As of `TestClient`, at the address of the app, so that its cookies go along."""
        here = self.base_url.copy_with(scheme="wss" if self.base_url.scheme == "https" else "ws")
        return super().websocket_connect(str(here.join(url)), subprotocols, **options)


class Letters:
    """The app's outbox for tests that do not await."""

    def __init__(self, outbox: Outbox, client: AuthClient) -> None:
        self._outbox = outbox
        self._client = client

    def letters(self, *, to: str | None = None, template: str | None = None) -> list[ReceivedLetter]:
        """Whatever was posted up to now, to this address and of this kind if they are named, in order."""
        return self._client.run(self._outbox.letters, to=to, template=template)

    def latest(self, *, to: str | None = None, template: str | None = None) -> ReceivedLetter:
        """The last of them.

        Raises:
            LookupError: nothing such was posted.
        """
        return self._client.run(self._outbox.latest, to=to, template=template)


class AsyncAuthClient(httpx2.AsyncClient):
    """The same for tests that await: `async with async_auth_client as client:` starts the app and stops it.

    Attributes:
        clock: `client.clock.advance(minutes=16)`.
        user: who is signed in.
    """

    def __init__(self, rehearsal: Rehearsal, *, signed_in: SignedIn | None = None) -> None:
        transport = httpx2.ASGITransport(rehearsal.app, client=HERE)
        super().__init__(transport=transport, base_url=_origin(rehearsal), follow_redirects=True)
        self.rehearsal = rehearsal
        self.clock: FakeClock = rehearsal.clock
        self._signed_in = signed_in
        self._running = AsyncExitStack()
        _show(self, rehearsal, signed_in)

    @property
    def user(self) -> SignedIn:
        """Who is signed in here.

        Raises:
            LookupError: nobody is.
        """
        return _known(self._signed_in)

    @property
    def outbox(self) -> Outbox:
        """What the app posted.

        Raises:
            LookupError: it has no feature `Mail`.
        """
        return _posted(self.rehearsal)

    async def as_user(self, **who: Unpack[Who]) -> "AsyncAuthClient":
        """A client in which this person is signed in, in the same running app.

        Raises:
            RuntimeError: a step holds the sign-in up.
            ValueError: roles or columns for somebody who is there already.
        """
        return AsyncAuthClient(self.rehearsal, signed_in=await as_user(self.rehearsal.auth, **who))

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.rehearsal.finish)
            await self.rehearsal.prepare()
            app = self.rehearsal.app
            await stack.enter_async_context(app.router.lifespan_context(app))
            self._running = stack.pop_all()
        return await super().__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await super().__aexit__(kind, error, traceback)
        await self._running.__aexit__(kind, error, traceback)


class _Prepared:
    """The app, around whose life the database is made ready and left, in the app's own event loop."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._rehearsal = rehearsal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._rehearsal.app(scope, receive, send)
            return
        try:
            await self._rehearsal.prepare()
            await self._rehearsal.app(scope, receive, send)
        finally:
            await self._rehearsal.finish()


def _origin(rehearsal: Rehearsal) -> str:
    """Where the app says that it is, so that cookies and origins are as in a browser."""
    parts = urlsplit(rehearsal.auth.settings.base_url)
    return f"{parts.scheme}://{parts.netloc}"


def _show(client: TestClient | httpx2.AsyncClient, rehearsal: Rehearsal, signed_in: SignedIn | None) -> None:
    if signed_in is None:
        return
    client.headers.update(dict(signed_in.shown))
    host = urlsplit(rehearsal.auth.settings.base_url).hostname or ""
    domain = host if "." in host else f"{host}.local"  # as cookie jars name it, so that signing out clears it
    for name, value in signed_in.cookies.items():
        client.cookies.set(name, value, domain=domain)


def _known(signed_in: SignedIn | None) -> SignedIn:
    if signed_in is None:
        raise LookupError("nobody is signed in with this client: as_user() gives one in which somebody is")
    return signed_in


def _posted(rehearsal: Rehearsal) -> Outbox:
    if rehearsal.outbox is None:
        raise LookupError("Mail is not among the features of this Auth")
    return rehearsal.outbox
