"""Tokens that are good: what `sign` makes, what `verify` accepts, and where exactly time runs out."""

import hmac
import json
import subprocess
import sys
from types import MappingProxyType

import jwt as pyjwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.core import base64url
from limen.core.jwt import (
    MAX_TOKEN,
    Expected,
    check_signature,
    sign,
    unverified_issuer,
    verify,
)
from limen.core.keys import KeyRing, SigningKey, VerifyingKey
from limen.errors import ConfigurationError, InvalidCredential, UnknownKey

NOW = 1_800_000_000
EXPECTED = Expected(issuer="https://api.example.com", audience="https://api.example.com")
SECRET = "a secret of more than thirty-two bytes, for tests only"
KEYS = {algorithm: SigningKey.generate(algorithm) for algorithm in ("HS256", "ES256", "EdDSA", "RS256")}


def claims(**changes: object) -> dict[str, object]:
    base = {"iss": EXPECTED.issuer, "aud": EXPECTED.audience, "sub": "42", "iat": NOW, "exp": NOW + 900}
    return base | changes


def accepted(token: str, key: SigningKey, *, now: float = NOW, expected: Expected = EXPECTED) -> bool:
    try:
        verify(token, keys=KeyRing.from_key(key), expected=expected, now=now)
    except InvalidCredential:
        return False
    return True


@pytest.fixture(params=KEYS)
def key(request) -> SigningKey:
    return KEYS[request.param]


def test_what_is_signed_is_what_is_verified(key):
    said = claims(sid="s", jti="j", scope="a b", client_id="web", roles=["member"], amr=["pwd"], auth_time=NOW - 5.5)
    assert verify(sign(said, key=key), keys=KeyRing.from_key(key), expected=EXPECTED, now=NOW) == said


def test_a_token_names_its_type_algorithm_and_key(key):
    header = json.loads(base64url.decode(sign(claims(), key=key).split(".")[0]))
    assert header == {"typ": "at+jwt", "alg": key.algorithm, "kid": key.kid}


def test_verified_claims_cannot_be_changed_by_whoever_reads_them(key):
    verified = verify(sign(claims(), key=key), keys=KeyRing.from_key(key), expected=EXPECTED, now=NOW)
    assert isinstance(verified, MappingProxyType)
    with pytest.raises(TypeError):
        verified["sub"] = "1"  # type: ignore[index]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(extra=st.dictionaries(st.text().map("x-{}".format), JSON, max_size=4), algorithm=st.sampled_from(list(KEYS)))
def test_pyjwt_reads_the_same_claims_from_a_limen_token(extra, algorithm):
    key = KEYS[algorithm]
    said = claims(**extra)
    token = sign(said, key=key)
    read = pyjwt.decode(
        token,
        key.verifying_key().material,
        algorithms=[algorithm],
        issuer=EXPECTED.issuer,
        audience=EXPECTED.audience,
        options={"verify_exp": False, "verify_iat": False},  # PyJWT has no clock to hand in
    )
    assert read == said == verify(token, keys=KeyRing.from_key(key), expected=EXPECTED, now=NOW)


def test_another_type_of_token_needs_another_expectation(key):
    ticket = sign(claims(), key=key, typ="ticket+jwt")
    assert not accepted(ticket, key)
    assert accepted(
        ticket, key, expected=Expected(issuer=EXPECTED.issuer, audience=EXPECTED.audience, typ="ticket+jwt")
    )


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
def test_a_type_is_compared_as_a_media_type(typ):
    assert accepted(sign(claims(), key=KEYS["HS256"], typ=typ), KEYS["HS256"])


@pytest.mark.parametrize(
    "audience", ["https://api.example.com", ["https://api.example.com"], ["other", "https://api.example.com"]]
)
def test_an_audience_may_be_one_of_several(audience):
    assert accepted(sign(claims(aud=audience), key=KEYS["HS256"]), KEYS["HS256"])


# --- time


@pytest.mark.parametrize("leeway", [0, 1, 30])
@pytest.mark.parametrize(("late", "good"), [(-1, True), (-0.001, True), (0, False), (0.001, False), (1, False)])
def test_a_token_ends_on_the_second_of_exp_and_not_before(leeway, late, good):
    expected = Expected(issuer=EXPECTED.issuer, audience=EXPECTED.audience, leeway=leeway)
    token = sign(claims(iat=NOW - 900, exp=NOW), key=KEYS["HS256"])
    assert accepted(token, KEYS["HS256"], now=NOW + leeway + late, expected=expected) is good


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize("leeway", [0, 1, 30])
@pytest.mark.parametrize(("early", "good"), [(-1, True), (0, True), (0.001, False), (1, False)])
def test_a_token_begins_on_the_second_of_iat_and_nbf(claim, leeway, early, good):
    expected = Expected(issuer=EXPECTED.issuer, audience=EXPECTED.audience, leeway=leeway)
    token = sign(claims(**{claim: NOW}), key=KEYS["HS256"])
    assert accepted(token, KEYS["HS256"], now=NOW - leeway - early, expected=expected) is good


