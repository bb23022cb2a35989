"""Keys: derived, made, read from PEM and JWK, and kept together while they rotate."""

import json
import pickle
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from limen.core import base64url, jwk
from limen.core.keys import MAX_KEYS, KeyRing, SigningKey, VerifyingKey, derive_key
from limen.errors import ConfigurationError

SECRET = "a secret of more than thirty-two bytes, for tests only"
PAIRS = ("ES256", "EdDSA", "RS256")

# RFC 7638 §3.1
RFC7638_JWK = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjB"
    "ZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8"
    "KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_"
    "xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
}
RFC8037_JWK = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
RFC7515_EC_JWK = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}


def pem(key, encryption=None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


@pytest.fixture(scope="module", params=PAIRS)
def pair(request) -> SigningKey:
    return SigningKey.generate(request.param)


# --- derive_key


@given(secret=st.binary(min_size=32, max_size=64), purpose=st.text(min_size=1, max_size=20))
def test_a_derived_key_is_the_first_block_of_hkdf_expand(secret, purpose):
    expected = HKDFExpand(hashes.SHA256(), 32, b"limen/v1/" + purpose.encode()).derive(secret)
    assert derive_key(secret, purpose=purpose) == expected


def test_every_purpose_and_every_secret_has_its_own_key():
    keys = {derive_key(secret, purpose=p) for secret in (b"a" * 32, b"b" * 32) for p in ("refresh", "ticket", "cookie")}
    assert len(keys) == 6
    assert all(len(key) == 32 for key in keys)


def test_a_purpose_must_be_named():
    with pytest.raises(ValueError, match="purpose"):
        derive_key(SECRET.encode(), purpose="")


# --- SigningKey


def test_the_bytes_of_the_secret_are_the_hs256_key():
    secret = "Schlüssel " * 4
    assert SigningKey.from_secret(secret).material == secret.encode("utf-8")


@pytest.mark.parametrize("secret", ["", "x" * 31, "é" * 15])
def test_a_short_secret_is_refused_with_the_way_to_make_one(secret):
    with pytest.raises(ConfigurationError, match=r"secrets\.token_urlsafe\(48\)") as refused:
        SigningKey.from_secret(secret)
    assert not secret or secret not in str(refused.value)


def test_a_secret_is_measured_in_bytes():
    assert SigningKey.from_secret("é" * 16).algorithm == "HS256"


def public_spellings() -> list[str]:
    key = rsa.generate_private_key(65537, 2048).public_key()
    point = ec.generate_private_key(ec.SECP256R1()).public_key()
    return [
        key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        "\n\n" + key.public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode(),
        key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
        point.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
        json.dumps(RFC7638_JWK),
        pem(ed25519.Ed25519PrivateKey.generate()).decode(),
    ]


def test_an_rsa_key_that_is_made_has_128_bits_of_security(pair):
    """ASVS 5.0 11.2.3, by NIST SP 800-57 part 1 §5.6.1: 3072 bits."""
    modulus = pair.verifying_key().to_jwk().get("n")
    assert modulus is None or len(base64url.decode(str(modulus))) * 8 == 3072
    assert (modulus is None) == (pair.algorithm != "RS256")


@pytest.mark.parametrize("secret", public_spellings(), ids=["spki", "pkcs1", "ssh-rsa", "ssh-ecdsa", "jwk", "private"])
def test_an_encoded_key_is_no_secret(secret):
    with pytest.raises(ConfigurationError, match="encoded key"):
        SigningKey.from_secret(secret)


def test_the_kid_of_a_secret_is_stable_across_processes_and_tells_nothing_of_it():
    kid = SigningKey.from_secret(SECRET).kid
    program = f"from limen.core.keys import SigningKey; print(SigningKey.from_secret({SECRET!r}).kid)"
    again = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert again.stdout.strip() == kid
    assert kid == base64url.encode(derive_key(SECRET.encode(), purpose="kid"))[:12]
    assert kid != SigningKey.from_secret(SECRET + "!").kid


def test_the_kid_of_a_pair_is_its_rfc_7638_thumbprint(pair):
    assert pair.kid == jwk.thumbprint(jwk.to_jwk(pair.verifying_key().material))


@pytest.mark.parametrize(
    ("members", "thumbprint"),
    [
        (RFC7638_JWK, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
        (RFC8037_JWK, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
    ],
    ids=["RFC 7638 §3.1", "RFC 8037 A.3"],
)
def test_the_thumbprints_of_the_rfcs_are_reproduced(members, thumbprint):
    assert VerifyingKey.from_jwk(members).kid == thumbprint


def test_a_pem_file_comes_back_as_the_same_key(pair):
    assert SigningKey.from_pem(pair.pem, algorithm=pair.algorithm) == pair
    assert pickle.loads(pickle.dumps(pair)) == pair  # travels to worker processes


def test_every_pem_form_of_one_key_is_one_key():
    key = ec.generate_private_key(ec.SECP256R1())
    sec1 = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert SigningKey.from_pem(sec1, algorithm="ES256") == SigningKey.from_pem(pem(key), algorithm="ES256")


WRONG_KINDS = {
    "ES256": [ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP256K1())],
    "EdDSA": [ed448.Ed448PrivateKey.generate(), x25519.X25519PrivateKey.generate()],
    "RS256": [rsa.generate_private_key(65537, 1024), dsa.generate_private_key(1024)],
}


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [(algorithm, key) for algorithm, keys in WRONG_KINDS.items() for key in keys],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_key_of_the_wrong_kind_or_size_is_refused_with_the_cure(algorithm, key):
    with pytest.raises(ConfigurationError, match=f"{algorithm} needs .*openssl genpkey"):
        SigningKey.from_pem(pem(key), algorithm=algorithm)


def test_a_pair_serves_one_algorithm_only(pair):
    for algorithm in {*PAIRS} - {pair.algorithm}:
        with pytest.raises(ConfigurationError, match=f"{algorithm} needs"):
            SigningKey.from_pem(pair.pem, algorithm=algorithm)


@pytest.mark.parametrize("broken", ["encrypted", "public", "text", "empty", "cut"])
def test_a_file_without_a_readable_private_key_is_refused_and_not_quoted(broken):
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    data = {
        "encrypted": pem(key, BestAvailableEncryption(b"pass")),
        "public": public,
        "text": b"not a pem",
        "empty": b"",
        "cut": pem(key)[:100],
    }[broken]
    with pytest.raises(ConfigurationError, match="holds no unencrypted private key") as refused:
        SigningKey.from_pem(data, algorithm="ES256")
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


@pytest.mark.parametrize("algorithm", ["HS256", "none", "RS512", "ES256K"])
def test_no_pem_file_goes_with_another_algorithm(algorithm, pair):
    with pytest.raises(ConfigurationError, match="No PEM file"):
        SigningKey.from_pem(pair.pem, algorithm=algorithm)


@pytest.mark.parametrize("algorithm", ["none", "HS512", ""])
def test_an_unknown_algorithm_is_not_generated(algorithm):
    with pytest.raises(ConfigurationError, match="not an algorithm"):
        SigningKey.generate(algorithm)


def test_generated_keys_differ():
    assert SigningKey.generate("HS256") != SigningKey.generate("HS256")


def test_a_secret_has_no_pem_and_no_public_form():
    key = SigningKey.from_secret(SECRET)
    with pytest.raises(ValueError, match="no PEM"):
        _ = key.pem
    with pytest.raises(ValueError, match="no public form"):
        key.verifying_key().to_jwk()


def test_keys_print_without_their_secrets(pair):
    secret = SigningKey.from_secret(SECRET)
    for text in (repr(secret), str(secret.verifying_key()), repr(KeyRing.from_secret(SECRET)), f"{pair!r}"):
        assert "material=…" in text
        assert SECRET not in text
        assert "PRIVATE" not in text


# --- VerifyingKey.from_jwk


def test_a_public_key_survives_the_way_through_a_jwks(pair):
    assert VerifyingKey.from_jwk(pair.verifying_key().to_jwk()) == pair.verifying_key()


def test_a_published_key_is_public_and_says_what_it_is_for(pair):
    published = pair.verifying_key().to_jwk()
    members = {"ES256": {"crv", "x", "y"}, "EdDSA": {"crv", "x"}, "RS256": {"n", "e"}}[pair.algorithm]
    assert published.keys() == {"kty", "kid", "alg", "use"} | members
    assert (published["kid"], published["alg"], published["use"]) == (pair.kid, pair.algorithm, "sig")


def test_use_key_ops_and_alg_may_agree():
    key = VerifyingKey.from_jwk({**RFC7515_EC_JWK, "use": "sig", "key_ops": ["verify"], "alg": "ES256", "kid": "one"})
    assert (key.kid, key.algorithm) == ("one", "ES256")


x, y = RFC7515_EC_JWK["x"], RFC7515_EC_JWK["y"]
BAD_JWKS = {
    "symmetric": {"kty": "oct", "k": base64url.encode(b"k" * 32)},
    "symmetric in disguise": {**RFC7515_EC_JWK, "k": base64url.encode(b"k" * 32)},
    "private": {**RFC7515_EC_JWK, "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"},
    "for encryption": {**RFC7515_EC_JWK, "use": "enc"},
    "use is null": {**RFC7515_EC_JWK, "use": None},
    "use is a list": {**RFC7515_EC_JWK, "use": ["sig"]},
    "key_ops without verify": {**RFC7515_EC_JWK, "key_ops": ["encrypt"]},
    "key_ops without any": {**RFC7515_EC_JWK, "key_ops": []},
    "key_ops for signing only": {**RFC7515_EC_JWK, "key_ops": ["sign"]},
    "key_ops contradict": {**RFC7515_EC_JWK, "key_ops": ["verify", "wrapKey"]},
    "key_ops twice": {**RFC7515_EC_JWK, "key_ops": ["verify", "verify"]},
    "key_ops is text": {**RFC7515_EC_JWK, "key_ops": "verify"},
    "key_ops holds a list": {**RFC7515_EC_JWK, "key_ops": ["verify", ["sign"]]},
    "HS256 on a curve": {**RFC7515_EC_JWK, "alg": "HS256"},
    "another alg": {**RFC7638_JWK, "alg": "PS256"},
    "alg is null": {**RFC7638_JWK, "alg": None},
    "another curve": {**RFC7515_EC_JWK, "crv": "P-384"},
    "no curve": {"kty": "EC", "x": x, "y": y},
    "kty in lower case": {**RFC7515_EC_JWK, "kty": "ec"},
    "no kty": {"crv": "P-256", "x": x, "y": y},
    "off the curve": {**RFC7515_EC_JWK, "y": x},
    "short coordinate": {**RFC7515_EC_JWK, "x": base64url.encode(base64url.decode(x)[1:])},
    "long coordinate": {**RFC7515_EC_JWK, "x": base64url.encode(b"\0" + base64url.decode(x))},
    "padded coordinate": {**RFC7515_EC_JWK, "x": x + "="},
    "coordinate is a number": {**RFC7515_EC_JWK, "x": 7},
    "coordinate missing": {"kty": "EC", "crv": "P-256", "x": x},
    "X25519": {**RFC8037_JWK, "crv": "X25519"},
    "Ed25519 of 31 bytes": {**RFC8037_JWK, "x": base64url.encode(b"x" * 31)},
    "RSA of 1024 bits": {**RFC7638_JWK, "n": base64url.encode(b"\xff" * 128)},
    "RSA of 16384 bits": {**RFC7638_JWK, "n": base64url.encode(b"\xff" * 2048)},
    "RSA with a leading zero": {**RFC7638_JWK, "n": base64url.encode(b"\0" + base64url.decode(RFC7638_JWK["n"]))},
    "RSA with e = 1": {**RFC7638_JWK, "e": "AQ"},
    "RSA with e = 3": {**RFC7638_JWK, "e": "Aw"},
    "RSA with an even e": {**RFC7638_JWK, "e": "AQAC"},
    "RSA with a huge e": {**RFC7638_JWK, "e": base64url.encode(b"\xff" * 64)},
    "kid is a number": {**RFC7515_EC_JWK, "kid": 1},
    "kid is null": {**RFC7515_EC_JWK, "kid": None},
    "kid is empty": {**RFC7515_EC_JWK, "kid": ""},
    "kid is long": {**RFC7515_EC_JWK, "kid": "k" * 256},
}


@pytest.mark.parametrize("members", BAD_JWKS.values(), ids=BAD_JWKS)
def test_a_jwk_that_is_not_a_public_signature_key_is_refused(members):
    with pytest.raises(ValueError):
        VerifyingKey.from_jwk(members)


# --- KeyRing


def test_a_ring_verifies_with_its_signing_key_first_then_with_the_fallbacks():
    ring = KeyRing.from_secret(SECRET, fallbacks=[SECRET + "1", SECRET + "2", SECRET])
    assert [key.material for key in ring.verifying] == [SECRET.encode(), f"{SECRET}1".encode(), f"{SECRET}2".encode()]
    assert ring.signing == SigningKey.from_secret(SECRET)


def test_a_short_fallback_is_refused_too():
    with pytest.raises(ConfigurationError, match="32"):
        KeyRing.from_secret(SECRET, fallbacks=["short"])


def test_keys_are_found_by_kid_and_algorithm_together():
    curve, secret = SigningKey.generate("ES256"), SigningKey.from_secret(SECRET)
    ring = KeyRing.from_key(curve, retiring=[secret.verifying_key()])
    assert ring.find(kid=curve.kid, algorithm="ES256") == (curve.verifying_key(),)
    assert ring.find(kid=secret.kid, algorithm="HS256") == (secret.verifying_key(),)
    assert ring.find(kid=curve.kid, algorithm="HS256") == ()
    assert ring.find(kid="unknown", algorithm="ES256") == ()
    assert ring.find(kid="", algorithm="ES256") == ()


def test_without_a_kid_all_keys_of_the_algorithm_are_found_and_no_others():
    ring = KeyRing.from_key(
        SigningKey.generate("ES256"),
        retiring=[SigningKey.generate("ES256").verifying_key(), SigningKey.from_secret(SECRET).verifying_key()],
    )
    assert ring.find(kid=None, algorithm="ES256") == ring.verifying[:2]


def test_only_public_keys_are_published(pair):
    ring = KeyRing.from_key(pair, retiring=[SigningKey.from_secret(SECRET).verifying_key()])
    assert ring.public_jwks() == {"keys": [pair.verifying_key().to_jwk()]}
    assert SECRET not in json.dumps(ring.public_jwks())


def test_a_ring_of_secrets_publishes_nothing():
    assert KeyRing.from_secret(SECRET).public_jwks() == {"keys": []}


def test_another_issuers_jwks_gives_the_keys_that_can_be_used_and_leaves_the_rest():
    good = [RFC7515_EC_JWK, RFC7638_JWK, RFC8037_JWK]
    ring = KeyRing.from_jwks({"keys": [*BAD_JWKS.values(), "text", None, *good, RFC8037_JWK][-30:]})
    assert [key.algorithm for key in ring.verifying] == ["ES256", "RS256", "EdDSA"]
    assert ring.signing is None


@pytest.mark.parametrize(
    "jwks",
    [{}, {"keys": None}, {"keys": {}}, {"keys": []}, {"keys": [BAD_JWKS["symmetric"]]}, {"keys": [RFC8037_JWK] * 33}],
    ids=["empty", "null", "object", "no keys", "only symmetric", "too many"],
)
def test_a_jwks_without_usable_keys_is_refused(jwks):
    with pytest.raises(ValueError):
        KeyRing.from_jwks(jwks)


def test_the_number_of_keys_is_bounded():
    keys = tuple(VerifyingKey(str(n), "HS256", b"k" * 32) for n in range(MAX_KEYS + 1))
    with pytest.raises(ConfigurationError, match="at most 32"):
        KeyRing(None, keys)


def test_a_ring_verifies_what_it_signs():
    with pytest.raises(ConfigurationError, match="signing key is missing"):
        KeyRing(SigningKey.from_secret(SECRET), ())


def test_neither_cryptography_nor_joserfc_is_imported_for_a_ring_of_secrets():
    program = (
        "import sys; import limen.core.jwt; from limen.core.keys import KeyRing; KeyRing.from_secret('x' * 32)\n"
        "assert not {'cryptography', 'joserfc'} & {name.partition('.')[0] for name in sys.modules}"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
