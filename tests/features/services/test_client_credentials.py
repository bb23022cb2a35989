"""`client_credentials` at /auth/token (RFC 6749 §4.4) with a secret."""

import base64

import jwt as pyjwt
import pytest
from tests.features.answers import oauth_refused, refused
from tests.features.api_keys.conftest import by_header, counted
from tests.features.mini_app import SECRET
from tests.features.services.conftest import ELSEWHERE, make_machine

from limen import Accounts, Roles, Services
from limen.core.checked_token import CheckedToken
from limen.events import ClientTokenIssued

pytestmark = pytest.mark.anyio


def claims_of(answer, **options):
    return pyjwt.decode(answer.json()["access_token"], SECRET, ["HS256"], options={"verify_aud": False, **options})


@pytest.mark.parametrize("way", ["by_basic", "by_post"])
async def test_a_service_gets_an_access_token_and_no_refresh_token(machine, way):
    answer = await getattr(machine, way)()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body.keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("bearer", 900, "items:read items:write")
    claims = claims_of(answer)
    assert (claims["sub"], claims["client_id"]) == (machine.id, machine.id)
    assert claims["aud"] == "http://localhost:8000/auth"
    assert not claims.keys() & {"sid", "auth_time", "amr"}
    who = (await machine.get("/who", body["access_token"])).json()
    assert (who["sub"], who["credential"], who["session_id"]) == (machine.id, "access_token", None)
    (event,) = machine.mini.heard(ClientTokenIssued)
    assert (event.subject, event.credential_id) == (machine.id, machine.credential_id)


async def test_the_scope_narrows_and_never_widens(machine):
    for asked, granted in (
        ("items:read", "items:read"),
        ("items", "items:read items:write"),
        ("items:read users:write *", "items:read items:write"),
        ("users:write", ""),
        (None, "items:read items:write"),
    ):
        answer = await machine.by_basic(scope=asked)
        assert answer.json()["scope"] == granted
        assert claims_of(answer)["scope"] == granted
    token = (await machine.by_basic(scope="users:write")).json()["access_token"]
    refused(await machine.get("/items", token), 403, "insufficient_scope")
    oauth_refused(await machine.by_basic(scope='a"b'), 400, "invalid_scope")


@pytest.mark.parametrize("name", ["resource", "audience"])
async def test_the_audience_narrows_to_those_that_are_served(machine, name):
    answer = await machine.by_basic(**{name: ELSEWHERE})
    assert claims_of(answer)["aud"] == ELSEWHERE
    refused(await machine.get("/who", answer.json()["access_token"]), 401, "invalid_token")
    own = await machine.by_basic(**{name: "http://localhost:8000/auth"})
    assert (await machine.get("/who", own.json()["access_token"])).status_code == 200
    oauth_refused(await machine.by_basic(**{name: "https://evil.example"}), 400, "invalid_target")
    oauth_refused(await machine.by_basic(resource=ELSEWHERE, audience=ELSEWHERE), 400, "invalid_request")


async def test_exactly_one_method_per_request(machine):
    basic = (machine.id, machine.secret)
    for form in (
        {"client_secret": machine.secret},
        {"client_id": machine.id, "client_secret": machine.secret},
        {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": "a.b.c",
        },
    ):
        oauth_refused(await machine.ask(auth=basic, **form), 400, "invalid_request")
    oauth_refused(await machine.ask(auth=basic, client_id="another"), 400, "invalid_request")
    assert (await machine.ask(auth=basic, client_id=machine.id)).status_code == 200
    assert (await machine.ask(auth=basic, client_id="", client_secret="")).status_code == 200


async def test_whoever_is_not_proved_is_the_same_invalid_client(machine):
    mini, token = machine.mini, CheckedToken.parse(machine.secret, prefix="lmc_")
    other = await make_machine(mini, "other")
    gone = await make_machine(mini, "gone")
    await mini.auth[Accounts].set_active(gone.account.id, False)
    wrong = CheckedToken("lmc_", token.id, "0" * 32).text
    tries = {
        "no client": {},
        "unknown client": {"auth": ("nobody", machine.secret)},
        "another's secret": {"auth": (machine.id, other.secret)},
        "unknown secret": {"auth": (machine.id, CheckedToken.mint("lmc_").text)},
        "wrong secret": {"auth": (machine.id, wrong)},
        "typo": {"auth": (machine.id, machine.secret[:-1])},
        "empty secret": {"auth": (machine.id, "")},
        "only a name": {"client_id": machine.id},
        "only a secret": {"client_secret": machine.secret},
        "disabled": {"auth": (gone.id, gone.secret)},
        "8 KB": {"auth": (machine.id, "lmc_" + "a" * 9000)},
        "NUL": {"auth": (machine.id + "\x00", machine.secret)},
        "unicode": {"client_id": "ключ", "client_secret": machine.secret},
    }
    bodies = set()
    for options in tries.values():
        answer = await machine.ask(**options)
        oauth_refused(answer, 401, "invalid_client")
        assert answer.headers["www-authenticate"] == 'Basic realm="limen"'
        bodies.add(answer.content)
    assert len(bodies) == 1
    for header in (
        "Basic !",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"\xff:x").decode(),
    ):
        answer = await mini.visitor().client.post(
            "/auth/token", data={"grant_type": "client_credentials"}, headers={"Authorization": header}
        )
        oauth_refused(answer, 401, "invalid_client")


