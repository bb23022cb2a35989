"""A small app on limen, and browsers that visit it: what every behaviour test stands on."""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import Table, create_engine
from tests.disclosure import DISCLOSURE

from limen import (
    Accounts,
    ApiKeys,
    Auth,
    AuthSettings,
    Feature,
    Passwords,
    Role,
    Roles,
    Services,
    Sessions,
    Tokens,
    User,
)
from limen.db.accounts import Account
from limen.events import Event
from limen.features import Audit, Limits, Mail, OAuthLogin, Supabase
from limen.features.oauth_login import Provider
from limen.testing import PASSWORD, FakeClock, create_tables, fast_hasher

SECRET = "a secret of more than thirty-two bytes, for tests only"
BASE_URL = "http://localhost:8000"
ROLES = (
    Role("member", ["items:read", "items:write"], default=True),
    Role("editor", ["items"]),
    Role("operator", ["tokens:introspect"]),
    Role("admin", ["*"]),
)

E = TypeVar("E", bound=Event)

both_carriers = pytest.mark.parametrize("carrier", ["bearer", "cookie"])
"""Marks what must hold however a session is carried."""
Routes = Callable[[FastAPI, Auth[Any]], None]


@dataclass
class MiniApp:
    """An app that runs, the clock that it believes, and everything that it said had happened."""

    auth: Auth[Any]
    app: FastAPI
    clock: FakeClock
    events: list[Event]
    carrier: str
    _clients: list[httpx2.AsyncClient] = field(default_factory=list)

    def visitor(self, **headers: str) -> "Browser":
        """A browser in which nobody is signed in."""
        transport = httpx2.ASGITransport(self.app, client=("203.0.113.7", 1234))
        hooks = {"response": [hear_answer]}
        client = httpx2.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers, event_hooks=hooks)
        self._clients.append(client)
        return Browser(client, carrier=self.carrier)

    async def account(self, email: str = "alice@example.com", **fields: Any) -> Account:
        """An account that an operator made, without HTTP."""
        return await self.auth[Accounts].register(email=email, password=PASSWORD, **fields)

    async def signed_in(
        self, email: str = "alice@example.com", *, scope: str | None = None, **fields: Any
    ) -> "Browser":
        """The browser of someone who has just been registered and signed in."""
        account = await self.account(email, **fields)
        browser = self.visitor()
        answer = await browser.login(email, scope=scope)
        assert answer.status_code == 200, answer.text
        browser.account = account
        return browser

    def heard(self, kind: type[E]) -> list[E]:
        """The events of this kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


class Browser:
    """One person's client: it keeps what a sign-in hands out and shows it with every request.

    `carrier` decides what a sign-in asks for and how it is shown; the tests do not need to know.
    """

    account: Account

    def __init__(self, client: httpx2.AsyncClient, *, carrier: str) -> None:
        self.client = client
        self.carrier = carrier
        self.tokens: dict[str, Any] = {}

    # --- what people do

    async def register(self, email: str = "alice@example.com", password: str = PASSWORD, **fields: Any) -> Any:
        return await self.post("/auth/register", json={"email": email, "password": password, **fields})

    async def login(
        self, username: str = "alice@example.com", password: str = PASSWORD, *, scope: str | None = None
    ) -> Any:
        form = {"username": username, "password": password, **({} if scope is None else {"scope": scope})}
        path = "/auth/login?deliver=cookie" if self.carrier == "cookie" else "/auth/login"
        return self.keep(await self.client.post(path, data=form))

    async def refresh(self, token: str | None = None) -> Any:
        """Rotate: one's own refresh token, or a given one whose successor is not kept."""
        if token is not None:
            return await self.client.post("/auth/refresh", json={"refresh_token": token})
        return self.keep(await self.client.post("/auth/refresh", json={"refresh_token": self.tokens["refresh_token"]}))

    async def logout(self) -> Any:
        return await self.post("/auth/logout")

    async def me(self) -> Any:
        return await self.get("/users/me")

    # --- what browsers do

    async def request(self, method: str, path: str, **options: Any) -> Any:
        headers = {**self.credentials(), **options.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **options)

    async def get(self, path: str, **options: Any) -> Any:
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Any:
        return await self.request("POST", path, **options)

    async def patch(self, path: str, **options: Any) -> Any:
        return await self.request("PATCH", path, **options)

    async def delete(self, path: str, **options: Any) -> Any:
        return await self.request("DELETE", path, **options)

    def credentials(self) -> Mapping[str, str]:
        """What it shows with every request, beside the cookies that show themselves."""
        if self.carrier == "cookie":
            return {"Sec-Fetch-Site": "same-origin"}
        token = self.tokens.get("access_token")
        return {"Authorization": f"Bearer {token}"} if token else {}

    def keep(self, answer: Any) -> Any:
        """Keep what an answer hands out, if it does."""
        if answer.status_code == 200 and "access_token" in answer.json():
            self.tokens = answer.json()
        return answer

    def take(self, other: "Browser") -> None:
        """Show what another browser shows, as a thief of it would."""
        self.tokens = dict(other.tokens)
        self.client.cookies.update(other.client.cookies)

    @property
    def access_token(self) -> str:
        return str(self.tokens["access_token"])

    @property
    def refresh_token(self) -> str:
        return str(self.tokens["refresh_token"])


