"""JSON Web Tokens (RFC 7519, profiled by RFC 9068 and RFC 8725): signed, and verified in one indivisible call.

limen reads the token itself, strictly and once, and leaves the signature to joserfc: what was checked and what is
returned come from the same bytes, and a lenient second parser has no say. This is the only importer of joserfc.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from limen.core import base64url
from limen.core.base64url import NotCanonical
from limen.core.keys import KeyRing, SigningKey, VerifyingKey
from limen.core.strict_json import MalformedJSON, parse_object
from limen.errors import ConfigurationError, InvalidCredential, UnknownKey

if TYPE_CHECKING:
    from joserfc.jwa import JWSAlgModel
    from joserfc.jwk import Key

MAX_TOKEN = 8192  # characters
MAX_NAME = 255  # OpenID Connect Core §2: sub MUST NOT exceed 255 ASCII characters
END_OF_TIME = 253_402_300_800  # the year 10000, from which datetime cannot tell the time


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a token must say to be accepted.

    Attributes:
        issuer: `iss`, compared exactly.
        audience: must be `aud` or among it.
        typ: the media type in the header, without `application/`; None for an issuer that does not type its tokens,
            which are then plain ones: `JWT`, `at+jwt` or no type at all. With `JWT`, no type is that too.
        leeway: seconds by which two clocks may differ.
        dated: whether `iat` must be there, as in access tokens; in a client's assertion it MAY (RFC 7523 §3).
        audience_claim: where the audience stands, for issuers that write no `aud` (Cognito: `client_id`).
        requires: other claims, and the one text that each must be.
        untyped: claims of RFC 9068 to which this issuer gives a form of its own; theirs is not checked.

    Raises:
        ConfigurationError: an empty value, or a negative leeway.
    """

    issuer: str
    audience: str
    typ: str | None = "at+jwt"
    leeway: int = 0
    dated: bool = True
    audience_claim: str = "aud"
    requires: tuple[tuple[str, str], ...] = ()
    untyped: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not (self.issuer and self.audience and self.audience_claim and self.typ != "" and self.leeway >= 0):
            raise ConfigurationError(
                "Tokens need an issuer, an audience and a type, and a leeway of 0 or more seconds."
            )


class Trial(NamedTuple):
    """What the checks compare a token with."""

    keys: KeyRing
    expected: Expected
    now: float


def sign(claims: Mapping[str, object], *, key: SigningKey, typ: str = "at+jwt") -> str:
    """A token with these claims in JWS Compact Serialization (RFC 7515 §7.1).

    Raises:
        TypeError: a claim that JSON cannot carry.
        ValueError: NaN, Infinity, or more claims than the 8 KB that `verify` accepts.
    """
    header = {"typ": typ, "alg": key.algorithm, "kid": key.kid}
    signing_input = f"{_segment(header)}.{_segment(claims)}"
    algorithm, jose = _parsed(key)
    token = f"{signing_input}.{base64url.encode(algorithm.sign(signing_input.encode('ascii'), jose))}"
    if len(token) > MAX_TOKEN:
        raise ValueError(f"the claims make a token of over {MAX_TOKEN} characters, which no verifier would accept")
    return token


def verify(token: str, *, keys: KeyRing, expected: Expected, now: float) -> Mapping[str, object]:
    """The claims of a token that is genuine, meant for us and good at this moment. There is no other way to them.

    Args:
        now: seconds since the epoch, of the caller's clock.

    Returns:
        The claims, read-only: they are remembered and shared between requests.

    Raises:
        InvalidCredential: for whatever is wrong with it; the private reason never quotes the token.
    """
    try:
        return _verify(token, Trial(keys, expected, now))
    except InvalidCredential:
        raise
    except (NotCanonical, MalformedJSON) as error:
        reason = str(error)
    except Exception as error:  # whatever a library lets through on a stranger's bytes: a bad token, never a 500
        reason = type(error).__name__
    # Raised out here so that no foreign error, which may hold the token, travels along as its context.
    raise InvalidCredential(f"token unreadable: {reason}")


def unverified_issuer(token: str) -> str | None:
    """Who a token says it is from, or None: to choose the verifier, and for nothing else. Never raises."""
    try:
        issuer = parse_object(base64url.decode(_split(token)[1])).get("iss")
    except Exception:  # a stranger's bytes
        return None
    return issuer if isinstance(issuer, str) and 0 < len(issuer) <= MAX_NAME else None


def unverified_key(token: str) -> tuple[str | None, str | None]:
    """The `alg` and `kid` that a token names: to choose among rings of keys, and for nothing else. Never raises."""
    try:
        header = parse_object(base64url.decode(_split(token)[0]))
    except Exception:  # a stranger's bytes
        return None, None
    alg, kid = header.get("alg"), header.get("kid")
    return (alg if isinstance(alg, str) else None), (kid if isinstance(kid, str) else None)


