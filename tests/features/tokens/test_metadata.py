"""The documents under /.well-known: RFC 7517, RFC 8414, RFC 9728."""

import jwt as pyjwt
import pytest

from limen.core.keys import SigningKey

pytestmark = pytest.mark.anyio


async def document(mini, path):
    answer = await mini.visitor().get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "max-age=300"
    return answer.json()


async def test_a_shared_secret_has_no_public_keys(mini):
    assert await document(mini, "/.well-known/jwks.json") == {"keys": []}


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
async def test_the_published_key_verifies_the_tokens(opened, tmp_path, algorithm):
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = {
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
        "RS256": lambda: rsa.generate_private_key(65537, 2048),
    }[algorithm]()
    pem = tmp_path / "key.pem"
    pem.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    mini = await opened(settings={"algorithm": algorithm, "signing_key_file": pem})
    (key,) = (await document(mini, "/.well-known/jwks.json"))["keys"]
    assert "d" not in key
    assert key["kid"] == SigningKey.from_pem(pem.read_bytes(), algorithm=algorithm).kid
    alice = await mini.signed_in()
    assert (await alice.me()).status_code == 200
    public = pyjwt.PyJWK.from_dict(key).key
    claims = pyjwt.decode(alice.access_token, public, [algorithm], audience="http://localhost:8000/auth")
    assert claims["sub"] == alice.account.subject
    assert pyjwt.get_unverified_header(alice.access_token)["kid"] == key["kid"]


async def test_the_authorization_server_names_its_endpoints(mini):
    body = await document(mini, "/.well-known/oauth-authorization-server")
    assert body["issuer"] == "http://localhost:8000/auth"
    assert body["token_endpoint"] == "http://localhost:8000/auth/token"
    assert body["jwks_uri"] == "http://localhost:8000/.well-known/jwks.json"
    assert {"password", "refresh_token"} <= set(body["grant_types_supported"])
    assert {"items:read", "items"} <= set(body["scopes_supported"])
    visitor = mini.visitor()
    for name in ("token_endpoint", "revocation_endpoint", "introspection_endpoint"):
        assert (await visitor.post(body[name], data={"token": "x"})).status_code not in (404, 405)


async def test_the_metadata_is_where_rfc_8414_puts_it_for_an_issuer_with_a_path(mini):
    plain = await document(mini, "/.well-known/oauth-authorization-server")
    assert await document(mini, "/.well-known/oauth-authorization-server/auth") == plain


async def test_the_protected_resource_names_its_authorization_server(mini):
    body = await document(mini, "/.well-known/oauth-protected-resource")
    assert body["authorization_servers"] == ["http://localhost:8000/auth"]
    assert body["bearer_methods_supported"] == ["header"]
    assert body["resource"]


async def test_documents_speak_of_the_configured_base_url_whatever_the_request_says(opened):
    mini = await opened(settings={"base_url": "https://api.example.com"})
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
    answer = await mini.visitor().get("/.well-known/oauth-authorization-server", headers=headers)
    assert answer.json()["issuer"] == "https://api.example.com/auth"
    assert "evil" not in answer.text
