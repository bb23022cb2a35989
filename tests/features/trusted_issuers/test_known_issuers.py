"""The settings that the documentation gives for known issuers take their tokens, and not what else they sign."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.features.trusted_issuers.conftest import Visit
from tests.features.trusted_issuers.key_server import KEYS, KeyServer

from limen import ConfigurationError, TrustedIssuer, Verifier

pytestmark = pytest.mark.anyio


def keycloak_roles(claims: Any) -> list[str]:
    return list(claims["realm_access"]["roles"])


def clerk_permissions(claims: Any) -> list[str]:
    return list(claims.get("permissions", []))


API = "https://api.example.com"
CLIENT = "3n4b5urk1ft4fl3mg5e62d9ado"
ZITADEL_ROLES = "urn:zitadel:iam:org:project:roles"

Case = tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]], list[str], list[str]]
CASES: dict[str, Case] = {
    "Auth0": (
        {"audience": API, "typ": None, "permissions": "permissions", "roles": "https://example.com/roles"},
        {"aud": [API, "https://t.auth0.com/userinfo"], "azp": CLIENT, "permissions": ["items:read"], "gty": "password"}
        | {"https://example.com/roles": ["editor"], "scope": "openid profile", "typ": "JWT"},
        [{"aud": CLIENT}],
        ["items:read"],
        ["editor"],
    ),
    "Clerk": (
        {"audience": "https://app.example.com", "audience_claim": "azp", "typ": None, "permissions": clerk_permissions}
        | {"roles": None},
        {"aud": None, "azp": "https://app.example.com", "sid": "sess_1", "scope": None, "typ": "JWT", "v": 2},
        [{"azp": "https://evil.example"}, {"azp": None}],
        [],
        [],
    ),
    "Cognito": (
        {"audience": CLIENT, "audience_claim": "client_id", "requires": {"token_use": "access"}, "typ": None}
        | {"roles": "cognito:groups"},
        {"aud": None, "client_id": CLIENT, "token_use": "access", "cognito:groups": ["editor"], "version": 2}
        | {"scope": "items:read aws.cognito.signin.user.admin", "username": "alice", "typ": "JWT"},
        [{"token_use": "id"}, {"token_use": None}, {"client_id": "other"}, {"client_id": None, "aud": CLIENT}],
        ["items:read", "aws.cognito.signin.user.admin"],
        ["editor"],
    ),
    "Entra": (
        {"audience": "api-guid", "typ": None, "permissions": "scp", "algorithms": ["ES256"], "requires": {"tid": "t1"}},
        {"aud": "api-guid", "scope": None, "scp": "items:read", "roles": ["editor"], "tid": "t1", "ver": "2.0"}
        | {"typ": "JWT"},
        [{"tid": "t2"}, {"aud": "00000003-0000-0000-c000-000000000000"}],
        ["items:read"],
        ["editor"],
    ),
    "Firebase": (
        {"audience": "my-project", "typ": None, "permissions": None, "roles": "roles"},
        {"aud": "my-project", "scope": None, "user_id": "1", "firebase": {"sign_in_provider": "password"}}
        | {"auth_time": 1, "roles": ["editor"], "typ": "JWT"},
        [{"aud": "other-project"}],
        [],
        ["editor"],
    ),
    "Keycloak": (
        {"audience": "api", "typ": None, "roles": keycloak_roles, "requires": {"typ": "Bearer"}},
        {"aud": ["api", "account"], "realm_access": {"roles": ["editor"]}, "azp": "web", "scope": "items:read email"}
        | {"header": "JWT", "typ_claim": "Bearer"},
        [{"typ_claim": "ID"}, {"aud": "account"}, {"realm_access": None}],
        ["items:read", "email"],
        ["editor"],
    ),
    "Zitadel": (
        {"audience": "268", "typ": None, "roles": ZITADEL_ROLES},
        {"aud": ["268", "web"], ZITADEL_ROLES: {"editor": {"1": "a.example"}}, "scope": None, "typ": "JWT"},
        [{"aud": "web"}],
        [],
        ["editor"],
    ),
    "limen": ({}, {"roles": ["editor"]}, [{"typ": "JWT"}, {"aud": API}], ["items:read"], ["editor"]),
}


def minted(issuer: KeyServer, claims: dict[str, Any], changes: dict[str, Any]) -> str:
    said = {**claims, **changes}
    typ = said.pop("header", said.pop("typ", "at+jwt"))
    if "typ_claim" in said:
        from limen.core.jwt import sign

        said["typ"] = said.pop("typ_claim")
        full = {"iss": issuer.issuer, "sub": "42", "iat": 1, "exp": 2**33, **said}
        return sign({name: value for name, value in full.items() if value is not None}, key=issuer.key, typ=typ)
    return issuer.token(typ=typ, **said)


@pytest.mark.parametrize("name", CASES)
async def test_the_documented_settings_take_their_tokens(opened: Visit, issuer: KeyServer, name: str) -> None:
    options, claims, others, permissions, roles = CASES[name]
    jwks = {"jwks_url": f"{issuer.origin}{KEYS}"} if name == "Firebase" else {}
    service = await opened(Verifier(TrustedIssuer(issuer.issuer, **options, **jwks)))
    answer = await service.who(minted(issuer, claims, {}))
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["permissions"], said["roles"]) == (sorted(permissions), sorted(roles))
    for other in others:
        assert (await service.who(minted(issuer, claims, other))).status_code == 401, other


async def test_a_claim_of_an_own_form_is_left_alone(opened: Visit, issuer: KeyServer) -> None:
    amr = [{"method": "password", "timestamp": 1}]
    strict = await opened(Verifier(TrustedIssuer(issuer.issuer)))
    assert (await strict.who(issuer.token(amr=amr))).status_code == 401
    lenient = await opened(Verifier(TrustedIssuer(issuer.issuer, untyped=frozenset({"amr"}))))
    assert (await lenient.who(issuer.token(amr=amr))).status_code == 200


@pytest.mark.parametrize(
    "options", [{"links": "verified"}, {"rights": "both"}, {"values": dict}, {"users": "all"}, {"audience_claim": ""}]
)
def test_settings_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    make: Callable[..., TrustedIssuer] = TrustedIssuer
    with pytest.raises(ConfigurationError):
        make("https://id.example.com", **options)