def _verify(token: str, trial: Trial) -> Mapping[str, object]:
    header_segment, payload_segment, _ = _split(token)
    header = parse_object(base64url.decode(header_segment))
    for check in HEADER_CHECKS:
        check(header, trial)
    check_signature(token, header, trial.keys)
    claims = parse_object(base64url.decode(payload_segment))  # RFC 7515 §5.2: nothing is believed before this line
    for check in CLAIMS_CHECKS:
        check(claims, trial)
    return MappingProxyType(claims)


def _split(token: str) -> list[str]:
    """RFC 7519 §7.2 and RFC 7515 §7.1: exactly three segments. The size comes first, before any work."""
    if len(token) > MAX_TOKEN:
        raise InvalidCredential("token of over 8 KB")
    segments = token.split(".", 3)
    if len(segments) != 3:
        raise InvalidCredential("token is not three segments")
    return segments


# --- the header -------------------------------------------------------------------------------------------------------

PLAIN_TYPES = ("jwt", "at+jwt")  # RFC 8725 §3.11: the other types say what they are, and that is no access token
REFUSED_PARAMETERS = frozenset({"crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c"})


def check_parameters(header: Mapping[str, object], _: Trial) -> None:
    """RFC 7515 §4.1.11: an extension in `crit` that is not understood makes the JWS invalid. limen understands none;
    `crit` MUST NOT be empty or name `alg` anyway. RFC 8725 §3.10: keys that the token brings along are not trusted."""
    if not REFUSED_PARAMETERS.isdisjoint(header):
        raise InvalidCredential("header parameter that is never accepted")


def check_type(header: Mapping[str, object], trial: Trial) -> None:
    """RFC 9068 §4: MUST verify that `typ` is `at+jwt` or `application/at+jwt`, and reject any other value.
    RFC 7515 §4.1.9: `application/` is prepended where there is no slash; media types ignore ASCII case."""
    expected = (trial.expected.typ,) if trial.expected.typ else PLAIN_TYPES
    typ = header.get("typ", "JWT" if trial.expected.typ in (None, "JWT") else None)
    if not isinstance(typ, str) or not typ.isascii():
        raise InvalidCredential("typ missing or not text")
    if typ.lower().removeprefix("application/") not in map(str.lower, expected):
        raise InvalidCredential("token of another type")


def check_algorithm(header: Mapping[str, object], trial: Trial) -> None:
    """RFC 8725 §3.1: libraries MUST NOT use any other algorithm than the caller's set; ours are those of the keys."""
    algorithm = header.get("alg")
    if all(key.algorithm != algorithm for key in trial.keys.verifying):
        raise UnknownKey("algorithm not allowed")


def check_key_id(header: Mapping[str, object], _: Trial) -> None:
    """RFC 7515 §4.1.4: `kid` MUST be a string."""
    if "kid" in header and not isinstance(header["kid"], str):
        raise InvalidCredential("kid is not text")


def check_signature(token: str, header: Mapping[str, object], keys: KeyRing) -> None:
    """RFC 7515 §5.2: if none of the validations succeeded, the JWS MUST be considered invalid."""
    signing_input, _, segment = token.rpartition(".")
    message, signature = signing_input.encode("ascii"), base64url.decode(segment)
    kid, name = header.get("kid"), header.get("alg")
    candidates = keys.find(kid=kid if isinstance(kid, str) else None, algorithm=str(name))
    if not candidates:
        raise UnknownKey("no key of this kid and algorithm")
    for algorithm, jose in map(_parsed, candidates):
        if algorithm.verify(message, signature, jose):
            return
    raise InvalidCredential("signature does not match")


# --- the claims -------------------------------------------------------------------------------------------------------


def check_issuer(claims: Mapping[str, object], trial: Trial) -> None:
    """RFC 9068 §4: the issuer MUST exactly match the value of `iss`."""
    if claims.get("iss") != trial.expected.issuer:
        raise InvalidCredential("iss is another issuer")


def check_audience(claims: Mapping[str, object], trial: Trial) -> None:
    """RFC 7519 §4.1.3: a principal that is not among `aud` MUST reject the token. RFC 9068 §4: so too without `aud`."""
    audience = claims.get(trial.expected.audience_claim)
    audiences = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(one, str) for one in audiences) or trial.expected.audience not in audiences:
        raise InvalidCredential("aud is not us")


def check_required(claims: Mapping[str, object], trial: Trial) -> None:
    """RFC 8725 §3.12: JWTs of one issuer that serve different purposes MUST be told apart by their claims."""
    for name, value in trial.expected.requires:
        if claims.get(name) != value:
            raise InvalidCredential("a claim is not what this issuer's access tokens say", claim=name)


