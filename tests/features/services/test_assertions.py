"""`private_key_jwt` (RFC 7523): a signed assertion, good once."""

import asyncio

import pytest
from joserfc import jwk
from tests.features.answers import oauth_refused
from tests.features.api_keys.conftest import counted
from tests.features.services.conftest import JWT_BEARER, TOKEN_URL, assertion, make_machine, new_key, public

from limen import Services
from limen.errors import Unprocessable

pytestmark = pytest.mark.anyio


async def registered(machine, key):
    import json

    return await machine.mini.auth[Services].add_key(machine.account, json.dumps(public(key)))


@pytest.mark.parametrize("alg", ["ES256", "EdDSA", "RS256"])
@pytest.mark.parametrize("form", ["jwk", "pem"])
async def test_a_signed_assertion_proves_the_service(machine, alg, form):
    import json

    key = new_key(alg)
    text = json.dumps(public(key)) if form == "jwk" else key.as_pem(private=False).decode()
    credential = await machine.mini.auth[Services].add_key(machine.account, text)
    answer = await machine.by_assertion(assertion(machine, key, alg=alg), scope="items:read")
    assert answer.status_code == 200, answer.text
    assert answer.json()["scope"] == "items:read"
    from limen.events import ClientTokenIssued

    assert machine.mini.heard(ClientTokenIssued)[-1].credential_id == credential.id


async def test_what_an_assertion_may_say(machine):
    key = new_key("ES256")
    stored = await registered(machine, key)
    import json

    kid = json.loads(stored.public_key)["kid"]
    for changes in (
        {"aud": TOKEN_URL},
        {"aud": ["https://elsewhere.example", TOKEN_URL]},
        {"iat": None},
        {"nbf": 0},
        {"header": {"kid": kid}},
        {"header": {"typ": "JWT"}},
        {"header": {"typ": "client-authentication+jwt"}},
        {"exp": int(machine.mini.clock.time()) + 3600},
    ):
        answer = await machine.by_assertion(assertion(machine, key, **changes))
        assert answer.status_code == 200, (changes, answer.text)
    answer = await machine.by_assertion(assertion(machine, key), client_id=machine.id)
    assert answer.status_code == 200


async def test_an_assertion_is_good_once(machine):
    key = new_key("ES256")
    await registered(machine, key)
    text = assertion(machine, key)
    assert (await machine.by_assertion(text)).status_code == 200
    oauth_refused(await machine.by_assertion(text), 401, "invalid_client")
    same = assertion(machine, key, jti="once")
    assert (await machine.by_assertion(same)).status_code == 200
    oauth_refused(await machine.by_assertion(assertion(machine, key, jti="once")), 401, "invalid_client")
    other = await make_machine(machine.mini, "other")
    await registered(other, key)
    assert (await other.by_assertion(assertion(other, key, jti="once"))).status_code == 200, "each client has its own"


