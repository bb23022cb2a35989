"""Signed assertions by which OAuth clients prove who they are: `private_key_jwt` (RFC 7523 §2.2, §3)."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from limen.core import base64url, jwt
from limen.core.jwk import Algorithm
from limen.core.jwt import Expected
from limen.core.keys import KeyRing, SigningKey, VerifyingKey
from limen.core.strict_json import parse_object
from limen.errors import AuthError, InvalidClient

MAX_LIFETIME = 3600
"""Seconds. RFC 7523 §3: an assertion whose `exp` is unreasonably far in the future MAY be rejected."""

OWN_TYPE = "client-authentication+jwt"
_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class Assertion:
    """What an assertion says before it is believed: only to find the keys that it is verified with."""

    text: str
    client_id: str
    audiences: tuple[str, ...]
    typ: str
    kid: str | None
    algorithm: str

    @classmethod
    def read(cls, text: str) -> "Assertion":
        """What `text` says.

        Raises:
            InvalidClient: it is no assertion.
        """
        try:
            header, claims = (parse_object(base64url.decode(part)) for part in text.split(".", 2)[:2])
        except ValueError:
            raise InvalidClient("the client assertion cannot be read") from None
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        kid = header.get("kid")
        return cls(
            text=text,
            client_id=_text(claims.get("iss")),
            audiences=tuple(map(_text, audiences)),
            typ=_text(header.get("typ")),
            kid=kid if isinstance(kid, str) else None,
            algorithm=_text(header.get("alg")),
        )


@dataclass(frozen=True, slots=True)
class Proven:
    """A genuine assertion.

    Attributes:
        key: that signed it.
        jti: to be spent; may be forgotten at `until` (seconds since the epoch).
    """

    key: VerifyingKey
    jti: str
    until: float


def verify(
    assertion: Assertion, *, keys: Sequence[VerifyingKey], audiences: Sequence[str], now: float, leeway: int
) -> Proven:
    """Check an assertion with the client's keys; with none that fits, a decoy costs the same and never verifies.

    Args:
        audiences: what this server is called: its issuer and its token endpoint (RFC 7523 §3).

    Raises:
        InvalidClient: whatever was wrong.
    """
    is_for_us = [name for name in audiences if name in assertion.audiences]
    expected = Expected(
        issuer=assertion.client_id or "nobody",
        audience=is_for_us[0] if is_for_us else audiences[0],
        typ=OWN_TYPE if assertion.typ.lower().removeprefix("application/") == OWN_TYPE else None,
        leeway=leeway,
        dated=False,
    )
    fitting = KeyRing(None, tuple(keys)).find(kid=assertion.kid, algorithm=assertion.algorithm)
    refusal = InvalidClient("client assertion: no key", client=assertion.client_id)
    for key in fitting or _decoys(assertion.kid or "decoy"):
        try:
            claims = jwt.verify(assertion.text, keys=KeyRing(None, (key,)), expected=expected, now=now)
        except AuthError as error:
            refusal = InvalidClient(f"client assertion: {error.reason}", client=assertion.client_id)
            continue
        for check in (check_subject, check_id, check_lifetime):
            check(claims, now + leeway)
        return Proven(key, _text(claims["jti"]), _seconds(claims["exp"]) + leeway)
    raise refusal


def check_subject(claims: Mapping[str, object], _latest: float) -> None:
    """RFC 7523 §3: for client authentication, the subject MUST be the `client_id`, as the issuer is."""
    if claims.get("sub") != claims.get("iss"):
        raise InvalidClient("client assertion: sub is not iss")


def check_id(claims: Mapping[str, object], _latest: float) -> None:
    """RFC 7523 §3: `jti` MAY be there; OpenID Connect Core §9: REQUIRED, else no replay could be seen."""
    if not 0 < len(_text(claims.get("jti"))) <= jwt.MAX_NAME:
        raise InvalidClient("client assertion: jti is missing or too long")


def check_lifetime(claims: Mapping[str, object], latest: float) -> None:
    """RFC 7523 §3: `exp` unreasonably far in the future MAY be rejected; so the memory of spent ones is bounded."""
    if _seconds(claims["exp"]) > latest + MAX_LIFETIME:
        raise InvalidClient("client assertion: it lives too long")


def _decoys(kid: str) -> tuple[VerifyingKey, ...]:
    return tuple(VerifyingKey(kid, key.algorithm, key.material) for key in _decoy_keys())


@lru_cache(maxsize=1)
def _decoy_keys() -> tuple[VerifyingKey, ...]:
    """Public keys to which nobody has the private one; a product of two primes is not needed to compute with it."""
    algorithms: tuple[Algorithm, ...] = ("ES256", "EdDSA")
    modulus = secrets.randbits(_RSA_BITS) | 1 << _RSA_BITS - 1 | 1
    members = {"kty": "RSA", "e": "AQAB", "n": base64url.encode(modulus.to_bytes(_RSA_BITS // 8))}
    pairs = (SigningKey.generate(algorithm).verifying_key() for algorithm in algorithms)
    return (*pairs, VerifyingKey.from_jwk(members))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