async def test_an_unknown_client_costs_what_a_wrong_secret_costs(machine):
    token = CheckedToken.parse(machine.secret, prefix="lmc_")
    told = set()
    for auth in (
        ("nobody", machine.secret),
        (machine.id, CheckedToken.mint("lmc_").text),
        ("nobody", CheckedToken.mint("lmc_").text),
        (machine.id, CheckedToken("lmc_", token.id, "0" * 32).text),
    ):
        with counted(machine.mini) as statements:
            await machine.ask(auth=auth)
        told.add(tuple(statements))
    assert len(told) == 1
    assert len(told.pop()) == 1


async def test_credentials_in_basic_are_form_encoded(machine):
    """RFC 6749 §2.3.1, appendix B: some clients do encode what needs no encoding."""
    encoded = "".join(f"%{ord(character):02X}" for character in machine.secret)
    assert (await machine.ask(auth=(machine.id, encoded))).status_code == 200


async def test_a_service_uses_no_other_grant(machine):
    for grant in ("password", "refresh_token"):
        form = {"grant_type": grant, "username": "a", "password": "b", "refresh_token": "c"}
        oauth_refused(await machine.by_basic(**form), 400, "unauthorized_client")


async def test_a_service_cannot_sign_in(machine):
    from limen import Passwords
    from limen.errors import IncorrectLogin
    from limen.testing import PASSWORD

    mini = machine.mini
    refused(await mini.visitor().login("ci-bot"), 401, "invalid_credentials")
    await mini.auth[Passwords].set(machine.account.id, PASSWORD)
    for name in ("ci-bot", str(machine.account.columns["email"])):
        first = await mini.visitor().login(name)
        refused(first, 401, "invalid_credentials")
        assert first.content == (await mini.visitor().login("nobody@example.com")).content
        with pytest.raises(IncorrectLogin):
            await mini.auth[Passwords].verify(name, PASSWORD)


async def test_no_first_factor_becomes_a_service_s_session(machine):
    from limen.core.client import NOWHERE
    from limen.core.login import Proof
    from limen.errors import AuthError

    for deliver in ("token", "cookie"):
        proof = Proof(subject=machine.id, amr=("hwk",), deliver=deliver)
        with pytest.raises(AuthError, match="service"):
            await machine.mini.auth.kernel.login.complete(proof, NOWHERE)


async def test_tokens_end_with_the_service_s_rights_its_secret_and_itself(machine):
    mini = machine.mini

    async def token():
        answer = await machine.by_basic()
        assert answer.status_code == 200
        return answer.json()["access_token"]

    first = await token()
    await mini.auth[Roles].assign_as_operator(machine.account.id, roles=["editor"])
    refused(await machine.get("/items", first), 401, "invalid_token")
    second = await token()
    await mini.auth[Services].add_secret(machine.account)
    assert (await machine.get("/items", second)).status_code == 200
    await mini.auth[Services].revoke_credential(machine.account, machine.credential_id)
    refused(await machine.get("/items", second), 401, "invalid_token")
    oauth_refused(await machine.by_basic(), 401, "invalid_client")


async def test_a_token_without_a_session_is_revoked_by_itself(machine):
    other = await make_machine(machine.mini, "other")
    first, second = [(await machine.by_basic()).json()["access_token"] for _ in range(2)]
    visitor = machine.mini.visitor()
    answer = await visitor.client.post("/auth/revoke", data={"token": first}, auth=(other.id, other.secret))
    assert answer.status_code == 200
    assert (await machine.get("/who", first)).status_code == 200, "another client's is left alone"
    answer = await visitor.client.post("/auth/revoke", data={"token": first}, auth=(machine.id, machine.secret))
    assert answer.status_code == 200
    refused(await machine.get("/who", first), 401, "invalid_token")
    assert (await machine.get("/who", second)).status_code == 200
    answer = await visitor.client.post("/auth/revoke", data={"token": second}, auth=(machine.id, "wrong"))
    oauth_refused(answer, 401, "invalid_client")


async def test_a_service_s_token_makes_no_keys(machine):
    token = (await machine.by_basic()).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    visitor = machine.mini.visitor()
    refused(await visitor.client.post("/auth/api-keys", json={"name": "x"}, headers=headers), 403, "forbidden")
    refused(await visitor.client.post("/auth/logout", headers=headers), 403, "forbidden")


async def test_a_service_has_api_keys_too(machine):
    admin = await machine.mini.signed_in("root@example.com", roles=["admin"])
    answer = await admin.post(f"/users/{machine.id}/api-keys", json={"name": "ci", "scopes": ["items:read"]})
    assert answer.status_code == 201
    who = (await machine.mini.visitor().get("/who", headers=by_header(answer.json()["key"]))).json()
    assert (who["sub"], who["permissions"]) == (machine.id, ["items:read"])


async def test_metadata_tells_the_methods(machine):
    body = (await machine.mini.visitor().client.get("/.well-known/oauth-authorization-server")).json()
    methods = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
    assert body["token_endpoint_auth_methods_supported"] == methods
    assert body["token_endpoint_auth_signing_alg_values_supported"] == ["ES256", "EdDSA", "RS256"]
    assert "client_credentials" in body["grant_types_supported"]


async def test_swagger_s_empty_basic_still_signs_people_in(machine):
    from limen.testing import PASSWORD

    await machine.mini.account()
    form = {"grant_type": "password", "username": "alice@example.com", "password": PASSWORD}
    answer = await machine.mini.visitor().client.post("/auth/token", data=form, headers={"Authorization": "Basic Og=="})
    assert answer.status_code == 200
