"""The presets, against providers as their documentation describes them."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.features.oauth_login.conftest import ORIGIN, Open, Site, refused
from tests.features.oauth_login.doubles import ApiDouble, AppleDouble, GitHubDouble, Internet
from tests.features.oauth_login.one_database import new_database

from limen import Accounts
from limen.features.oauth_login import (
    Apple,
    Discord,
    Facebook,
    GitHub,
    GitLab,
    Google,
    LinkedIn,
    Microsoft,
    Person,
    Slack,
    X,
)
from limen.testing import PASSWORD, FakePerson, FakeProvider

__all__ = ["new_database"]
pytestmark = pytest.mark.anyio

CLIENT = {"client_id": "client", "client_secret": "secret"}


async def identity_of(site: Site, traveller: Any) -> tuple[str, str]:
    me = (await traveller.me()).json()
    (identity,) = await site.login.identities_of(me["id"])
    return identity.issuer, identity.subject


# --- GitHub

VERIFIED = {"email": "ann@example.com", "primary": True, "verified": True, "visibility": "private"}
OTHER = {"email": "public@example.com", "primary": False, "verified": True, "visibility": "public"}


async def by_github(open_site: Open, double: GitHubDouble, **login: str) -> tuple[Site, Any, Any]:
    internet = Internet()
    double.join(internet)
    github = GitHub(client_id="gh-client", client_secret="gh-secret")
    site = await open_site(providers=[github], transport=internet, **login)
    ann = site.browser()
    begun = await ann.begin("github")
    return site, ann, await ann.client.get(double.approve(begun.headers["location"]))


async def test_github_says_who_came_by_its_api(open_site: Open) -> None:
    double = GitHubDouble([OTHER, VERIFIED], public_email="whatever@example.com")
    site, ann, answer = await by_github(open_site, double)
    assert answer.headers["location"] == f"{ORIGIN}/"
    me = (await ann.me()).json()
    assert (me["email"], me["is_verified"]) == ("ann@example.com", True)
    assert await identity_of(site, ann) == ("https://github.com", "583231")


async def test_githubs_unverified_address_is_not_verified(open_site: Open) -> None:
    _, ann, _ = await by_github(open_site, GitHubDouble([{**VERIFIED, "verified": False}, OTHER]))
    assert (await ann.me()).json()["is_verified"] is False


async def test_githubs_public_address_is_never_believed(open_site: Open) -> None:
    double = GitHubDouble([], public_email="victim@example.com")
    _, _, answer = await by_github(open_site, double)
    assert refused(answer) == "email_missing"


async def test_githubs_refusals_with_status_200_are_seen(open_site: Open) -> None:
    internet, double = Internet(), GitHubDouble([VERIFIED])
    double.join(internet)
    site = await open_site(providers=[GitHub(client_id="gh-client", client_secret="wrong")], transport=internet)
    ann = site.browser()
    begun = await ann.begin("github")
    assert refused(await ann.client.get(double.approve(begun.headers["location"]))) == "provider_unavailable"


# --- Apple


@pytest.fixture(scope="module")
def developer_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def apple(key: ec.EllipticCurvePrivateKey) -> Any:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Apple(client_id="com.example.web", team_id="TEAM123456", key_id="KEY1234567", private_key=pem)


async def test_apple_posts_back_and_says_the_name_once(
    open_site: Open, developer_key: ec.EllipticCurvePrivateKey
) -> None:
    internet, double, said = Internet(), AppleDouble(developer_key=developer_key.public_key()), list[Person]()
    double.join(internet)
    site = await open_site(
        providers=[apple(developer_key)],
        transport=internet,
        sign_up_values=lambda person: said.append(person) or {},
    )
    ann = site.browser()
    for _ in range(2):
        begun = await ann.begin("apple")
        where, posted = double.approve(begun.headers["location"])
        stranger = site.browser()  # Apple's page posts across sites: SameSite=Lax cookies stay at home
        sent_on = await stranger.client.post(where, data=posted, headers={"Origin": "https://appleid.apple.com"})
        assert sent_on.status_code == 303, sent_on.text
        assert sent_on.headers["location"].startswith(f"{ORIGIN}/auth/oauth/apple/callback?")
        assert "Appleseed" not in sent_on.headers["location"]
        answer = await ann.client.get(sent_on.headers["location"])
        assert answer.headers["location"] == f"{ORIGIN}/"
    assert [person.name for person in said] == ["Ann Appleseed"]
    assert (await ann.me()).json()["email"] == "ann@privaterelay.appleid.com"
    assert await identity_of(site, ann) == ("https://appleid.apple.com", "001234.abcd.0638")
    assert len(double.secrets) == 2


async def test_apples_text_true_is_not_true(open_site: Open, developer_key: ec.EllipticCurvePrivateKey) -> None:
    internet = Internet()
    double = AppleDouble(developer_key=developer_key.public_key(), email_verified="true")
    double.join(internet)
    site = await open_site(providers=[apple(developer_key)], transport=internet)
    ann = site.browser()
    where, posted = double.approve((await ann.begin("apple")).headers["location"])
    await ann.client.get((await ann.client.post(where, data=posted)).headers["location"])
    assert (await ann.me()).json()["is_verified"] is False


@pytest.mark.parametrize(
    "user", ["", "{", "[]", '{"name": 5}', '{"name": {"firstName": ["x"]}}', "[" * 1000, "x" * 2000]
)
async def test_a_name_that_is_none_is_left_out(
    open_site: Open, developer_key: ec.EllipticCurvePrivateKey, user: str
) -> None:
    site = await open_site(providers=[apple(developer_key)], transport=Internet())
    sent_on = await site.browser().client.post("/auth/oauth/apple/callback", data={"state": "s", "user": user})
    assert sent_on.status_code == 303
    query = parse_qs(urlsplit(sent_on.headers["location"]).query)
    assert set(query) <= {"state", "person"}


async def test_a_name_cannot_be_moved_to_another_sign_in(site: Site) -> None:
    sealed = site.login.sealed_name("Mallory", state="one")
    assert site.login.opened_name(sealed, state="one") == "Mallory"
    assert site.login.opened_name(sealed, state="two") is None
    assert site.login.opened_name("garbage", state="one") is None


# --- Microsoft

TENANT, OTHER_TENANT = "b9419818-09af-49c2-b0c3-653adc1f376e", "72f988bf-86f1-41af-91ab-2d7cd011db47"
LOGIN = "https://login.microsoftonline.com"


def entra(*, tenant: str = "common", **claims: object) -> FakeProvider:
    """The v2.0 endpoints of a tenant: its metadata has a template for an issuer where there are several."""
    issuer = f"{LOGIN}/{tenant}/v2.0"
    said = f"{LOGIN}/{{tenantid}}/v2.0" if tenant in ("common", "organizations") else f"{LOGIN}/{TENANT}/v2.0"
    metadata = {"issuer": said, "authorization_response_iss_parameter_supported": None}
    usual = {"iss": f"{LOGIN}/{TENANT}/v2.0", "tid": TENANT}
    return FakeProvider(
        issuer, client_id="client", client_secret="secret", metadata=metadata, claims={**usual, **claims}
    )


async def by_microsoft(open_site: Open, fake: FakeProvider, **login: str) -> tuple[Site, Any, Any]:
    site = await open_site(providers=[Microsoft(**CLIENT, issuer=fake.issuer)], transport=fake.transport, **login)
    ann = site.browser()
    begun = await ann.begin("microsoft")
    assert begun.headers["location"].startswith(LOGIN), begun.headers["location"]
    return site, ann, await ann.client.get(await fake.sign_in(begun.headers["location"]))


@pytest.mark.parametrize("tenant", ["common", "organizations", TENANT, "contoso.onmicrosoft.com"])
async def test_microsofts_identity_is_of_the_tenant(open_site: Open, tenant: str) -> None:
    site, ann, answer = await by_microsoft(open_site, entra(tenant=tenant))
    assert answer.headers["location"] == f"{ORIGIN}/"
    assert await identity_of(site, ann) == (f"{LOGIN}/{TENANT}/v2.0", "fake-1")


@pytest.mark.parametrize(
    "claims",
    [
        {"tid": OTHER_TENANT},
        {"tid": None},
        {"iss": f"{LOGIN}/{{tenantid}}/v2.0"},
        {"iss": f"{LOGIN}/common/v2.0", "tid": "common"},
        {"iss": f"https://evil.example/{TENANT}/v2.0"},
        {"iss": f"{LOGIN}/{TENANT}/v2.0/"},
        {"iss": f"{LOGIN}/{TENANT.upper()}/v2.0", "tid": TENANT.upper()},
    ],
)
async def test_a_tenant_that_is_not_the_signers_is_refused(open_site: Open, claims: dict[str, object]) -> None:
    _, _, answer = await by_microsoft(open_site, entra(**claims))
    assert refused(answer) == "invalid_token"


async def test_a_pinned_tenant_lets_no_other_in(open_site: Open) -> None:
    other = {"iss": f"{LOGIN}/{OTHER_TENANT}/v2.0", "tid": OTHER_TENANT}
    site, _, answer = await by_microsoft(open_site, entra(tenant=TENANT, **other))
    assert refused(answer) == "invalid_token"
    assert site.login.is_offered(f"{LOGIN}/{TENANT}/v2.0")
    assert not site.login.is_offered(other["iss"])


async def test_an_address_that_a_tenants_administrator_typed_is_never_verified(open_site: Open) -> None:
    """nOAuth: the administrator of any tenant can write any address, and `email_verified` beside it."""
    fake = entra(email="victim@example.com", email_verified=True, xms_edov=True)
    site = await open_site(
        providers=[Microsoft(**CLIENT, issuer=fake.issuer)], transport=fake.transport, link_by_email="true"
    )
    accounts = site.mini.auth[Accounts]
    await accounts.register(email="victim@example.com", password=PASSWORD, is_verified=True)
    mallory = site.browser()
    begun = await mallory.begin("microsoft")
    assert refused(await mallory.client.get(await fake.sign_in(begun.headers["location"]))) == "account_exists"
    fake.claims["email"] = "mallory@example.com"
    begun = await mallory.begin("microsoft")
    await mallory.client.get(await fake.sign_in(begun.headers["location"]))
    assert (await mallory.me()).json()["is_verified"] is False


# --- Google, LinkedIn, GitLab, Slack: OpenID Connect with quirks


@pytest.mark.parametrize(
    ("claims", "is_verified"),
    [
        ({"email": "ann@gmail.com"}, True),
        ({"email": "ann@corp.example", "hd": "corp.example"}, True),
        ({"email": "ann@corp.example"}, False),
        ({"email": "ann@notgmail.com"}, False),
        ({"email": "ann@gmail.com", "email_verified": False}, False),
        ({"email": "ann@gmail.com", "email_verified": "true"}, False),
    ],
)
async def test_google_answers_for_its_own_addresses(
    open_site: Open, claims: dict[str, object], is_verified: bool
) -> None:
    fake = FakeProvider("https://accounts.google.com", client_id="client", client_secret="secret")
    fake.claims = {"iss": "accounts.google.com", **claims}  # the spelling that Google's documentation allows
    fake.metadata = {"authorization_response_iss_parameter_supported": None}
    site = await open_site(providers=[Google(**CLIENT)], transport=fake.transport)
    ann = site.browser()
    begun = await ann.begin("google")
    await ann.client.get(await fake.sign_in(begun.headers["location"]))
    assert (await ann.me()).json()["is_verified"] is is_verified
    assert await identity_of(site, ann) == ("https://accounts.google.com", "fake-1")


async def test_linkedin_is_asked_neither_for_a_nonce_nor_for_pkce(open_site: Open) -> None:
    fake = FakeProvider("https://www.linkedin.com/oauth", client_id="client", client_secret="secret", needs_pkce=False)
    fake.metadata = {"authorization_response_iss_parameter_supported": None}
    fake.claims = {"nonce": None}
    site = await open_site(providers=[LinkedIn(**CLIENT)], transport=fake.transport)
    ann = site.browser()
    begun = await ann.begin("linkedin")
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    assert not {"nonce", "code_challenge", "code_challenge_method"} & set(asked)
    answer = await ann.client.get(await fake.sign_in(begun.headers["location"]))
    assert answer.headers["location"] == f"{ORIGIN}/"


@pytest.mark.parametrize(
    ("preset", "issuer"),
    [(GitLab, "https://gitlab.com"), (GitLab, "https://git.corp.example"), (Slack, "https://slack.com")],
)
async def test_the_others_speak_plain_openid_connect(open_site: Open, preset: Any, issuer: str) -> None:
    fake = FakeProvider(issuer, client_id="client", client_secret="secret")
    provider = preset(**CLIENT, issuer=issuer)
    site = await open_site(providers=[provider], transport=fake.transport)
    ann = site.browser()
    begun = await ann.begin(provider.name)
    answer = await ann.client.get(await fake.sign_in(begun.headers["location"]))
    assert answer.headers["location"] == f"{ORIGIN}/"


# --- Discord, Facebook, X: an API says who came

APIS: dict[str, tuple[Any, ApiDouble, tuple[str, str, bool]]] = {
    "discord": (
        Discord,
        ApiDouble(
            authorize="https://discord.com/oauth2/authorize",
            token="https://discord.com/api/oauth2/token",
            profile="https://discord.com/api/v10/users/@me",
            answer={"id": "80351110224678912", "username": "nelly", "email": "ann@example.com", "verified": True},
            auth="basic",
        ),
        ("https://discord.com", "80351110224678912", True),
    ),
    "discord unverified": (
        Discord,
        ApiDouble(
            authorize="https://discord.com/oauth2/authorize",
            token="https://discord.com/api/oauth2/token",
            profile="https://discord.com/api/v10/users/@me",
            answer={"id": "80351110224678912", "username": "nelly", "email": "ann@example.com", "verified": False},
            auth="basic",
        ),
        ("https://discord.com", "80351110224678912", False),
    ),
    "facebook": (
        Facebook,
        ApiDouble(
            authorize="https://www.facebook.com/v23.0/dialog/oauth",
            token="https://graph.facebook.com/v23.0/oauth/access_token",
            profile="https://graph.facebook.com/v23.0/me?fields=id,name,email",
            answer={"id": "10158", "name": "Ann", "email": "ann@example.com"},
            auth="post",
        ),
        ("https://www.facebook.com", "10158", False),
    ),
    "x": (
        X,
        ApiDouble(
            authorize="https://x.com/i/oauth2/authorize",
            token="https://api.x.com/2/oauth2/token",
            profile="https://api.x.com/2/users/me?user.fields=confirmed_email",
            answer={
                "data": {"id": "2244994945", "name": "Ann", "username": "ann", "confirmed_email": "ann@example.com"}
            },
            auth="basic",
        ),
        ("https://x.com", "2244994945", True),
    ),
}


@pytest.mark.parametrize(("preset", "double", "expected"), APIS.values(), ids=APIS)
async def test_an_api_says_who_came(
    open_site: Open, preset: Any, double: ApiDouble, expected: tuple[str, str, bool]
) -> None:
    internet = Internet()
    double.join(internet)
    provider = preset(**CLIENT)
    site = await open_site(providers=[provider], transport=internet)
    ann = site.browser()
    begun = await ann.begin(provider.name)
    answer = await ann.client.get(double.approve(begun.headers["location"]))
    assert answer.headers["location"] == f"{ORIGIN}/"
    me = (await ann.me()).json()
    assert (*await identity_of(site, ann), me["is_verified"]) == expected


@pytest.mark.parametrize("answer", [None, [], {}, {"id": None}, {"id": True}, {"id": ""}, {"id": "x" * 300}, "text", 5])
async def test_an_api_that_answers_nonsense_is_no_error_of_ours(open_site: Open, answer: Any) -> None:
    internet = Internet()
    double = ApiDouble(
        authorize="https://discord.com/oauth2/authorize",
        token="https://discord.com/api/oauth2/token",
        profile="https://discord.com/api/v10/users/@me",
        answer=answer,
        auth="basic",
    )
    double.join(internet)
    site = await open_site(providers=[Discord(**CLIENT)], transport=internet)
    ann = site.browser()
    back = double.approve((await ann.begin("discord")).headers["location"])
    assert refused(await ann.client.get(back)) == "provider_unavailable"


def test_the_double_of_github_is_what_a_real_client_of_github_expects() -> None:
    """requests-oauthlib, with the compliance fix that its own documentation gives for GitHub: a form by default."""
    from oauthlib.oauth2 import WebApplicationClient

    double = GitHubDouble([VERIFIED])
    client = WebApplicationClient("gh-client")
    verifier = client.create_code_verifier(64)
    challenge = client.create_code_challenge(verifier, "S256")
    url = client.prepare_request_uri(
        "https://github.com/login/oauth/authorize",
        redirect_uri="https://app.example.com/back",
        scope=["user:email"],
        state="s",
        code_challenge=challenge,
        code_challenge_method="S256",
    )
    code = client.parse_request_uri_response(double.approve(url), state="s")["code"]
    body = client.prepare_request_body(code=code, client_secret="gh-secret", code_verifier=verifier)
    answer = double.site(httpx2.Request("POST", "https://github.com/login/oauth/access_token", content=body))
    assert client.parse_request_body_response(answer.text)["access_token"].startswith("gho_")


async def test_a_new_account_gets_the_apps_own_columns(open_site: Open) -> None:
    site = await open_site(sign_up_values=lambda person: {"username": "ann", "username_canonical": "ann"})
    site.fake.person = FakePerson()
    ann = site.browser()
    await ann.sign_in()
    assert (await ann.me()).json()["username"] == "ann"