def check_expiry(claims: Mapping[str, object], trial: Trial) -> None:
    """RFC 7519 §4.1.4: on or after `exp` the token MUST NOT be accepted; RFC 9068 §2.2: REQUIRED."""
    if not _seconds(claims, "exp") > trial.now - trial.expected.leeway:
        raise InvalidCredential("token expired")


def check_issued_at(claims: Mapping[str, object], trial: Trial) -> None:
    """RFC 9068 §2.2: `iat` REQUIRED; RFC 7519 §4.1.6: MUST be a number. One from the future comes of a wrong clock."""
    if "iat" not in claims and not trial.expected.dated:
        return
    if not _seconds(claims, "iat") <= trial.now + trial.expected.leeway:
        raise InvalidCredential("token issued in the future")


def check_not_before(claims: Mapping[str, object], trial: Trial) -> None:
    """RFC 7519 §4.1.5: before `nbf` the token MUST NOT be accepted."""
    if "nbf" in claims and not _seconds(claims, "nbf") <= trial.now + trial.expected.leeway:
        raise InvalidCredential("token not yet valid")


def check_auth_time(claims: Mapping[str, object], _: Trial) -> None:
    """OpenID Connect Core §2, by way of RFC 9068 §2.2.1: `auth_time` is a JSON number of seconds."""
    if "auth_time" in claims:
        _seconds(claims, "auth_time")


def check_subject(claims: Mapping[str, object], _: Trial) -> None:
    """RFC 9068 §2.2: `sub` REQUIRED; RFC 7519 §4.1.2: a string."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_NAME or not subject.isprintable():
        raise InvalidCredential("sub missing or not a name")


def check_texts(claims: Mapping[str, object], trial: Trial) -> None:
    """RFC 7519 §4.1.7, RFC 9068 §2.2, RFC 8693 §4.2 and §4.3: these MUST be strings where they are present."""
    typed = {"jti", "sid", "scope", "client_id"} - trial.expected.untyped
    if not all(isinstance(claims.get(name, ""), str) for name in typed):
        raise InvalidCredential("jti, sid, scope or client_id is not text")


def check_lists(claims: Mapping[str, object], trial: Trial) -> None:
    """RFC 9068 §2.2.3.1 (after RFC 7643 §4.1.2) and RFC 8176 §1: `roles` and `amr` are arrays of strings."""
    for name in {"roles", "amr"} - trial.expected.untyped:
        values = claims.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise InvalidCredential("roles or amr is not a list of text")


Check = Callable[[Mapping[str, object], Trial], None]
HEADER_CHECKS: tuple[Check, ...] = (check_parameters, check_type, check_algorithm, check_key_id)
CLAIMS_CHECKS: tuple[Check, ...] = (
    check_issuer,
    check_audience,
    check_required,
    check_expiry,
    check_issued_at,
    check_not_before,
    check_auth_time,
    check_subject,
    check_texts,
    check_lists,
)


def _seconds(claims: Mapping[str, object], name: str) -> float:
    """RFC 7519 §2, NumericDate: a JSON number. True is an int to Python, and NaN compares false with everything."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < END_OF_TIME:
        raise InvalidCredential(f"{name} missing or not a time")
    return value


# --- joserfc ----------------------------------------------------------------------------------------------------------

# What joserfc makes of a key is kept as long as the key lives: parsing a PEM costs as much as a signature.
_PARSED: "WeakKeyDictionary[SigningKey | VerifyingKey, tuple[JWSAlgModel, Key]]" = WeakKeyDictionary()


def _parsed(key: SigningKey | VerifyingKey) -> "tuple[JWSAlgModel, Key]":
    known = _PARSED.get(key)
    if known is None:
        known = _PARSED[key] = _parse(key)
    return known


def _parse(key: SigningKey | VerifyingKey) -> "tuple[JWSAlgModel, Key]":
    # Imported here: joserfc brings all of cryptography, 0.2 s that `import limen` must not cost (performance.md §8).
    from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
    from joserfc.jws import JWSRegistry

    kinds: dict[str, type[Key]] = {"HS256": OctKey, "ES256": ECKey, "EdDSA": OKPKey, "RS256": RSAKey}
    # Straight from the registry: get_alg() warns of EdDSA, whose name RFC 9864 deprecates and everyone still sends.
    algorithm = JWSRegistry.algorithms[key.algorithm]
    jose = kinds[key.algorithm].import_key(key.material)
    algorithm.check_key(jose)
    return algorithm, jose


def _segment(members: Mapping[str, object]) -> str:
    text = json.dumps(dict(members), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return base64url.encode(text.encode("utf-8"))