@pytest.mark.parametrize("exp", [NOW + 0.5, float(NOW + 1)])
def test_times_may_have_fractions(exp):
    token = sign(claims(exp=exp), key=KEYS["HS256"])
    assert accepted(token, KEYS["HS256"], now=exp - 0.25)
    assert not accepted(token, KEYS["HS256"], now=exp)


def test_the_last_second_of_the_year_9999_is_a_time_and_the_next_is_none():
    assert accepted(sign(claims(exp=253_402_300_799), key=KEYS["HS256"]), KEYS["HS256"])
    assert not accepted(sign(claims(exp=253_402_300_800), key=KEYS["HS256"]), KEYS["HS256"])


def test_a_clock_that_tells_no_time_accepts_nothing():
    assert not accepted(sign(claims(), key=KEYS["HS256"]), KEYS["HS256"], now=float("nan"))


# --- rotation


def test_tokens_of_a_fallback_secret_stay_good_until_it_is_dropped():
    old, new = SECRET, SECRET + " and newer"
    token = sign(claims(), key=SigningKey.from_secret(old))
    assert verify(token, keys=KeyRing.from_secret(new, fallbacks=[old]), expected=EXPECTED, now=NOW)
    with pytest.raises(InvalidCredential, match="no key of this kid"):
        verify(token, keys=KeyRing.from_secret(new), expected=EXPECTED, now=NOW)


def test_tokens_of_a_retiring_key_stay_good_across_a_change_of_algorithm():
    token = sign(claims(), key=KEYS["HS256"])
    ring = KeyRing.from_key(KEYS["ES256"], retiring=[KEYS["HS256"].verifying_key()])
    assert verify(token, keys=ring, expected=EXPECTED, now=NOW)


def test_a_token_without_kid_is_tried_against_every_key_of_its_algorithm(key):
    other = SigningKey.generate(key.algorithm)
    token = pyjwt.encode(
        claims(), key.material, algorithm=key.algorithm, headers={"typ": "at+jwt"}
    )  # PyJWT writes no kid of its own
    assert verify(token, keys=KeyRing.from_key(other, retiring=[key.verifying_key()]), expected=EXPECTED, now=NOW)
    with pytest.raises(InvalidCredential, match="signature does not match"):
        verify(token, keys=KeyRing.from_key(other), expected=EXPECTED, now=NOW)


@pytest.mark.parametrize("key", [KEYS[name] for name in ("ES256", "EdDSA", "RS256")], ids=lambda key: key.algorithm)
def test_a_token_is_verified_through_the_published_jwks(key):
    ring = KeyRing.from_jwks(json.loads(json.dumps(KeyRing.from_key(key).public_jwks())))
    assert verify(sign(claims(), key=key), keys=ring, expected=EXPECTED, now=NOW)


# --- the RFCs' own examples