async def test_of_many_at_once_one_is_the_first(machine):
    key = new_key("ES256")
    await registered(machine, key)
    text = assertion(machine, key)
    answers = await asyncio.gather(*(machine.by_assertion(text) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19


async def test_a_spent_assertion_is_remembered_until_it_has_expired(machine):
    key = new_key("ES256")
    await registered(machine, key)
    text = assertion(machine, key, exp=int(machine.mini.clock.time()) + 60)
    assert (await machine.by_assertion(text)).status_code == 200
    one_time = machine.mini.auth.kernel.one_time
    machine.mini.clock.advance(seconds=63)  # within the leeway it would still verify
    await one_time.purge()
    oauth_refused(await machine.by_assertion(text), 401, "invalid_client")
    machine.mini.clock.advance(seconds=10)
    await one_time.purge()
    oauth_refused(await machine.by_assertion(text), 401, "invalid_client")


async def test_every_wrong_assertion_is_the_same_invalid_client(machine):
    key, stranger = new_key("ES256"), new_key("ES256")
    await registered(machine, key)
    other = await make_machine(machine.mini, "other")
    now = int(machine.mini.clock.time())
    secret = jwk.OctKey.import_key("a shared secret of more than thirty-two bytes")
    text = assertion(machine, key)
    header, payload, signature = text.split(".")
    tries = [
        assertion(machine, stranger),
        assertion(machine, key, aud="https://elsewhere.example"),
        assertion(machine, key, aud=None),
        assertion(machine, key, exp=now - 60),
        assertion(machine, key, exp=None),
        assertion(machine, key, exp=now + 4000),
        assertion(machine, key, iat=now + 600),
        assertion(machine, key, nbf=now + 600),
        assertion(machine, key, jti=None),
        assertion(machine, key, jti=""),
        assertion(machine, key, jti="x" * 300),
        assertion(machine, key, sub="somebody"),
        assertion(machine, key, sub=None),
        assertion(machine, key, iss=other.id, sub=other.id),
        assertion(machine, key, iss="nobody", sub="nobody"),
        assertion(machine, key, iss=None),
        assertion(machine, key, header={"kid": "unknown"}),
        assertion(machine, key, header={"typ": "dpop+jwt"}),
        assertion(machine, key, header={"jwk": public(key)}),
        assertion(machine, secret, alg="HS256"),
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"eyJhbGciOiJub25lIn0.{payload}.",
        f"{header}.{payload}.{signature[:-4]}AAAA",
        "nonsense",
        "a.b.c",
        "x" * 9000,
        "ключ",
    ]
    bodies = set()
    for each in tries:
        answer = await machine.by_assertion(each)
        oauth_refused(answer, 401, "invalid_client")
        bodies.add(answer.content)
    oauth_refused(await machine.by_assertion(text, client_id=other.id), 401, "invalid_client")
    assert len(bodies) == 1
    assert (await machine.by_assertion(text)).status_code == 200, "none of these spent it"


async def test_a_half_assertion_is_an_invalid_request(machine):
    for form in (
        {"client_assertion_type": JWT_BEARER},
        {"client_assertion": "a.b.c"},
        {"client_assertion_type": "urn:saml", "client_assertion": "a.b.c"},
        {"client_assertion_type": JWT_BEARER, "client_assertion": "a.b.c", "client_secret": "x"},
    ):
        oauth_refused(await machine.ask(**form), 400, "invalid_request")


async def test_an_unknown_client_costs_a_signature_check_too(machine, monkeypatch):
    from limen.core import client_assertion

    key = new_key("ES256")
    await registered(machine, key)
    checked = []
    verify = client_assertion.jwt.verify

    def noted(text, **options):
        checked.append([each.algorithm for each in options["keys"].verifying])
        return verify(text, **options)

    monkeypatch.setattr(client_assertion.jwt, "verify", noted)
    unknown = "0b8ad9a1-0000-4000-8000-000000000000"
    for text in (
        assertion(machine, new_key("ES256")),
        assertion(machine, new_key("ES256"), iss=unknown, sub=unknown),
        assertion(machine, new_key("ES256"), header={"kid": "unknown"}),
    ):
        checked.clear()
        with counted(machine.mini) as statements:
            oauth_refused(await machine.by_assertion(text), 401, "invalid_client")
        assert len(statements) == 1
        assert ["ES256"] in checked


async def test_a_revoked_key_proves_nothing(machine):
    key = new_key("EdDSA")
    stored = await registered(machine, key)
    assert (await machine.by_assertion(assertion(machine, key, alg="EdDSA"))).status_code == 200
    await machine.mini.auth[Services].revoke_credential(machine.account, stored.id)
    oauth_refused(await machine.by_assertion(assertion(machine, key, alg="EdDSA")), 401, "invalid_client")


async def test_only_public_keys_of_the_allowed_kinds_are_registered(machine):
    import json

    private = new_key("ES256")
    for text in (
        json.dumps(private.as_dict(private=True)),
        private.as_pem(private=True).decode(),
        json.dumps(public(jwk.ECKey.generate_key("P-384"))),
        jwk.ECKey.generate_key("P-384").as_pem(private=False).decode(),
        jwk.ECKey.generate_key("secp256k1").as_pem(private=False).decode(),
        json.dumps({"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}),
        json.dumps({**public(private), "use": "enc"}),
        "{}",
        "nonsense",
        "",
        "\x00",
        "ключ",
        "{" * 9000,
    ):
        with pytest.raises(Unprocessable):
            await machine.mini.auth[Services].add_key(machine.account, text)
