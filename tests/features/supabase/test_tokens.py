"""What a Supabase access token is worth: what the project's keys vouch for, nothing that people write themselves."""

import hmac
import json
import logging
from typing import Any

import pytest
from tests.features.answers import refused
from tests.features.hostile import lies
from tests.features.mini_app import features_of, open_app
from tests.features.supabase.conftest import SupabaseApp, routes
from tests.features.supabase.contract import CheckedSupabase
from tests.features.trusted_issuers.key_server import KeyServer

from limen import Accounts, ConfigurationError, Role, Roles, TrustedIssuer
from limen.core import base64url
from limen.core.keys import SigningKey
from limen.errors import Conflict
from limen.features import Supabase
from limen.features.trusted_issuers import TrustedIssuers
from limen.testing import FakeClock

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA", "HS256"])
async def test_each_way_of_signing_is_verified(opened: Any, clock: FakeClock, algorithm: Any) -> None:
    with CheckedSupabase(algorithm=algorithm, clock=clock) as project:
        legacy = {"jwt_secret": project.jwt_secret} if algorithm == "HS256" else {}
        app = await opened(project, **legacy)
        alice = app.user()
        browser = app.bearer(project.token(alice))
        said = (await browser.get("/who")).json()
        assert (said["iss"], said["sub"]) == (project.issuer, str(alice.id))
        for _ in range(5):
            assert (await app.bearer(project.token(alice)).get("/me")).json()["id"] == said["account"]
        assert project.asked["GET /.well-known/jwks.json"] == (algorithm != "HS256")


LIES: list[dict[str, Any]] = [
    {"iss": "https://other.supabase.co/auth/v1"},
    {"iss": None},
    {"aud": "anon"},
    {"aud": None},
    {"role": "anon"},
    {"role": "service_role"},
    {"role": None},
    {"sub": None},
    {"sub": 7},
    {"exp": 1},
    {"exp": None},
    {"session_id": None},
    {"session_id": 7},
    {"session_id": ""},
    {"nbf": 2**33},
]


async def test_a_token_that_says_something_else_is_refused(app: SupabaseApp) -> None:
    alice = app.user()
    assert (await app.bearer(app.project.token(alice)).get("/who")).status_code == 200
    for claims in LIES:
        refused(await app.bearer(app.project.token(alice, **claims)).get("/who"), 401, "invalid_token")


async def test_keys_and_secrets_are_never_taken_for_one_another(opened: Any, project: CheckedSupabase) -> None:
    """RFC 8725 §2.1: a public key is no HMAC secret, and the secret signs nothing but HS256."""
    for options in ({}, {"jwt_secret": project.jwt_secret}):
        app = await opened(project, **options)
        alice = app.user()
        claims = project._claims(project._begin(alice, "password"))
        public = project._signing.verifying_key()
        secrets = [public.material, public.material.strip(), json.dumps(public.to_jwk()).encode(), b""]
        for secret in (*secrets, *([] if options else [project.jwt_secret.encode()])):
            for header in ({"alg": "HS256", "typ": "JWT", "kid": public.kid}, {"alg": "HS256", "typ": "JWT"}):
                refused(await app.bearer(forged(header, claims, secret)).get("/who"), 401, "invalid_token")
        for algorithm in ("ES256", "RS256", "EdDSA", "HS512", "none"):
            header = {"alg": algorithm, "typ": "JWT", "kid": public.kid}
            refused(
                await app.bearer(forged(header, claims, project.jwt_secret.encode())).get("/who"), 401, "invalid_token"
            )
        stranger = SigningKey.generate("ES256")
        refused(await app.bearer(project.token(alice, key=stranger)).get("/who"), 401, "invalid_token")


