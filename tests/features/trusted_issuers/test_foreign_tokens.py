"""What tokens of other issuers are worth: exactly what the operator said, and only for whom they were made."""

import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from tests.features.mini_app import ROLES, features_of, settings_of
from tests.features.trusted_issuers.conftest import Service, TurnedClock, Visit
from tests.features.trusted_issuers.key_server import KeyServer

from limen import Auth, ConfigurationError, TrustedIssuer, Verifier
from limen.core import base64url
from limen.core.keys import SigningKey
from limen.features.trusted_issuers import TrustedIssuers
from limen.testing import as_user

pytestmark = pytest.mark.anyio

# --- what is refused


def forged(header: dict[str, object], claims: dict[str, object], secret: bytes) -> str:
    signed = ".".join(base64url.encode(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{base64url.encode(hmac.digest(secret, signed.encode(), 'sha256'))}"


async def test_a_public_key_is_no_secret(service: Service, issuer: KeyServer) -> None:
    """CVE-2015-9235: a token signed with HS256 and the key that everybody can fetch."""
    assert (await service.who(issuer.token())).status_code == 200
    public = issuer.key.verifying_key()
    jwk = json.dumps(public.to_jwk()).encode()
    claims = {"iss": issuer.issuer, "aud": issuer.issuer, "sub": "1", "iat": int(time.time()), "exp": 2**32}
    for secret in (public.material, public.material.strip(), jwk, b""):
        for header in ({"alg": "HS256", "typ": "at+jwt", "kid": public.kid}, {"alg": "HS256", "typ": "at+jwt"}):
            assert (await service.who(forged(header, claims, secret))).status_code == 401
    unsigned = forged({"alg": "none", "typ": "at+jwt"}, claims, b"").rpartition(".")[0] + "."
    assert (await service.who(unsigned)).status_code == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://another.example.com"},
        {"aud": None},
        {"iss": "https://another.example.com"},
        {"iss": None},
        {"exp": 1},
        {"exp": None},
        {"iat": 2**33, "exp": 2**34},
        {"nbf": 2**33},
        {"sub": None},
        {"typ": "JWT"},
        {"typ": "logout+jwt"},
    ],
)
async def test_a_token_that_says_something_else_is_refused(
    service: Service, issuer: KeyServer, claims: dict[str, Any]
) -> None:
    answer = await service.who(issuer.token(**claims))
    assert answer.status_code == 401
    assert answer.json()["code"] == "invalid_token"
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


async def test_an_algorithm_that_was_not_asked_for_is_refused(opened: Visit, issuer: KeyServer) -> None:
    eddsa = SigningKey.generate("EdDSA")
    issuer.publish(issuer.key, eddsa)
    service = await opened(Verifier(TrustedIssuer(issuer.issuer, algorithms=["ES256"])))
    assert (await service.who(issuer.token())).status_code == 200
    assert (await service.who(issuer.token(key=eddsa))).status_code == 401


async def test_an_issuer_that_does_not_type_its_tokens_is_taken_at_plain_ones(opened: Visit, issuer: KeyServer) -> None:
    service = await opened(Verifier(TrustedIssuer(issuer.issuer, typ=None)))
    assert (await service.who(issuer.token(typ="JWT"))).status_code == 200
    assert (await service.who(issuer.token(typ="logout+jwt"))).status_code == 401


# --- what is believed


async def test_scope_and_roles_become_permissions_and_roles(service: Service, issuer: KeyServer) -> None:
    token = issuer.token(scope="openid items:* https://example.com/read items:read", roles=["editor"], sid="s1")
    assert (await service.who(token)).json() == {
        "sub": "42",
        "iss": issuer.issuer,
        "permissions": ["items", "openid"],
        "roles": ["editor"],
        "sid": "s1",
    }


