"""Keys: one per purpose, of one algorithm each, several at a time while they rotate."""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import cast

from limen.core import base64url, jwk
from limen.core.jwk import Algorithm
from limen.errors import ConfigurationError, Unavailable

MIN_SECRET = 32  # bytes; RFC 7518 §3.2: a key of the same size as the hash output or larger MUST be used
MAX_KEYS = 32  # a token without `kid` may cost one verification for each key
MAX_KID = 255

_HOW_TO_MAKE_ONE = 'make one with: python -c "import secrets; print(secrets.token_urlsafe(48))"'


def derive_key(secret: bytes, *, purpose: str) -> bytes:
    """The 32-byte key for one purpose, so that no key ever serves two.

    HKDF-Expand, first block: T(1) = HMAC-SHA256(PRK, info | 0x01) (RFC 5869 §2.3). The extract step is left out, as
    §3.3 allows for a secret that is a strong key already. A JWS signing input is ASCII without 0x01 (RFC 7515 §7.1), so
    a token signed with the secret itself is never one of these keys.

    Raises:
        ValueError: an empty purpose.
    """
    if not purpose:
        raise ValueError("a derived key needs a purpose")
    return hmac.digest(secret, b"limen/v1/" + purpose.encode("utf-8") + b"\x01", "sha256")


