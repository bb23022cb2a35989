"""Tokens that must be refused: those that a stranger can make, and those that only the app's own key could sign.

Pure: from claims and keys to text. Each forgery is named after what it tries (RFC 8725 §2).
"""

import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from limen.core import base64url
from limen.core.jwt import sign
from limen.core.keys import SigningKey, VerifyingKey

TUTORIAL_SECRET = "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"  # noqa: S105 - everyone's
GUESSES = (TUTORIAL_SECRET, "secret", "your-256-bit-secret", "change-me", "supersecret")
"""Secrets that are tried first: FastAPI's tutorial's, and what examples have."""

GUESSED = "a secret of examples"

Claims = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Forgery:
    """A token and what it tries.

    Attributes:
        attack: the column of the matrix.
        name: which variant.
    """

    attack: str
    name: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a stranger knows of the app's tokens.

    Attributes:
        claims: of a token that would be accepted.
        kid: of the app's key, which every token shows.
        algorithm: that it signs with.
        public: the keys that it publishes; none under HS256.
        typ: what its access tokens call themselves.
        of: whose tokens they pretend to be, where that is not the app itself.
    """

    claims: Claims
    kid: str
    algorithm: str
    public: Sequence[VerifyingKey] = ()
    typ: str = "at+jwt"
    of: str = ""


def by_a_stranger(target: Target) -> tuple[Forgery, ...]:
    """What everyone can make who has seen a token and the JWKS."""
    whose = f", of {target.of}" if target.of else ""
    return tuple(Forgery(each.attack, f"{each.name}{whose}", each.token) for each in _by_a_stranger(target))


def by_the_key(key: SigningKey, claims: Claims, *, now: float) -> tuple[Forgery, ...]:
    """What the app's own key signs, and what the app must refuse all the same."""
    return tuple(_by_the_key(key, claims, now=now))


def _by_a_stranger(target: Target) -> Iterator[Forgery]:
    claims, genuine = target.claims, {"typ": target.typ, "alg": target.algorithm, "kid": target.kid}
    for spelling in ("none", "None", "NONE", "nOnE", ""):
        yield Forgery("unsigned", f"alg {spelling!r}", _joined({**genuine, "alg": spelling}, claims, b""))
    yield Forgery("unsigned", "signature left out", _joined(genuine, claims, b""))
    yield Forgery("unsigned", "zeroes for a signature", _joined(genuine, claims, bytes(64)))
    stranger = SigningKey.generate("HS256")
    yield Forgery("wrong key", "HS256", _by_hmac({**genuine, "alg": "HS256"}, claims, stranger.material))
    yield Forgery("wrong key", "ES256", sign(claims, key=SigningKey.generate("ES256"), typ=target.typ))
    yield Forgery("wrong key", "EdDSA", sign(claims, key=SigningKey.generate("EdDSA"), typ=target.typ))
    yield Forgery("wrong key", "an empty secret", _by_hmac({**genuine, "alg": "HS256"}, claims, b""))
    for guess in GUESSES:
        token = _by_hmac({**genuine, "alg": "HS256"}, claims, guess.encode())
        yield Forgery("wrong key", GUESSED, token)
    for secret in _public_texts(target.public):
        header = {**genuine, "alg": "HS256"}
        yield Forgery("confusion", "the public key as HS256's secret", _by_hmac(header, claims, secret))
    for kid in ("../../../../../../dev/null", "/dev/null", "' UNION SELECT '' -- ", "", "\x00"):
        yield Forgery("kid", f"kid {kid!a}", _by_hmac({**genuine, "alg": "HS256", "kid": kid}, claims, b""))
    yield from _bringing_keys(genuine, claims)


def _bringing_keys(genuine: Mapping[str, object], claims: Claims) -> Iterator[Forgery]:
    """RFC 8725 §3.10: keys and addresses of keys that a token brings along."""
    key = SigningKey.generate("HS256")
    jwk = {"kty": "oct", "k": base64url.encode(key.material), "kid": "mine"}
    brought: Mapping[str, object] = {"jwk": jwk, "jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/keys"}
    for name, value in brought.items():
        header = {**genuine, "alg": "HS256", "kid": "mine", name: value}
        yield Forgery("kid", f"brings {name}", _by_hmac(header, claims, key.material))


def _by_the_key(key: SigningKey, claims: Claims, *, now: float) -> Iterator[Forgery]:
    hour = 3600
    expired = {"iat": now - 2 * hour, "exp": now - hour}
    yield Forgery("expired", "an hour ago", sign({**claims, **expired}, key=key))
    yield Forgery("expired", "not yet valid", sign({**claims, "nbf": now + hour}, key=key))
    tomorrow = {"iat": now + 24 * hour, "exp": now + 25 * hour}
    yield Forgery("expired", "issued tomorrow", sign({**claims, **tomorrow}, key=key))
    yield Forgery("expired", "no exp", sign(_without(claims, "exp"), key=key))
    yield Forgery("audience", "another aud", sign({**claims, "aud": "https://other.example"}, key=key))
    yield Forgery("audience", "no aud", sign(_without(claims, "aud"), key=key))
    yield Forgery("audience", "another iss", sign({**claims, "iss": "https://other.example/auth"}, key=key))
    for typ in ("JWT", "id+jwt", "logout+jwt"):
        yield Forgery("audience", f"typ {typ}", sign(claims, key=key, typ=typ))


def _public_texts(keys: Sequence[VerifyingKey]) -> Iterator[bytes]:
    """The ways in which a confused library reads a public key as bytes."""
    for key in keys:
        if key.algorithm != "HS256":
            yield key.material
            yield key.material.strip()
            yield json.dumps(key.to_jwk(), separators=(",", ":")).encode()


def _by_hmac(header: Claims, claims: Claims, secret: bytes) -> str:
    signed = f"{_segment(header)}.{_segment(claims)}"
    return f"{signed}.{base64url.encode(hmac.digest(secret, signed.encode('ascii'), sha256))}"


def _joined(header: Claims, claims: Claims, signature: bytes) -> str:
    return f"{_segment(header)}.{_segment(claims)}.{base64url.encode(signature)}"


def _segment(members: Claims) -> str:
    return base64url.encode(json.dumps(dict(members), separators=(",", ":")).encode())


def _without(claims: Claims, name: str) -> dict[str, object]:
    return {each: value for each, value in claims.items() if each != name}