async def test_without_the_permission_it_is_403(service: Service, issuer: KeyServer) -> None:
    assert (await service.who(issuer.token(), "/items")).status_code == 200
    answer = await service.who(issuer.token(scope="other"), "/items")
    assert answer.status_code == 403
    assert answer.json()["scope"] == "items:read"


async def test_claims_of_other_names_and_shapes_can_be_mapped(opened: Visit, issuer: KeyServer) -> None:
    trusted = TrustedIssuer(
        issuer.issuer,
        permissions="scp",
        roles=lambda claims: dict(claims["realm_access"])["roles"],  # type: ignore[call-overload]
    )
    service = await opened(Verifier(trusted))
    token = issuer.token(scope="admin", roles=["admin"], scp=["items:read", 7], realm_access={"roles": ["editor"]})
    said = (await service.who(token)).json()
    assert (said["permissions"], said["roles"]) == (["items:read"], ["editor"])
    assert (await service.who(issuer.token())).status_code == 401  # the function finds nothing to read


async def test_nothing_need_be_believed_but_the_subject(opened: Visit, issuer: KeyServer) -> None:
    service = await opened(Verifier(TrustedIssuer(issuer.issuer, permissions=None, roles=None)))
    said = (await service.who(issuer.token(scope="*", roles=["admin"]))).json()
    assert (said["permissions"], said["roles"]) == ([], [])


# --- several issuers beside the app's own


@pytest.fixture
def auth(tmp_path: Path, issuer: KeyServer, other_issuer: KeyServer, clock: TurnedClock) -> Auth:
    """limen's own tokens and those of two other issuers."""
    auth = Auth(
        settings=settings_of(f"sqlite+aiosqlite:///{tmp_path}/limen.db"),
        features=[*features_of(), TrustedIssuer(issuer.issuer), TrustedIssuer(other_issuer.issuer)],
        roles=ROLES,
        clock=clock,
    )
    engine = create_engine(f"sqlite:///{tmp_path}/limen.db")
    auth.kernel.tables.users.metadata.create_all(engine, tables=list(auth.tables()))
    engine.dispose()
    return auth


async def test_a_route_takes_the_tokens_of_all_and_says_whose_they_are(
    auth: Auth, opened: Visit, issuer: KeyServer, other_issuer: KeyServer
) -> None:
    service = await opened(auth)
    alice = await as_user(auth)
    own = (await service.who(alice.access_token)).json()
    assert (own["iss"], own["sub"]) == (auth.settings.issuer, alice.subject)
    for foreign in (issuer, other_issuer):
        said = (await service.who(foreign.token())).json()
        assert (said["iss"], said["sub"]) == (foreign.issuer, "42")
        assert foreign.asked.total() == 2


async def test_one_issuer_cannot_speak_for_another(
    auth: Auth, opened: Visit, issuer: KeyServer, other_issuer: KeyServer
) -> None:
    service = await opened(auth)
    for name, audience in (
        (other_issuer.issuer, other_issuer.issuer),
        (auth.settings.issuer, auth.settings.expected_audience),
    ):
        answer = await service.who(issuer.token(iss=name, aud=audience))
        assert answer.status_code == 401
    assert (await service.who(issuer.token(aud=other_issuer.issuer))).status_code == 401


async def test_a_namesake_of_another_issuer_is_not_the_user(auth: Auth, opened: Visit, issuer: KeyServer) -> None:
    """`sub` means something only together with `iss`."""
    service = await opened(auth)
    alice = await as_user(auth, roles=["admin"])
    namesake = issuer.token(sub=alice.subject, scope="*", roles=["admin"])
    assert (await service.who(namesake)).json()["sub"] == alice.subject
    for path in ("/users/me", "/users", "/auth/sessions"):
        assert (await service.who(namesake, path)).status_code in (401, 403)
        assert (await service.who(alice.access_token, path)).status_code == 200