@dataclass(frozen=True, slots=True, weakref_slot=True)
class SigningKey:
    """Signs tokens with one algorithm.

    Attributes:
        kid: names the key in a token's header; stable across processes.
        algorithm: the only one that it is used with (RFC 8725 §3.1).
        material: the secret's bytes for HS256, else the private key as PKCS #8 PEM.
    """

    kid: str
    algorithm: Algorithm
    material: bytes

    @classmethod
    def from_secret(cls, secret: str) -> "SigningKey":
        """An HS256 key: the UTF-8 bytes of `secret`, so that other programs can verify with the same text.

        Raises:
            ConfigurationError: under 32 bytes, or a public key by its looks.
        """
        material = secret.encode("utf-8")
        if len(material) < MIN_SECRET:
            raise ConfigurationError(f"LIMEN_SECRET_KEY has {len(material)} bytes, HS256 needs 32; {_HOW_TO_MAKE_ONE}")
        if _looks_public(secret):  # what everyone may know cannot be a secret (CVE-2022-29217)
            raise ConfigurationError(f"LIMEN_SECRET_KEY is an encoded key or certificate; {_HOW_TO_MAKE_ONE}")
        return cls(_secret_kid(material), "HS256", material)

    @classmethod
    def from_pem(cls, pem: bytes, *, algorithm: Algorithm) -> "SigningKey":
        """A private key from a PEM file: P-256 for ES256, Ed25519 for EdDSA, RSA of 2048 bits or more for RS256.

        Raises:
            ConfigurationError: not such a key; the message says how to make one.
        """
        material = jwk.load_private_pem(pem, algorithm=algorithm)
        return cls(_pair_kid(material), algorithm, material)

    @classmethod
    def generate(cls, algorithm: Algorithm) -> "SigningKey":
        """A fresh key.

        Raises:
            ConfigurationError: an algorithm that limen does not sign with.
        """
        if algorithm == "HS256":
            return cls.from_secret(token_urlsafe(48))
        material = jwk.generate_private_pem(algorithm)
        return cls(_pair_kid(material), algorithm, material)

    @property
    def pem(self) -> bytes:
        """The private key as unencrypted PKCS #8 PEM: encrypt it before it is stored.

        Raises:
            ValueError: an HS256 key has no PEM.
        """
        if self.algorithm == "HS256":
            raise ValueError("an HS256 key has no PEM")
        return self.material

    def verifying_key(self) -> "VerifyingKey":
        """The half that verifies; for HS256 the secret itself."""
        material = self.material if self.algorithm == "HS256" else jwk.public_pem(self.material)
        return VerifyingKey(self.kid, self.algorithm, material)

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid!r}, algorithm={self.algorithm!r}, material=…)"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class VerifyingKey:
    """Verifies tokens of one algorithm.

    Attributes:
        kid: names the key in a token's header.
        algorithm: the only one that it is used with (RFC 8725 §3.1).
        material: the secret's bytes for HS256, else the public key as PEM.
    """

    kid: str
    algorithm: Algorithm
    material: bytes

    @classmethod
    def from_jwk(cls, members: Mapping[str, object]) -> "VerifyingKey":
        """A public key from another issuer's JWKS; without a `kid` it is named by its thumbprint (RFC 7638).

        Raises:
            ValueError: symmetric or private, for another `use`, `key_ops` or `alg`, or not a well-formed key.
        """
        algorithm, material = jwk.from_jwk(members)
        kid = members.get("kid", jwk.thumbprint(jwk.to_jwk(material)))
        if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID:
            raise ValueError("kid is not a name")
        return cls(kid, algorithm, material)

    def to_jwk(self) -> dict[str, str]:
        """The public key as a JWK (RFC 7517 §4).

        Raises:
            ValueError: an HS256 key is a secret and has no public form.
        """
        if self.algorithm == "HS256":
            raise ValueError("an HS256 key has no public form")
        return {**jwk.to_jwk(self.material), "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def __repr__(self) -> str:
        return f"VerifyingKey(kid={self.kid!r}, algorithm={self.algorithm!r}, material=…)"


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of one issuer: the one that signs, and all whose tokens are still good.

    Attributes:
        signing: signs new tokens; None for another issuer's ring.
        verifying: every key that may verify, the signing key's half first.

    Raises:
        ConfigurationError: over 32 keys, or a signing key whose tokens the ring would refuse.
    """

    signing: SigningKey | None
    verifying: tuple[VerifyingKey, ...]

    def __post_init__(self) -> None:
        if len(self.verifying) > MAX_KEYS:
            raise ConfigurationError(f"A key ring holds at most {MAX_KEYS} keys; retire some.")
        if self.signing is not None and not self.find(kid=self.signing.kid, algorithm=self.signing.algorithm):
            raise ConfigurationError("The signing key is missing among the keys that verify.")

    @classmethod
    def from_secret(cls, secret: str, *, fallbacks: Iterable[str] = ()) -> "KeyRing":
        """Sign with `secret`; accept tokens that were signed with one of `fallbacks` too, while they live.

        Raises:
            ConfigurationError: a secret that HS256 cannot use.
        """
        return cls.from_key(
            SigningKey.from_secret(secret),
            retiring=[SigningKey.from_secret(fallback).verifying_key() for fallback in fallbacks],
        )

    @classmethod
    def from_key(cls, signing: SigningKey, *, retiring: Iterable[VerifyingKey] = ()) -> "KeyRing":
        """Sign with `signing`; accept tokens of the `retiring` keys too, of whatever algorithm, while they live."""
        return cls(signing, tuple(dict.fromkeys((signing.verifying_key(), *retiring))))

    @classmethod
    def from_jwks(cls, jwks: Mapping[str, object]) -> "KeyRing":
        """Another issuer's keys. Those that limen cannot or must not use are left out, as RFC 7517 §5 asks.

        Raises:
            ValueError: not a JWK Set, over 32 keys, or none that can be used.
        """
        members = jwks.get("keys")
        if not isinstance(members, list) or not len(members) <= MAX_KEYS:
            raise ValueError(f"not a JWK Set of at most {MAX_KEYS} keys")
        verifying = tuple(dict.fromkeys(key for key in map(_usable, members) if key is not None))
        if not verifying:
            raise ValueError("the JWK Set has no key that limen verifies with")
        return cls(None, verifying)

    def find(self, *, kid: str | None, algorithm: str) -> tuple[VerifyingKey, ...]:
        """The keys that may have signed a token: those of its algorithm, and of its `kid` if it names one."""
        return tuple(key for key in self.verifying if key.algorithm == algorithm and kid in (None, key.kid))

    def public_jwks(self) -> dict[str, list[dict[str, str]]]:
        """The JWK Set to publish (RFC 7517 §5): public keys only; secrets are left out."""
        return {"keys": [key.to_jwk() for key in self.verifying if key.algorithm != "HS256"]}


class Keys:
    """The key ring of the moment: whoever holds this sees a rotation as soon as it happens.

    This one never changes: keys that the settings give. `limen.db.signing_keys` has the one that rotates.
    """

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    @property
    def ring(self) -> KeyRing:
        """The keys of this moment, without I/O."""
        return self._ring

    async def signing_key(self) -> SigningKey:
        """The key that signs at this moment; no I/O as long as the ring has one.

        Raises:
            Unavailable: none does.
        """
        signing = self.ring.signing
        if signing is None:
            raise Unavailable("no key signs at the moment")
        return signing

    async def look_again(self) -> bool:
        """Ask where the keys come from, for a `kid` that the ring does not know; whether that was worth a try.

        Raises:
            Unavailable: it cannot be asked.
        """
        return False

    async def start(self) -> None:
        """Load the keys, then keep up to them; nothing is served before this returns."""

    async def stop(self) -> None:
        """End what `start` began."""

    async def keep_up(self) -> None:
        """Keep up by hand where `start` was not called (a script, a test without a lifespan)."""

    async def purge(self) -> int:
        """Forget keys that have ended; how many were destroyed or forgotten."""
        return 0


def _usable(members: object) -> VerifyingKey | None:
    if not isinstance(members, Mapping):
        return None
    try:
        return VerifyingKey.from_jwk(cast("Mapping[str, object]", members))
    except ValueError:
        return None


def _looks_public(secret: str) -> bool:
    marks = ("-----BEGIN", "---- BEGIN", "ssh-rsa ", "ssh-ed25519", "ecdsa-sha2-", '"kty"')
    return any(mark in secret for mark in marks)


def _secret_kid(material: bytes) -> str:
    # 72 bits: enough to tell keys apart, and no more about the secret than any token's signature tells.
    return base64url.encode(derive_key(material, purpose="kid")[:9])


def _pair_kid(private_pem: bytes) -> str:
    return jwk.thumbprint(jwk.to_jwk(jwk.public_pem(private_pem)))
