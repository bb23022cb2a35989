"""Which providers there are, and which set-ups do not start."""

from pathlib import Path
from typing import Any

import pytest
from tests.features.mini_app import features_of, settings_of
from tests.features.oauth_login.conftest import Site
from tests.features.oauth_login.one_database import new_database

from limen import Auth
from limen.errors import ConfigurationError
from limen.features.oauth_login import (
    Apple,
    GitHub,
    GitLab,
    Google,
    Microsoft,
    OAuthLogin,
    OpenIDProvider,
)

__all__ = ["new_database"]
pytestmark = pytest.mark.anyio


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Sets `LIMEN_OAUTH_…` by what follows."""
    monkeypatch.chdir(tmp_path)

    def put(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"LIMEN_OAUTH_{name}", value)

    return put


def auth_of(feature: OAuthLogin, **settings: Any) -> Auth[Any]:
    return Auth(features=features_of(feature), settings=settings_of("sqlite+aiosqlite://", **settings))


def findings(feature: OAuthLogin) -> set[str]:
    return {finding.id for finding in feature.checks()}


def test_every_provider_that_is_set_is_there(environment: Any, tmp_path: Path) -> None:
    environment(GOOGLE_CLIENT_ID="g", GOOGLE_CLIENT_SECRET="s")
    environment(MY_CORP_CLIENT_ID="c", MY_CORP_ISSUER="https://id.corp.example/realms/x", MY_CORP_SCOPES="groups, hr")
    (tmp_path / ".env").write_text("LIMEN_OAUTH_GITHUB_CLIENT_ID=h\nLIMEN_OAUTH_GITHUB_CLIENT_SECRET=s\n")
    login = OAuthLogin()
    auth_of(login)
    assert login.providers == ("github", "google", "my_corp")
    corp = login.upstreams["my_corp"].provider
    assert (corp.issuer, corp.client_secret) == ("https://id.corp.example/realms/x", None)
    assert corp.scopes == ("openid", "email", "profile", "groups", "hr")
    assert findings(login) == set()


def test_none_set_is_no_error() -> None:
    login = OAuthLogin(providers=[])
    auth_of(login)
    assert login.providers == ()


@pytest.mark.parametrize(
    ("base_url", "is_offered"),
    [
        ("http://localhost:8000", True),
        ("http://127.0.0.1:9000", True),
        ("https://localhost:8000", False),
        ("https://app.example.com", False),
        ("http://app.example.com", False),
    ],
)
@pytest.mark.parametrize("issuer", ["http://127.0.0.1:7000", "http://localhost:7000/realms/x"])
def test_a_program_on_this_machine_is_offered_in_development_only(
    environment: Any, base_url: str, is_offered: bool, issuer: str
) -> None:
    environment(CORP_CLIENT_ID="c", CORP_ISSUER=issuer)
    login = OAuthLogin()
    auth_of(login, base_url=base_url)
    assert login.providers == (("corp",) if is_offered else ())
    assert findings(login) == (set() if is_offered else {"limen.W080"})


def test_a_name_that_nothing_reads_is_told(environment: Any) -> None:
    environment(GOOGLE_CLIENTID="g", LOGIN_SIGNUP="false", LOGIN_SIGN_UP="true")
    login = OAuthLogin()
    auth_of(login)
    assert [finding.sentence.split()[0] for finding in login.checks()] == [
        "LIMEN_OAUTH_GOOGLE_CLIENTID",
        "LIMEN_OAUTH_LOGIN_SIGNUP",
    ]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Google(), "LIMEN_OAUTH_GOOGLE_CLIENT_ID"),
        (lambda: OpenIDProvider("my-corp", client_id="c"), "LIMEN_OAUTH_MY_CORP_ISSUER"),
        (lambda: OpenIDProvider("corp", client_id="c", issuer="http://id.corp.example"), "plain http"),
        (lambda: OpenIDProvider("corp", client_id="c", issuer="id.corp.example"), "is not a URL"),
        (lambda: OpenIDProvider("corp", client_id="c", issuer="https://a.example", origins=["x"]), "is not a URL"),
        (lambda: OpenIDProvider("../corp", client_id="c", issuer="https://a.example"), "name is"),
        (lambda: GitHub(client_id="c", issuer="https://github.corp.example"), "one issuer"),
        (lambda: Apple(client_id="c", team_id="t", key_id="k", private_key="not a key"), "ES256 needs"),
        (lambda: OAuthLogin(providers=[GitHub(client_id="c"), GitHub(client_id="d")]), "name each provider once"),
    ],
)
def test_a_provider_that_cannot_be_is_refused(environment: Any, make: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_a_provider_without_a_preset_needs_an_issuer(environment: Any) -> None:
    environment(CORP_CLIENT_ID="c")
    with pytest.raises(ConfigurationError, match="LIMEN_OAUTH_CORP_ISSUER"):
        auth_of(OAuthLogin())


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example/", "error"])
def test_errors_are_shown_at_the_apps_own_places_only(environment: Any, path: str) -> None:
    environment(LOGIN_ERROR_PATH=path)
    with pytest.raises(ConfigurationError, match="LIMEN_OAUTH_LOGIN_ERROR_PATH"):
        auth_of(OAuthLogin(providers=[]))


def test_other_servers_and_tenants_can_be_named() -> None:
    assert GitLab(client_id="c", issuer="https://git.corp.example").issuer == "https://git.corp.example"
    pinned = "https://login.microsoftonline.com/b9419818-09af-49c2-b0c3-653adc1f376e/v2.0"
    assert Microsoft(client_id="c", issuer=pinned).issuer == pinned


def test_secrets_do_not_show(environment: Any) -> None:
    provider = Google(client_id="c", client_secret="hunter2")
    assert "hunter2" not in repr(provider)


async def test_the_route_map_says_who_comes_in(site: Site) -> None:
    mapped = {str(route): route for route in site.mini.auth.routes() if "/oauth/" in route.path}
    public = {name for name, route in mapped.items() if route.access == "public" and route.because == "limen"}
    guarded = {name for name, route in mapped.items() if route.access == "guarded"}
    assert public | guarded == set(mapped)
    assert {name.split("/")[-1] for name in guarded} == {"link", "accounts", "{account_id}"}
    document = (await site.browser().client.get("/openapi.json")).json()
    assert {"get", "post"} == set(document["paths"]["/auth/oauth/{provider}/callback"])


async def test_another_prefix_is_in_the_redirect_uri(opened: Any, fake: Any) -> None:
    login = OAuthLogin(providers=[fake.provider()], transport=fake.transport)
    mini = await opened(features=features_of(login), auth_prefix="/id")
    begun = await mini.visitor().client.get("/id/oauth/fake/authorize")
    assert "redirect_uri=http%3A%2F%2Flocalhost%3A8000%2Fid%2Foauth%2Ffake%2Fcallback" in begun.headers["location"]
    assert login.error_page == "http://localhost:8000/id/oauth/error"


async def test_an_own_user_model_with_numbers_for_keys_will_do(opened: Any, fake: Any) -> None:
    from tests.db.test_migrations import Member

    login = OAuthLogin(
        providers=[fake.provider()],
        transport=fake.transport,
        sign_up_values=lambda person: {"nickname": person.name},
    )
    mini = await opened(features=features_of(login), user=Member)
    site = Site(mini, fake, login)
    ann = site.browser()
    await ann.sign_in()
    assert isinstance((await ann.me()).json()["id"], int)
    assert (await login.token((await ann.me()).json()["id"], "fake")).access_token