def features_of(*more: Feature, **accounts: Any) -> tuple[Feature, ...]:
    """limen's default features with a cheap hasher; the arguments of `Accounts` by name."""
    return (Passwords(hasher=fast_hasher()), Tokens(), Sessions(), Accounts(**accounts), Roles(), *more)


def settings_of(database_url: str, **changes: Any) -> AuthSettings:
    """Settings that neither the environment nor a `.env` of whoever runs the tests decides."""
    return AuthSettings(_env_file=None, **{"secret_key": SECRET, "database_url": database_url, **changes})


@cache
def limens_tables() -> frozenset[Table]:
    """Those of every feature of limen's, on limen's own user model."""
    provider = Provider(name="any", client_id="any", client_secret="any", issuer="https://provider.example")
    supabase = Supabase("https://project.supabase.co", key="any")
    more = (ApiKeys(), Services(), Limits(), Mail(), Audit(), OAuthLogin(providers=[provider]), supabase)
    return frozenset(Auth(settings=settings_of("sqlite+aiosqlite://"), features=features_of(*more)).tables())


def create_limens_tables(url: str) -> None:
    """Make them in an empty database, to be copied: nothing in a test is as slow as making tables."""
    engine = create_engine(url)
    User.metadata.create_all(engine, tables=list(limens_tables()))
    engine.dispose()


@asynccontextmanager
async def open_app(
    database_url: str,
    *,
    features: Sequence[Feature] | None = None,
    roles: Iterable[Role] = ROLES,
    routes: Routes | None = None,
    carrier: str = "bearer",
    listeners: Iterable[Any] = (),
    settings: Mapping[str, Any] | None = None,
    has_tables: bool = False,
    clock: FakeClock | None = None,
    **options: Any,
) -> AsyncIterator[MiniApp]:
    """An app with just these features and routes, its tables made, its lifespan running.

    Args:
        has_tables: whether the database has those of limen's features; what others need is made.
        routes: adds the app's own routes, given the app and its `Auth`.
        options: more arguments of `Auth`.
    """
    clock, events = clock or FakeClock(), list[Event]()
    auth: Auth[Any] = Auth(
        settings=settings_of(database_url, **(settings or {})),
        features=features_of() if features is None else features,
        roles=roles,
        clock=clock,
        listeners=(*listeners, events.append),
        **options,
    )
    app = FastAPI()
    auth.install(app)
    if routes is not None:
        routes(app, auth)
    if not has_tables or not limens_tables().issuperset(auth.tables()):
        await create_tables(auth)
    mini = MiniApp(auth, app, clock, events, carrier)
    async with app.router.lifespan_context(app):
        yield mini
        await mini.close()
    DISCLOSURE.hear("events", repr(events))


async def hear_answer(answer: httpx2.Response) -> None:
    """A cookie is a secret. What a refusal says is not for secrets; a ticket for the next step is its due."""
    for cookie in answer.headers.get_list("set-cookie"):
        DISCLOSURE.issued("a cookie", cookie.partition(";")[0].partition("=")[2])
    if answer.status_code >= 400:
        ticket = re.compile(r'"ticket":"[^"]*"')
        await answer.aread()
        said = [value for name, value in answer.headers.multi_items() if name != "set-cookie"]
        DISCLOSURE.hear("refusal", f"{said} {ticket.sub('', answer.text)}")
