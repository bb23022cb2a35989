"""Tokens that are bad. Each attack carries a signature that is right, so that nothing but its flaw can refuse it."""

import hashlib
import hmac
import json
import timeit
from collections import Counter
from datetime import datetime
from random import Random

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.core import base64url
from limen.core.jwt import MAX_TOKEN, Expected, sign, verify
from limen.core.keys import KeyRing, SigningKey, VerifyingKey
from limen.core.strict_json import MalformedJSON, parse_object
from limen.errors import InvalidCredential

NOW = 1_800_000_000
EXPECTED = Expected(issuer="https://api.example.com", audience="https://api.example.com", leeway=5)
KEY = SigningKey.from_secret("a secret of more than thirty-two bytes, for tests only")
RING = KeyRing.from_key(KEY)
HEADER = {"typ": "at+jwt", "alg": "HS256", "kid": KEY.kid}
CLAIMS = {"iss": EXPECTED.issuer, "aud": EXPECTED.audience, "sub": "42", "iat": NOW, "exp": NOW + 900}
GONE = object()


def changed(base: dict, **changes: object) -> dict:
    return {name: value for name, value in (base | changes).items() if value is not GONE}


def forge(header: dict | bytes = HEADER, claims: dict | bytes = CLAIMS, secret: bytes = KEY.material) -> str:
    """A token of any header and claims, JSON or not, signed with nothing but the standard library."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    message = ".".join(map(base64url.encode, parts))
    return f"{message}.{base64url.encode(hmac.digest(secret, message.encode(), 'sha256'))}"


def refusal(token: object, *, keys: KeyRing = RING, now: float = NOW) -> str:
    """Why a token is refused. Fails if it is accepted, if another error escapes, or if the error holds the token."""
    with pytest.raises(InvalidCredential) as refused:
        verify(token, keys=keys, expected=EXPECTED, now=now)  # type: ignore[arg-type]
    error = refused.value
    assert (error.status, error.code) == (401, "invalid_token")
    assert error.__cause__ is None
    assert error.__context__ is None
    if isinstance(token, str):
        assert not [part for part in token.split(".") if len(part) > 8 and part in error.reason]
    return error.reason


def test_the_forger_can_make_a_good_token():
    assert verify(forge(), keys=RING, expected=EXPECTED, now=NOW) == CLAIMS


# --- the algorithm


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "nOnE", "", " none", "hs256", "HS512", "PS256", "dir", "ES256"]
)
@pytest.mark.parametrize("signature", ["", "e30", None], ids=["empty", "some", "hmac"])
@pytest.mark.parametrize("kid", [KEY.kid, GONE], ids=["kid", "no kid"])
def test_no_algorithm_is_accepted_that_the_ring_does_not_use(alg, signature, kid):
    token = forge(changed(HEADER, alg=alg, kid=kid))
    if signature is not None:
        token = token.rpartition(".")[0] + "." + signature
    assert refusal(token) == "algorithm not allowed"


@pytest.mark.parametrize("alg", [GONE, None, 0, True, ["HS256"], {"HS256": 1}])
def test_an_algorithm_that_is_not_text_is_refused(alg):
    assert refusal(forge(changed(HEADER, alg=alg))) == "algorithm not allowed"


def spellings(key: VerifyingKey) -> dict[str, bytes]:
    """All that a forger might try as the HMAC secret: the public key in every form in which it is published."""
    public = load_pem_public_key(key.material)
    jwk = key.to_jwk()
    found = {
        "PEM": key.material,
        "PEM without its last newline": key.material.rstrip(),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "JWK": json.dumps(jwk).encode(),
        "compact JWK": json.dumps(jwk, separators=(",", ":")).encode(),
        "JWKS": json.dumps({"keys": [jwk]}).encode(),
        "OpenSSH": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "member": (jwk.get("n") or jwk["x"]).encode(),
        "member's bytes": base64url.decode(jwk.get("n") or jwk["x"]),
    }
    if isinstance(public, RSAPublicKey):
        found["PKCS1 PEM"] = public.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
        found["PKCS1 DER"] = public.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return found


PAIRS = {algorithm: SigningKey.generate(algorithm) for algorithm in ("RS256", "ES256", "EdDSA")}
CONFUSIONS = [
    pytest.param(pair, secret, id=f"{algorithm} as {form}")
    for algorithm, pair in PAIRS.items()
    for form, secret in spellings(pair.verifying_key()).items()
]


@pytest.mark.parametrize(("pair", "secret"), CONFUSIONS)
def test_a_public_key_is_never_an_hmac_secret(pair, secret):
    ring = KeyRing.from_key(pair)
    mixed = KeyRing.from_key(pair, retiring=RING.verifying)  # HS256 is on the list while keys rotate
    named, unnamed = (forge(changed(HEADER, kid=kid), secret=secret) for kid in (pair.kid, GONE))
    assert refusal(named, keys=ring) == refusal(unnamed, keys=ring) == "algorithm not allowed"
    assert refusal(named, keys=mixed) == "no key of this kid and algorithm"
    assert refusal(unnamed, keys=mixed) == "signature does not match"
    assert refusal(forge(changed(HEADER, kid=pair.kid, alg=pair.algorithm), secret=secret), keys=mixed) in (
        "signature does not match",
        "token unreadable: ValueError",
    )


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("signature", [b"", b"\0", b"\0" * 64, b"\xff" * 64, b"\0" * 256, b"0\6\2\1\0\2\1\0"])
def test_a_signature_of_zeros_or_of_another_form_is_refused(pair, signature):
    token = sign(CLAIMS, key=pair).rpartition(".")[0] + "." + base64url.encode(signature)
    assert refusal(token, keys=KeyRing.from_key(pair)) == "signature does not match"


# --- the key


@pytest.mark.parametrize(
    "kid", ["unknown", "", KEY.kid + " ", KEY.kid.swapcase(), "../../dev/null", "' OR 1=1 --", "k" * 999]
)
def test_a_foreign_kid_is_refused(kid):
    assert refusal(forge(changed(HEADER, kid=kid))) == "no key of this kid and algorithm"


@pytest.mark.parametrize("kid", [None, 0, 1.5, True, [KEY.kid], {KEY.kid: 1}])
def test_a_kid_that_is_not_text_is_refused(kid):
    assert refusal(forge(changed(HEADER, kid=kid))) == "kid is not text"


def test_another_secret_under_our_kid_is_refused():
    assert refusal(forge(secret=b"another secret of thirty-two bytes")) == "signature does not match"


def test_an_empty_ring_accepts_nothing():
    assert refusal(forge(), keys=KeyRing(None, ())) == "algorithm not allowed"


@pytest.mark.parametrize("algorithm", ["HS256", "ES256", "EdDSA", "RS256"])
def test_a_key_that_the_library_cannot_read_is_a_bad_token_and_not_a_crash(algorithm):
    ring = KeyRing(None, (VerifyingKey("k", algorithm, b""),))
    assert refusal(forge(changed(HEADER, kid="k", alg=algorithm)), keys=ring).startswith("token unreadable: ")


OWN_JWK = {"kty": "oct", "k": base64url.encode(b"the forger's own secret of 32 bytes!")}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jwk", OWN_JWK),
        ("jwk", PAIRS["ES256"].verifying_key().to_jwk()),
        ("jku", "https://evil.example/jwks.json"),
        ("x5u", "https://evil.example/cert.pem"),
        ("x5c", ["MIIB"]),
        ("jwk", None),
        ("crit", []),
        ("crit", ["alg"]),
        ("crit", ["exp"]),
        ("crit", ["b64"]),
        ("crit", "alg"),
        ("crit", None),
        ("crit", {}),
        ("b64", False),
        ("b64", True),
        ("zip", "DEF"),
        ("enc", "A256GCM"),
    ],
)
@pytest.mark.parametrize("secret", [KEY.material, base64url.decode(OWN_JWK["k"])], ids=["our secret", "the forger's"])
def test_a_header_that_brings_its_own_key_or_rules_is_refused(name, value, secret):
    header = changed(HEADER, **{name: value, "exp": NOW})
    assert refusal(forge(header, secret=secret)) == "header parameter that is never accepted"


def test_header_parameters_that_change_nothing_are_ignored():  # RFC 7515 §4: not understood MUST be ignored
    assert verify(forge(HEADER | {"x5t": "abc", "cty": "x", "nonce": "1"}), keys=RING, expected=EXPECTED, now=NOW)


# --- the type


@pytest.mark.parametrize("typ", [GONE, None, 1, True, [], ["at+jwt"], {"at+jwt": 1}, "at+jwt\u0130", "\uff41t+jwt"])
def test_a_type_that_is_not_plain_text_is_refused(typ):
    assert refusal(forge(changed(HEADER, typ=typ))) == "typ missing or not text"


@pytest.mark.parametrize(
    "typ",
    [
        "",
        "JWT",
        "jwt",
        "at",
        "at+jwt ",
        " at+jwt",
        "at+jwt;v=1",
        "text/at+jwt",
        "application/application/at+jwt",
        "rt+jwt",
    ],
)
def test_a_token_of_another_type_is_refused(typ):
    assert refusal(forge(changed(HEADER, typ=typ))) == "token of another type"


# --- the claims

NO_TIMES = [
    GONE, None, True, False, "", "soon", str(NOW), [NOW], {"at": NOW},
    -1, -0.5, -(2**63), 253_402_300_800, 2**63, 10**39, 1e300,
]  # fmt: skip
CLAIM_ATTACKS = {
    "iss": ("iss is another issuer", [
        GONE, None, "", 1, "https://evil.example", EXPECTED.issuer + "/", EXPECTED.issuer.upper(), [EXPECTED.issuer],
        {EXPECTED.issuer: 1}, EXPECTED.issuer + "\u0000",
    ]),
    "aud": ("aud is not us", [
        GONE, None, "", [], {}, 1, True, "other", EXPECTED.audience + "/", EXPECTED.audience[:-1], ["other"],
        [[EXPECTED.audience]], [EXPECTED.audience, 1], [EXPECTED.audience, None], {EXPECTED.audience: 1},
    ]),
    "exp": ("exp missing or not a time", NO_TIMES),
    "iat": ("iat missing or not a time", NO_TIMES),
    "nbf": ("nbf missing or not a time", NO_TIMES[1:]),
    "auth_time": ("auth_time missing or not a time", NO_TIMES[1:]),
    "sub": ("sub missing or not a name", [
        GONE, None, "", 42, 4.2, True, [], ["42"], {"id": 42}, "s" * 256, "4\u00002", "4\n2",
    ]),
    **{
        name: ("jti, sid, scope or client_id is not text", [None, 0, True, [], ["a"], {}])
        for name in ("jti", "sid", "scope", "client_id")
    },
    **{
        name: ("roles or amr is not a list of text", [
            None, "admin", 1, True, {}, {"admin": 1}, ["a", 1], [None], [["a"]],
        ])
        for name in ("roles", "amr")
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        pytest.param(name, value, reason, id=f"{name} {number}")
        for name, (reason, values) in CLAIM_ATTACKS.items()
        for number, value in enumerate(values)
    ],
)
def test_a_claim_that_is_missing_wrong_or_of_the_wrong_kind_is_refused(name, value, reason):
    assert refusal(forge(claims=changed(CLAIMS, **{name: value}))) == reason


@pytest.mark.parametrize(
    ("claim", "value", "reason"),
    [
        ("exp", 0, "token expired"),
        ("exp", NOW - 5, "token expired"),
        ("exp", NOW - 5.5, "token expired"),
        ("iat", NOW + 6, "token issued in the future"),
        ("nbf", NOW + 5.5, "token not yet valid"),
    ],
    ids=["long ago", "at the leeway", "past the leeway", "iat", "nbf"],
)
def test_a_token_outside_its_time_is_refused(claim, value, reason):
    assert refusal(forge(claims=changed(CLAIMS, **{claim: value}))) == reason


# --- the JSON

GOOD = json.dumps(CLAIMS)


def with_member(text: str) -> bytes:
    return f"{GOOD[:-1]}, {text}}}".encode()


UNREADABLE = {
    "NaN": ("NaN and Infinity are not JSON", with_member('"x": NaN')),
    "Infinity as exp": ("NaN and Infinity are not JSON", GOOD.replace(str(NOW + 900), "Infinity").encode()),
    "minus Infinity": ("NaN and Infinity are not JSON", with_member('"x": [-Infinity]')),
    "overflow": ("a number is out of range", with_member('"x": 1e999')),
    "overflow as exp": ("a number is out of range", GOOD.replace(str(NOW + 900), "1e400").encode()),
    "huge integer": ("a number is too long", with_member(f'"x": {"9" * 5000}')),
    "huge integer as exp": ("a number is too long", GOOD.replace(str(NOW + 900), "9" * 41).encode()),
    "huge fraction": ("a number is too long", with_member(f'"x": 0.{"1" * 4000}')),
    "duplicate sub": ("a member appears twice", with_member('"sub": "1"')),
    "duplicate exp": ("a member appears twice", with_member(f'"exp": {NOW + 900}')),
    "duplicate by escape": ("a member appears twice", with_member('"s\\u0075b": "1"')),
    "duplicate inside": ("a member appears twice", with_member('"x": {"a": 1, "a": 1}')),
    "17 levels": ("nested too deeply", with_member(f'"x": {"[" * 16}{"]" * 16}')),
    "1,000 brackets": ("nested too deeply", with_member(f'"x": {"[" * 1000}{"]" * 1000}')),
    "1,000 braces": ("nested too deeply", with_member('"x": ' + '{"":' * 1000 + "1" + "}" * 1000)),
    "1,000 brackets that never close": ("nested too deeply", b"[" * 1000),
    "brackets in a string that never closes": ("not a JSON object", b'{"x": "' + b"[" * 1000),
    "brackets after an escaped quote": ("nested too deeply", with_member('"x\\"": ' + "[" * 1000)),
    "lone surrogate": ("not a JSON object", with_member('"x": "\\ud800"')),
    "lone surrogate as sub": ("not a JSON object", GOOD.replace('"42"', '"\\uDC00"').encode()),
    "lone surrogate as name": ("not a JSON object", with_member('"\\ud800": 1')),
    "a list": ("not a JSON object", b"[]"),
    "text": ("not a JSON object", b'"text"'),
    "null": ("not a JSON object", b"null"),
    "nothing": ("not a JSON object", b""),
    "two objects": ("not a JSON object", GOOD.encode() + b"{}"),
    "half an object": ("not a JSON object", GOOD[:-1].encode()),
    "trailing comma": ("not a JSON object", GOOD[:-1].encode() + b",}"),
    "single quotes": ("not a JSON object", GOOD.replace('"', "'").encode()),
    "control character": ("not a JSON object", with_member('"x": "\n"')),
    "NUL": ("not a JSON object", GOOD.encode() + b"\0"),
    "byte order mark": ("not a JSON object", b"\xef\xbb\xbf" + GOOD.encode()),
    "UTF-16": ("not a JSON object", GOOD.encode("utf-16")),
    "Latin-1": ("not a JSON object", with_member('"x": "é"').decode().encode("latin-1")),
    "overlong UTF-8": ("not a JSON object", with_member('"x": "_"').replace(b"_", b"\xc0\xaf")),
}


@pytest.mark.parametrize(("reason", "payload"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_payload_with_no_one_reading_is_refused(reason, payload):
    assert refusal(forge(claims=payload)) == f"token unreadable: {reason}"


@pytest.mark.parametrize(("reason", "payload"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_json_error_does_not_carry_the_text_along(reason, payload):
    with pytest.raises(MalformedJSON) as refused:
        parse_object(payload)
    assert (str(refused.value), refused.value.__cause__, refused.value.__context__) == (reason, None, None)


@pytest.mark.parametrize(
    ("reason", "header"),
    [
        ("a member appears twice", json.dumps(HEADER)[:-1] + ', "alg": "HS256"}'),
        ("a member appears twice", json.dumps(HEADER)[:-1] + ', "k\\u0069d": "other"}'),
        ("nested too deeply", json.dumps(HEADER)[:-1] + f', "x": {"[" * 1000}{"]" * 1000}}}'),
        ("nested too deeply", "[" * 4000),
        ("a number is too long", json.dumps(HEADER)[:-1] + f', "x": {"9" * 5000}}}'),
        ("NaN and Infinity are not JSON", json.dumps(HEADER)[:-1] + ', "x": NaN}'),
        ("not a JSON object", "[]"),
        ("not a JSON object", "null"),
        ("not a JSON object", "\xff"),
        ("not a JSON object", ""),
    ],
)
def test_a_header_with_no_one_reading_is_refused(reason, header):
    assert refusal(forge(header.encode("latin-1"))) == f"token unreadable: {reason}"


@pytest.mark.parametrize(
    "text",
    ["[" * 17 + '"' + '\\"' * 2990, "[" * 17 + '"' * 5900, "[" * 17 + '"' + "\\" * 5900, "[" * 6000, '{"a":' * 1200],
    ids=["escaped quotes", "quotes", "backslashes", "brackets", "braces"],
)
def test_a_hostile_header_costs_its_length_and_not_the_square(text):
    token = f"{base64url.encode(text.encode())}.e30.AA"
    fastest = min(timeit.repeat(lambda: refusal(token), number=1, repeat=5))
    assert fastest < 0.05  # a tenth of what a backtracking scan of the strings took


def test_brackets_in_text_and_side_by_side_are_no_nesting():
    claims = CLAIMS | {"note": '[[{{"' * 200, "lists": [[] for _ in range(200)]}
    assert verify(forge(claims=claims), keys=RING, expected=EXPECTED, now=NOW) == claims


def test_numbers_and_depths_up_to_the_bounds_are_read():
    claims = CLAIMS | {"n": 10**39, "x": -1.2345678901234567e-300, "deep": json.loads("[" * 15 + "]" * 15)}
    assert verify(forge(claims=claims), keys=RING, expected=EXPECTED, now=NOW) == claims


# --- the outer form


def test_a_token_of_over_8_kb_is_refused_before_any_work():
    size = next(size for size in range(6000, 0, -1) if len(forge(claims=CLAIMS | {"x": "x" * size})) <= MAX_TOKEN)
    assert len(fits := forge(claims=CLAIMS | {"x": "x" * size})) > MAX_TOKEN - 3
    assert verify(fits, keys=RING, expected=EXPECTED, now=NOW)
    assert refusal(forge(claims=CLAIMS | {"x": "x" * (size + 2)})) == "token of over 8 KB"
    assert refusal("x" * 100_000_000) == "token of over 8 KB"


def base64_variants() -> dict[str, str]:
    header, payload, signature = forge().split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    neighbour = last[last.index(signature[-1]) + 1]  # differs only in bits that no byte holds
    return {
        "padded": f"{header}.{payload}.{signature}=",
        "padded header": f"{header}=.{payload}.{signature}",
        "spare bits": f"{header}.{payload}.{signature[:-1]}{neighbour}",
        "one character more": f"{header}.{payload}.{signature}AA",
        "newline inside": f"{header}.{payload}.{signature[:9]}\n{signature[9:]}",
        "newline at the end": f"{header}.{payload}.{signature}\n",
        "space in front": f" {header}.{payload}.{signature}",
        "NUL": f"{header}.{payload}.{signature}\0",
        "plus": f"{header}.{payload}.+{signature[1:]}",
        "slash": f"{header}.{payload}./{signature[1:]}",
        "percent": f"{header}.{payload}.{signature}%3D",
        "not ASCII": f"{header}.{payload}.{signature[:-1]}é",
        "full-width": f"{header}.{payload}.{signature[:-1]}\uff21",
        "surrogate": f"{header}.{payload}.{signature[:-1]}\ud800",
        "empty signature": f"{header}.{payload}.",
        "empty payload": f"{header}..{signature}",
        "empty header": f".{payload}.{signature}",
    }


@pytest.mark.parametrize("token", base64_variants().values(), ids=base64_variants())
def test_a_token_in_another_spelling_is_another_token(token):
    refusal(token)


def resigned(message: str) -> str:
    """A token over any two segments, rightly signed as they stand."""
    return f"{message}.{base64url.encode(hmac.digest(KEY.material, message.encode(), hashlib.sha256))}"


@pytest.mark.parametrize("spare", ["=", "==", "\n", " ", "\r\n"])
@pytest.mark.parametrize("segment", [0, 1])
def test_a_segment_that_is_signed_in_another_spelling_is_refused(segment, spare):
    segments = forge().split(".")[:2]
    assert verify(resigned(".".join(segments)), keys=RING, expected=EXPECTED, now=NOW)
    segments[segment] += spare
    assert refusal(resigned(".".join(segments))) == "token unreadable: not canonical base64url"


FORMLESS = [
    "",
    ".",
    "..",
    "...",
    "a",
    "a.b",
    "Bearer x",
    "a.b.c.d.e",
    forge() + ".",
    f"{forge()}.e30.e30",
    "." + forge(),
]


@pytest.mark.parametrize("token", [*FORMLESS, forge().rpartition(".")[0]], ids=range(len(FORMLESS) + 1))
def test_a_token_that_is_not_three_segments_is_refused(token):
    assert refusal(token) in ("token is not three segments", "token unreadable: not a JSON object")


@pytest.mark.parametrize("token", [None, 1, b"", forge().encode(), [], ["a", "b", "c"], {}, object()], ids=range(8))
def test_what_is_no_text_at_all_is_refused(token):
    assert refusal(token).startswith("token unreadable: ")


def test_the_reason_never_holds_what_the_token_says():
    canary = "correct-horse-battery"
    for claims in (CLAIMS | {"sub": [canary]}, CLAIMS | {"exp": canary}, f'{{"x": "{canary}'.encode()):
        assert canary not in refusal(forge(claims=claims))


def test_an_interrupt_is_not_taken_for_a_bad_token():
    class Interrupted(float):
        def __sub__(self, _: object) -> float:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(forge(), keys=RING, expected=EXPECTED, now=Interrupted(NOW))


# --- the second opinion


def limen_says(token: str) -> dict | None:
    try:
        return dict(verify(token, keys=RING, expected=EXPECTED, now=NOW))
    except InvalidCredential:
        return None


PYJWT_OPTIONS = {"require": ["exp", "iat", "iss", "aud", "sub"]}


def pyjwt_says(token: str) -> dict | None:
    try:
        return pyjwt.decode(
            token,
            KEY.material,
            algorithms=["HS256"],
            issuer=EXPECTED.issuer,
            audience=EXPECTED.audience,
            leeway=EXPECTED.leeway,
            options=PYJWT_OPTIONS,
        )
    except Exception:  # it lets TypeErrors and ValueErrors through
        return None


def compare(token: str, seen: Counter) -> None:
    ours = limen_says(token)
    seen["accepted" if ours is not None else "refused"] += 1
    if ours is not None:
        assert pyjwt_says(token) == ours


@pytest.fixture(autouse=True)
def pyjwt_on_our_clock(monkeypatch):
    class At(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(NOW, tz)

    monkeypatch.setattr("jwt.api_jwt.datetime", At)  # PyJWT takes no time from its caller


ODD = [
    None,
    True,
    0,
    -1,
    1.5,
    NOW - 900,
    NOW + 900,
    NOW + 900.5,
    2**70,
    1e300,
    "",
    "42",
    [],
    ["a"],
    [1],
    {},
    {"a": [1]},
]
ODD_CLAIMS = {
    **dict.fromkeys(("sub", "nbf", "jti", "sid", "scope", "roles", "amr", "auth_time", "client_id", "x"), ODD),
    **{name: [NOW - 6, NOW - 5, NOW - 4, NOW, NOW + 4, NOW + 5, NOW + 6, *ODD] for name in ("exp", "iat")},
    "iss": [EXPECTED.issuer, EXPECTED.issuer + "/", [EXPECTED.issuer], *ODD],
    "aud": [EXPECTED.audience, [EXPECTED.audience], ["other", EXPECTED.audience], [EXPECTED.audience, 1], *ODD],
}
ODD_HEADERS = {
    "alg": ["HS256", "none", "HS384", "RS256", *ODD],
    "kid": [KEY.kid, GONE, "other", *ODD],
    "typ": ["at+jwt", "application/at+jwt", "AT+JWT", "JWT", *ODD],
    "crit": [["exp"], ["b64"], []],
    "b64": [True, False],
    "x": ODD,
}


def some(members: dict[str, list]) -> st.SearchStrategy[dict]:
    """Up to three members, each with one of its oddities."""
    pairs = [(name, value) for name, values in members.items() for value in [*values, GONE]]
    return st.lists(st.sampled_from(pairs), max_size=3).map(dict)


def test_whatever_limen_accepts_of_6000_signed_oddities_pyjwt_accepts_with_the_same_claims():
    seen: Counter = Counter()

    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(header=some(ODD_HEADERS), batch=st.lists(some(ODD_CLAIMS), min_size=10, max_size=10))
    def run(header, batch):
        for claims in batch:
            compare(forge(changed(HEADER, **header), changed(CLAIMS, **claims)), seen)
            compare(forge(HEADER, changed(CLAIMS, **claims)), seen)

    run()
    assert seen.total() >= 6000
    assert min(seen["accepted"], seen["refused"]) > 300, f"one-sided: {seen}"


def mutated(token: str, random: Random) -> str:
    """One to three edits of the text, or of what one segment decodes to."""
    for _ in range(random.randint(1, 3)):
        start = random.randrange(len(token) + 1)
        piece = random.choice(
            ["", ".", "=", "A", "_", "é", token[start : start + 9], base64url.encode(random.randbytes(3))]
        )
        token = token[:start] + piece + token[start + random.randint(0, 4) :]
    return token


def resigned_mutation(random: Random) -> str:
    """A genuine signature over a header and payload with bytes exchanged."""
    parts = [bytearray(json.dumps(part).encode()) for part in (HEADER, CLAIMS | {"x": [1, {"y": "words " * 20}]})]
    for _ in range(random.randint(1, 2)):
        part = parts[random.random() < 0.9]
        part[random.randrange(len(part))] = random.choice(b'0179eE.-+"[]{}:,aZ \\\x00\xff')
    return forge(*map(bytes, parts))


def test_whatever_limen_accepts_of_6000_mutated_tokens_pyjwt_accepts_with_the_same_claims():
    seen: Counter = Counter()
    genuine = forge()

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(st.integers(0, 2**64))
    def run(seed):
        random = Random(seed)
        for _ in range(50):
            compare(mutated(genuine, random), seen)
            compare(resigned_mutation(random), seen)

    run()
    assert seen.total() >= 6000
    assert min(seen["accepted"], seen["refused"]) > 300, f"one-sided: {seen}"


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")) | st.text("AQgwe30._-=", max_size=60))
def test_arbitrary_text_is_refused(text):
    refusal(text)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(header=st.binary(max_size=60), payload=st.binary(max_size=60))
def test_arbitrary_bytes_are_refused_even_when_rightly_signed(header, payload):
    refusal(forge(header, payload))
    refusal(forge(HEADER, payload))