async def test_a_namesake_cannot_end_the_session(auth: Auth, opened: Visit, issuer: KeyServer) -> None:
    service = await opened(auth)
    alice = await as_user(auth)
    session = (await service.who(alice.access_token)).json()["sid"]
    namesake = issuer.token(sub=alice.subject, sid=session)
    headers = {"Authorization": f"Bearer {namesake}"}
    assert (await service.client.post("/auth/logout", headers=headers)).status_code in (401, 403)
    await service.client.post("/auth/revoke", data={"token": namesake})
    assert (await service.who(alice.access_token)).status_code == 200


async def test_a_ban_of_the_user_is_none_of_the_namesake(auth: Auth, opened: Visit, issuer: KeyServer) -> None:
    service = await opened(auth)
    alice, admin = await as_user(auth), await as_user(auth, roles=["admin"])
    namesake = issuer.token(sub=alice.subject)
    path = f"/users/{alice.subject}"
    banned = await service.client.patch(path, json={"is_active": False}, headers=admin.headers)
    assert banned.status_code == 200
    assert (await service.who(alice.access_token)).status_code == 401
    assert (await service.who(namesake)).status_code == 200


async def test_openapi_offers_the_issuers_tokens(auth: Auth, opened: Visit, issuer: KeyServer) -> None:
    document = (await opened(auth)).app.openapi()
    assert {"TrustedIssuerBearer": ["items:read"]} in document["paths"]["/items"]["get"]["security"]
    scheme = document["components"]["securitySchemes"]["TrustedIssuerBearer"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert issuer.issuer in scheme["description"]


def test_the_feature_can_be_asked_for(auth: Auth, issuer: KeyServer, other_issuer: KeyServer) -> None:
    assert [each.issuer for each in auth[TrustedIssuers].trusted] == [issuer.issuer, other_issuer.issuer]


# --- what cannot work


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: TrustedIssuer("id.example.com"), "not a URL"),
        (lambda: TrustedIssuer("ftp://id.example.com"), "not a URL"),
        (lambda: TrustedIssuer("https://user:secret@id.example.com"), "not a URL"),
        (lambda: TrustedIssuer("https://id.example.com?tenant=1"), "query"),
        (lambda: TrustedIssuer("https://id.example.com#x"), "not a URL"),
        (lambda: TrustedIssuer("https://id.example.com", jwks_url="/keys"), "jwks_url"),
        (lambda: TrustedIssuer("https://id.example.com", algorithms=["HS256"]), "shared secret"),
        (lambda: TrustedIssuer("https://id.example.com", algorithms=["none"]), "ES256"),
        (lambda: TrustedIssuer("https://id.example.com", algorithms=[]), "ES256"),
        (lambda: TrustedIssuer("https://id.example.com", audience=""), "audience"),
        (lambda: TrustedIssuer("https://id.example.com", typ=""), "type"),
        (lambda: TrustedIssuers([]), "once"),
        (lambda: TrustedIssuers([TrustedIssuer("https://a.example")] * 2), "once"),
        (lambda: Verifier(TrustedIssuer("https://a.example"), audience="x"), "to the TrustedIssuer"),
    ],
)
def test_what_cannot_work_is_said_at_once(make: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make()


def test_an_app_does_not_trust_itself_by_the_network(tmp_path: Path) -> None:
    settings = settings_of(f"sqlite+aiosqlite:///{tmp_path}/limen.db")
    with pytest.raises(ConfigurationError, match="LIMEN_BASE_URL"):
        Auth(settings=settings, features=[*features_of(), TrustedIssuer(settings.issuer)])


def test_plain_http_to_another_machine_is_a_warning() -> None:
    trusted = [
        TrustedIssuer(url) for url in ("http://10.0.0.7/auth", "http://127.0.0.1:8000/auth", "https://a.example")
    ]
    (finding,) = TrustedIssuers(trusted).checks()
    assert finding.id.startswith("limen.W")
    assert "http://10.0.0.7/auth" in finding.sentence