def forged(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    signed = ".".join(base64url.encode(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{base64url.encode(hmac.digest(secret, signed.encode(), 'sha256'))}"


async def test_whatever_a_project_says_of_a_person_is_no_error_of_ours(app: SupabaseApp) -> None:
    alice = app.user()
    for said in lies():
        try:
            token = app.project.token(alice, **said)
        except UnicodeEncodeError:  # no token can say it
            continue
        assert (await app.bearer(token).get("/me")).status_code in (200, 401), said


async def test_api_keys_are_nobodys_tokens(opened: Any, project: CheckedSupabase, caplog: Any) -> None:
    app = await opened(project, jwt_secret=project.jwt_secret)
    caplog.set_level(logging.INFO, "limen")
    for key in (project.key, project.secret_key, project.legacy_key("anon"), project.legacy_key("service_role")):
        refused(await app.bearer(key).get("/who"), 401, "invalid_token")
        refused(await app.mini.visitor(**{"X-API-Key": key}).get("/who"), 401, "invalid_token")
    assert "an API key of Supabase is not a user's token" in caplog.text
    assert "an anon or service_role key of Supabase is not a user's token" in caplog.text
    assert project.key not in caplog.text


async def test_only_what_the_project_wrote_gives_rights(opened: Any, project: CheckedSupabase) -> None:
    app = await opened(project, rights="token")
    mine = {"roles": ["admin"], "permissions": ["*"], "role": "service_role"}
    mean = app.bearer(
        project.token(app.user("mean@example.com", user_metadata=mine), **mine | {"role": "authenticated"})
    )
    said = (await mean.get("/who")).json()
    assert (said["permissions"], said["roles"]) == ([], [])
    refused(await mean.get("/items"), 403, "insufficient_scope")
    kind = app.user("kind@example.com", app_metadata={"roles": ["editor", "unknown"], "permissions": ["reports:read"]})
    said = (await app.bearer(project.token(kind)).get("/who")).json()
    assert (said["permissions"], said["roles"]) == (["items", "reports:read"], ["editor"])
    for odd in ("admin", {"admin": True}, 7, None, [["admin"], 7]):
        token = project.token(kind, app_metadata={"roles": odd, "permissions": odd})
        assert (await app.bearer(token).get("/who")).json()["roles"] == []
    assert (await app.bearer(project.token(kind, app_metadata="admin")).get("/who")).json()["roles"] == []


async def test_a_function_of_the_apps_that_fails_is_no_500(opened: Any, project: CheckedSupabase) -> None:
    app = await opened(project, permissions=lambda claims: claims["x"])
    refused(await app.bearer(project.token(app.user())).get("/who"), 401, "invalid_token")


async def test_the_rows_rights_count_and_change_at_once(app: SupabaseApp) -> None:
    alice = app.bearer(app.project.token(app.user()))
    assert (await alice.get("/items")).status_code == 200  # a new row has the default role
    key = app.auth.kernel.users.parse_key((await alice.get("/me")).json()["id"])
    await app.auth[Roles].assign_as_operator(key, roles=[])
    refused(await alice.get("/items"), 403, "insufficient_scope")


async def test_how_somebody_proved_who_they_are_is_mapped(app: SupabaseApp) -> None:
    tokens = app.project.sign_in(app.user(), method="password", aal="aal2")
    said = (await app.bearer(tokens.access_token).get("/who")).json()
    assert (said["amr"], said["aal"], said["sid"]) == (["pwd", "mfa"], "aal2", tokens.session_id)
    odd: list[Any] = [["pwd"], {"method": "totp", "timestamp": -1}, {"method": 7}, "totp", {"timestamp": "x"}, None]
    said = (await app.bearer(app.project.token(app.user("b@example.com"), amr=odd)).get("/who")).json()
    assert said["amr"] == ["otp"]


async def test_anonymous_users_stay_out_unless_they_are_wanted(opened: Any, project: CheckedSupabase) -> None:
    app = await opened(project)
    token = project.token(project._anonymous())
    refused(await app.bearer(token).get("/who"), 401, "invalid_token")
    wanted = await opened(project, anonymous=True)
    assert (await wanted.bearer(token).get("/me")).json()["email"].endswith(".invalid")


async def test_a_rotated_key_is_known_at_once(app: SupabaseApp) -> None:
    alice = app.user()
    before = app.bearer(app.project.token(alice))
    assert (await before.get("/who")).status_code == 200
    app.project.rotate_key()
    assert (await app.bearer(app.project.token(alice)).get("/who")).status_code == 200
    assert (await before.get("/who")).status_code == 200
    assert app.project.asked["GET /.well-known/jwks.json"] == 2


async def test_an_address_makes_nobody_another(app: SupabaseApp) -> None:
    own = await app.mini.signed_in("alice@example.com", is_verified=True)
    theirs = (await app.bearer(app.project.token(app.user())).get("/me")).json()
    assert theirs["id"] != own.account.subject
    assert theirs["email"].endswith(".invalid")


async def test_an_address_that_was_not_confirmed_stays_free_for_its_owner(app: SupabaseApp) -> None:
    theirs = (await app.bearer(app.project.token(app.user())).get("/me")).json()
    assert (theirs["email"], theirs["is_verified"]) == ("alice@example.com", False)
    own = await app.mini.signed_in("alice@example.com", is_verified=True)
    assert (await own.me()).json()["id"] == own.account.subject != theirs["id"]
    assert (await app.auth[Accounts].find("alice@example.com")).id == own.account.id
    found = await app.auth[Accounts].list(search="alice@")
    assert {account.subject for account in found} == {own.account.subject, theirs["id"]}, "operators see both"
    with pytest.raises(Conflict):  # two accounts of one verified address there must never be
        await app.auth[Accounts].set_verified(app.auth.kernel.users.parse_key(theirs["id"]), True)


async def test_where_both_sides_verified_it_links_if_the_setting_says_so(opened: Any, project: CheckedSupabase) -> None:
    app = await opened(project, confirms_email=True, links="verified")
    account = await app.mini.account("alice@example.com", is_verified=True)
    assert (await app.bearer(project.token(app.user())).get("/me")).json()["id"] == account.subject
    new = (await app.bearer(project.token(app.user("new@example.com"))).get("/me")).json()
    assert new["is_verified"] is True


async def test_three_issuers_at_one_guard(database_url: str, project: CheckedSupabase, clock: FakeClock) -> None:
    with KeyServer() as issuer:
        trusted = TrustedIssuers([TrustedIssuer(issuer.issuer, users="make")])
        features = features_of(trusted, Supabase(project.url, key=project.key))
        async with open_app(database_url, features=features, routes=routes, clock=clock) as mini:
            app = SupabaseApp(mini, project)
            own = await mini.signed_in("own@example.com")
            alice = app.user()
            seen = {}
            for browser in (
                own,
                app.bearer(project.token(alice)),
                app.bearer(issuer.token(sub=str(alice.id), email="x@example.com", email_verified=True)),
                await app.signed_in("bob@example.com"),
            ):
                said = (await browser.get("/who")).json()
                seen[(await browser.get("/me")).json()["id"]] = said["iss"]
            mine = [mini.auth.settings.issuer, project.issuer, issuer.issuer, project.issuer]
            assert list(seen.values()) == mine  # a namesake of another issuer is somebody else


# --- what cannot work


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"url": None}, "LIMEN_SUPABASE_URL"),
        ({"url": "project.supabase.co"}, "LIMEN_SUPABASE_URL"),
        ({"url": "https://a.supabase.co?x=1"}, "query"),
        ({"jwt_secret": "short"}, "LIMEN_SUPABASE_JWT_SECRET"),
        ({"jwt_secret": "sb_secret_" + "x" * 40}, "LIMEN_SUPABASE_JWT_SECRET"),
        ({"jwt_secret": "-----BEGIN PUBLIC KEY-----" + "x" * 40}, "LIMEN_SUPABASE_JWT_SECRET"),
    ],
)
async def test_what_cannot_work_is_said_at_once(tmp_path: Any, options: dict[str, Any], says: str) -> None:
    given = {"url": "https://a.supabase.co", **options}
    with pytest.raises(ConfigurationError, match=says):
        async with open_app(f"sqlite+aiosqlite:///{tmp_path}/a.db", features=features_of(Supabase(**given))):
            pass
    with pytest.raises(ConfigurationError, match="error_page"):
        Supabase("https://a.supabase.co", error_page="//evil.example")


async def test_a_key_that_may_too_much_is_a_warning(tmp_path: Any, project: CheckedSupabase) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/a.db"
    for key, ids in (
        (project.key, []),
        (project.legacy_key("anon"), []),
        (project.secret_key, ["limen.W041"]),
        (project.legacy_key("service_role"), ["limen.W041"]),
        (None, ["limen.W042"]),
    ):
        feature = Supabase("https://a.supabase.co", key=key)
        async with open_app(url, features=features_of(feature), roles=[Role("member", [], default=True)]):
            assert [finding.id for finding in feature.checks()] == ids
    feature = Supabase("http://10.0.0.7", key=project.key)
    async with open_app(url, features=features_of(feature)):
        assert [finding.id for finding in feature.checks()] == ["limen.W040"]
