"""An app with a provider, and people who go there and come back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from tests.features.conftest import OpenApp
from tests.features.mini_app import MiniApp, features_of

from limen.features.oauth_login import OAuthLogin, Provider
from limen.testing import FakeProvider

ORIGIN = "http://localhost:8000"


@dataclass
class Site:
    """The app, its provider, and browsers."""

    mini: MiniApp
    fake: FakeProvider
    login: OAuthLogin
    others: dict[str, FakeProvider] = field(default_factory=dict)

    def browser(self) -> "Traveller":
        return Traveller(self, self.mini.visitor())


class Traveller:
    """A browser that goes to the provider and comes back; `client` keeps its cookies."""

    def __init__(self, site: Site, browser: Any) -> None:
        self.site = site
        self.browser = browser
        self.client = browser.client

    async def begin(self, provider: str = "fake", **query: str) -> Any:
        return await self.client.get(f"/auth/oauth/{provider}/authorize", params=query)

    async def go(self, provider: str = "fake", **query: str) -> str:
        """Begin, and do at the provider what its person does; the URL that it sends the browser back to."""
        begun = await self.begin(provider, **query)
        assert begun.status_code == 303, begun.text
        return await self.site.others.get(provider, self.site.fake).sign_in(begun.headers["location"])

    async def sign_in(self, provider: str = "fake", **query: str) -> Any:
        """The whole way; the answer of the callback."""
        return await self.client.get(await self.go(provider, **query))

    async def exchange(self, answer: Any, **headers: str) -> Any:
        """Tokens for the code in the fragment of where a callback sends the browser."""
        code = fragment(answer)["code"]
        return await self.client.post("/auth/oauth/exchange", json={"code": code}, headers=headers)

    async def me(self) -> Any:
        return await self.client.get("/users/me")


def fragment(answer: Any) -> dict[str, str]:
    """What the fragment of a redirect says."""
    assert answer.status_code == 303, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).fragment))


def refused(answer: Any) -> str:
    """The code that the error page is given; nobody is signed in by such an answer."""
    assert answer.headers["location"].startswith(f"{ORIGIN}/auth/oauth/error#")
    assert "limen=" not in "".join(answer.headers.get_list("set-cookie")).replace("limen-oauth", "")
    said = fragment(answer)
    assert set(said) == {"error"}
    return said["error"]


@pytest.fixture
def fake() -> FakeProvider:
    return FakeProvider()


Open = Callable[..., Any]


@pytest.fixture
async def open_site(opened: OpenApp, fake: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens an app with the provider `fake`, or with these; settings of the feature by name."""

    async def open_one(
        *,
        providers: list[Provider] | None = None,
        transport: Any = None,
        sign_up_values: Any = None,
        more: tuple[Any, ...] = (),
        settings: dict[str, Any] | None = None,
        **login: str,
    ) -> Site:
        for name, value in login.items():
            monkeypatch.setenv(f"LIMEN_OAUTH_LOGIN_{name.upper()}", value)
        feature = OAuthLogin(
            providers=[fake.provider()] if providers is None else providers,
            transport=transport or fake.transport,
            sign_up_values=sign_up_values,
        )
        return Site(await opened(features=features_of(feature, *more), settings=settings or {}), fake, feature)

    return open_one


@pytest.fixture
async def site(open_site: Open) -> Site:
    return await open_site()
