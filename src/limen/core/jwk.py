"""Asymmetric keys in their two spellings, PEM and JWK (RFC 7517), each checked before it is believed.

`cryptography` costs a fifth of a second to import, so every function that needs it imports it itself: an app that signs
with HS256 does not pay here.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, TypeAlias

from limen.core import base64url
from limen.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

    PublicKey: TypeAlias = EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey

Algorithm: TypeAlias = Literal["HS256", "ES256", "EdDSA", "RS256"]

RSA_BITS = range(2048, 8193)  # RFC 7518 §3.3: 2048 bits or larger MUST be used; the upper end bounds one verification
NEW_RSA_BITS = 3072  # of keys that are made here: ASVS 5.0 11.2.3 asks for 128 bits of security
RSA_EXPONENTS = range(65537, 2**32, 2)  # FIPS 186-5 §5.1: odd, over 2^16; the upper end again bounds the work

_OPENSSL: Mapping[str, str] = {
    "ES256": "a P-256 key (openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256)",
    "EdDSA": "an Ed25519 key (openssl genpkey -algorithm ed25519)",
    "RS256": "an RSA key of 2048 to 8192 bits (openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072)",
}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


def load_private_pem(pem: bytes, *, algorithm: str) -> bytes:
    """The private key in `pem`, checked to fit `algorithm` and written as unencrypted PKCS #8 PEM.

    Raises:
        ConfigurationError: not a private key, encrypted, or of another kind than `algorithm` needs.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if algorithm not in _OPENSSL:
        raise ConfigurationError(f"No PEM file goes with the algorithm {algorithm!r}: use {', '.join(_OPENSSL)}.")
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None  # the library's error may quote the file
    if key is None or _algorithm_of(key.public_key()) != algorithm:
        found = "no unencrypted private key" if key is None else f"another kind of key ({type(key).__name__})"
        raise ConfigurationError(f"{algorithm} needs {_OPENSSL[algorithm]}; the PEM file holds {found}.")
    return _private_pem(key)


def generate_private_pem(algorithm: str) -> bytes:
    """A fresh private key for `algorithm`, as PKCS #8 PEM.

    Raises:
        ConfigurationError: for an algorithm without key pairs.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if algorithm == "ES256":
        return _private_pem(ec.generate_private_key(ec.SECP256R1()))
    if algorithm == "EdDSA":
        return _private_pem(ed25519.Ed25519PrivateKey.generate())
    if algorithm == "RS256":
        return _private_pem(rsa.generate_private_key(public_exponent=65537, key_size=NEW_RSA_BITS))
    raise ConfigurationError(
        f"{algorithm!r} is not an algorithm that limen signs with: use HS256, {', '.join(_OPENSSL)}."
    )


def public_pem(private_pem: bytes) -> bytes:
    """The public half of a private key that `load_private_pem` has checked."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return _public_pem(load_pem_private_key(private_pem, password=None).public_key())


def to_jwk(public_pem: bytes) -> dict[str, str]:
    """The members that make the key (RFC 7518 §6.2.1, §6.3.1, RFC 8037 §2), and nothing else."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    match load_pem_public_key(public_pem):
        case ec.EllipticCurvePublicKey() as key:
            x, y = (
                base64url.encode(number.to_bytes(32)) for number in (key.public_numbers().x, key.public_numbers().y)
            )
            return {"kty": "EC", "crv": "P-256", "x": x, "y": y}
        case ed25519.Ed25519PublicKey() as key:
            return {"kty": "OKP", "crv": "Ed25519", "x": base64url.encode(key.public_bytes_raw())}
        case rsa.RSAPublicKey() as key:
            n, e = (_encode_uint(number) for number in (key.public_numbers().n, key.public_numbers().e))
            return {"kty": "RSA", "n": n, "e": e}
    raise ValueError("not a key that limen verifies with")


def thumbprint(members: Mapping[str, str]) -> str:
    """RFC 7638 §3: the SHA-256 of the required members, in lexicographic order, without white space."""
    text = json.dumps(dict(sorted(members.items())), separators=(",", ":"))
    return base64url.encode(sha256(text.encode("utf-8")).digest())


def from_jwk(jwk: Mapping[str, object]) -> tuple[Algorithm, bytes]:
    """The one algorithm that a public key from another issuer's JWKS verifies, and the key as PEM.

    Raises:
        ValueError: symmetric or private, for another use, operation or algorithm, or not a well-formed key.
    """
    if not _PRIVATE.isdisjoint(jwk):
        raise ValueError("a JWKS must hold public keys only")  # RFC 7517 §9.2, RFC 8725 §3.1: never an HMAC secret
    _check_intent(jwk)
    key = _public_key(jwk)
    algorithm = _algorithm_of(key)
    if algorithm is None or jwk.get("alg", algorithm) != algorithm:
        raise ValueError("the key's kind, size or alg is not one that limen verifies with")
    return algorithm, _public_pem(key)


def _check_intent(jwk: Mapping[str, object]) -> None:
    """RFC 7517 §4.2 and §4.3: `use` and `key_ops` say what the key is for, and MUST agree if both are there."""
    if jwk.get("use", "sig") != "sig":
        raise ValueError("the key is not for signatures")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise ValueError("the key is not for verifying")
    if any(operation not in ("sign", "verify") for operation in operations) or len(operations) > len(set(operations)):
        raise ValueError("the key's operations contradict its use or one another")


def _public_key(jwk: Mapping[str, object]) -> "PublicKey":
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    match jwk:
        case {"kty": "EC", "crv": "P-256"}:
            x, y = _uint(jwk, "x", size=32), _uint(jwk, "y", size=32)
            return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()  # refuses a point off the curve
        case {"kty": "OKP", "crv": "Ed25519"}:
            return ed25519.Ed25519PublicKey.from_public_bytes(_bytes(jwk, "x"))
        case {"kty": "RSA"}:
            n, e = _uint(jwk, "n"), _uint(jwk, "e")
            if e in RSA_EXPONENTS:
                return rsa.RSAPublicNumbers(e, n).public_key()
    raise ValueError("the key's kind or size is not one that limen verifies with")


def _algorithm_of(key: object) -> Algorithm | None:
    """RFC 8725 §3.1: each key MUST be used with exactly one algorithm."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    match key:
        case ec.EllipticCurvePublicKey() if isinstance(key.curve, ec.SECP256R1):
            return "ES256"
        case ed25519.Ed25519PublicKey():
            return "EdDSA"
        case rsa.RSAPublicKey() if key.key_size in RSA_BITS:
            return "RS256"
    return None


def _bytes(jwk: Mapping[str, object], name: str) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str) or len(value) > RSA_BITS.stop // 6 + 1:
        raise ValueError(f"{name} is missing or not a key member")
    return base64url.decode(value)


def _uint(jwk: Mapping[str, object], name: str, *, size: int | None = None) -> int:
    """RFC 7518 §2 and §6.2.1.2: coordinates have the curve's full size, other numbers no leading zero octet."""
    octets = _bytes(jwk, name)
    if (len(octets) != size) if size else octets[:1] in (b"", b"\0"):
        raise ValueError(f"{name} has the wrong length")
    return int.from_bytes(octets)


def _encode_uint(number: int) -> str:
    return base64url.encode(number.to_bytes((number.bit_length() + 7) // 8))


def _private_pem(key: "PrivateKeyTypes") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public_pem(key: "PublicKeyTypes") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