JOE = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
VECTORS = {
    "RFC 7515 A.1": (
        VerifyingKey(
            "a1",
            "HS256",
            base64url.decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"),
        ),
        f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    ),
    "RFC 7515 A.2": (
        VerifyingKey.from_jwk(
            {
                "kty": "RSA",
                "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4"
                "QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS"
                "-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2et"
                "hFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
                "e": "AQAB",
            }
        ),
        f"eyJhbGciOiJSUzI1NiJ9.{JOE}."
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr"
        "7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--x"
        "i12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_Ioy"
        "pGlUPQGe77Rw",
    ),
    "RFC 7515 A.3": (
        VerifyingKey.from_jwk(
            {
                "kty": "EC",
                "crv": "P-256",
                "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
            }
        ),
        f"eyJhbGciOiJFUzI1NiJ9.{JOE}."
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
    "RFC 8037 A.4": (
        VerifyingKey.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    ),
}


@pytest.mark.parametrize(("key", "token"), VECTORS.values(), ids=VECTORS)
def test_the_signatures_of_the_rfcs_verify_and_no_neighbour_of_them(key, token):
    header = json.loads(base64url.decode(token.split(".")[0]))
    ring = KeyRing(None, (key,))
    check_signature(token, header, ring)
    message, _, signature = token.rpartition(".")
    changed = bytearray(base64url.decode(signature))
    changed[-1] ^= 1
    with pytest.raises(InvalidCredential, match="does not match"):
        check_signature(f"{message}.{base64url.encode(changed)}", header, ring)


@pytest.mark.parametrize(("key", "token"), VECTORS.values(), ids=VECTORS)
def test_the_examples_of_the_rfcs_are_no_access_tokens(key, token):
    with pytest.raises(InvalidCredential, match=r"typ missing|another type"):
        verify(token, keys=KeyRing(None, (key,)), expected=EXPECTED, now=1_300_000_000)


# --- what cannot be signed or expected


def test_a_token_that_verify_would_refuse_for_its_size_is_not_signed():
    with pytest.raises(ValueError, match=str(MAX_TOKEN)):
        sign(claims(roles=["r" * 100] * 100), key=KEYS["HS256"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_does_not_know_are_not_signed(value):
    with pytest.raises(ValueError):
        sign(claims(x=value), key=KEYS["HS256"])


@pytest.mark.parametrize(
    "changes",
    [{"issuer": ""}, {"audience": ""}, {"typ": ""}, {"leeway": -1}],
    ids=["issuer", "audience", "typ", "leeway"],
)
def test_an_expectation_that_expects_nothing_is_refused(changes):
    with pytest.raises(ConfigurationError):
        Expected(**{"issuer": "i", "audience": "a", **changes})


# --- unverified_issuer


def test_the_unverified_issuer_chooses_the_verifier():
    assert unverified_issuer(sign(claims(), key=KEYS["HS256"])) == EXPECTED.issuer


@pytest.mark.parametrize("issuer", [None, 1, "", [], {"a": 1}, "i" * 256])
def test_an_issuer_that_is_no_name_is_none(issuer):
    assert unverified_issuer(sign(claims(iss=issuer), key=KEYS["HS256"])) is None


@given(token=st.text() | st.binary().map(lambda data: f"e30.{base64url.encode(data)}.e30") | st.none())
def test_asking_for_the_issuer_never_raises(token):
    assert unverified_issuer(token) is None


def test_the_size_is_bounded_before_the_issuer_is_read():
    payload = base64url.encode(json.dumps({"iss": "i", "x": "x" * MAX_TOKEN}).encode())
    assert unverified_issuer(f"e30.{payload}.e30") is None


def test_importing_this_module_does_not_import_joserfc():
    program = (
        "import sys, limen.core.jwt; assert not [m for m in sys.modules if m.startswith(('joserfc', 'cryptography'))]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def typed(header: dict[str, object], key: SigningKey) -> str:
    """A good token whose header says exactly this beside `alg`."""
    return pyjwt.encode(claims(), key.material, algorithm="HS256", headers={"typ": None, **header})


PLAIN = Expected(issuer=EXPECTED.issuer, audience=EXPECTED.audience, typ=None)


@pytest.mark.parametrize("header", [{}, {"typ": "JWT"}, {"typ": "jwt"}, {"typ": "application/jwt"}, {"typ": "at+jwt"}])
def test_an_issuer_without_types_is_taken_at_its_plain_tokens(header):
    assert accepted(typed(header, KEYS["HS256"]), KEYS["HS256"], expected=PLAIN)


@pytest.mark.parametrize("typ", ["logout+jwt", "dpop+jwt", "secevent+jwt", "refresh+jwt", "", 5, ["JWT"], "JWT "])
def test_a_token_of_another_type_is_refused_even_from_an_issuer_without_types(typ):
    header, rest = {"alg": "HS256", "typ": typ}, typed({}, KEYS["HS256"]).split(".")[1]
    signed = f"{base64url.encode(json.dumps(header).encode())}.{rest}"
    token = f"{signed}.{base64url.encode(hmac.digest(KEYS['HS256'].material, signed.encode(), 'sha256'))}"
    assert not accepted(token, KEYS["HS256"], expected=PLAIN)


@pytest.mark.parametrize("header", [{}, {"typ": "JWT"}])
def test_plain_tokens_are_refused_where_a_type_is_expected(header):
    assert not accepted(typed(header, KEYS["HS256"]), KEYS["HS256"])


@pytest.mark.parametrize("algorithm", ["ES256", "HS256"])
def test_a_key_that_the_ring_does_not_hold_is_told_apart_from_a_bad_signature(algorithm):
    """It may have been rotated in since the ring was fetched."""
    foreign = sign(claims(), key=SigningKey.generate(algorithm))
    with pytest.raises(UnknownKey):
        verify(foreign, keys=KeyRing.from_key(KEYS["ES256"]), expected=EXPECTED, now=NOW)
    forged = sign(claims(), key=KEYS["ES256"])[:-8] + "AAAAAAAA"
    with pytest.raises(InvalidCredential) as refused:
        verify(forged, keys=KeyRing.from_key(KEYS["ES256"]), expected=EXPECTED, now=NOW)
    assert not isinstance(refused.value, UnknownKey)
