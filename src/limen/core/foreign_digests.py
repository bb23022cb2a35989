"""Digests that other apps made: read, bounded and matched by what the standard library derives.

Django, Werkzeug (Flask), passlib, better-auth and Firebase, each in its own spelling. Whatever is Argon2 or bcrypt at
heart is only unwrapped here; `core.passwords` matches it. Nothing here makes a digest.
"""

import hashlib
import hmac
import re
import unicodedata
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

MAX_DIGEST = 255
"""What the column of `limen_passwords` holds."""

MOST_ROUNDS = 10_000_000
MOST_MEMORY = 256 * 1024 * 1024
MOST_WORK = 1024 * 1024 * 1024  # bytes that one scrypt mixes: about four seconds, as for Argon2 and PBKDF2
KEY_BYTES = range(16, 65)
_HASHES = ("sha1", "sha256", "sha512")


class Stretching(Protocol):
    """A key derivation at a fixed cost."""

    @property
    def family(self) -> str:
        """Its algorithm and cost: two digests of one family cost the same to match."""
        ...

    @property
    def share(self) -> float:
        """Its cost as a share of the dearest that is taken: 1.0 are about four seconds."""
        ...

    def check(self) -> None:
        """Refuse a cost that would hold a worker for long.

        Raises:
            ValueError: it would, or the algorithm cannot work with these figures.
        """
        ...

    def derive(self, secret: bytes, salt: bytes, length: int) -> bytes:
        """The key of `length` bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Pbkdf2:
    """RFC 8018 §5.2."""

    hash_name: str
    rounds: int

    @property
    def family(self) -> str:
        return f"pbkdf2:{self.hash_name}:{self.rounds}"

    @property
    def share(self) -> float:
        return self.rounds / MOST_ROUNDS

    def check(self) -> None:
        if self.hash_name not in _HASHES or not 1 <= self.rounds <= MOST_ROUNDS:
            raise ValueError(f"PBKDF2 of over {MOST_ROUNDS} rounds, or of none")

    def derive(self, secret: bytes, salt: bytes, length: int) -> bytes:
        return hashlib.pbkdf2_hmac(self.hash_name, secret, salt, self.rounds, length)


@dataclass(frozen=True, slots=True)
class Scrypt:
    """RFC 7914 §2, with its own names for the costs."""

    n: int
    r: int
    p: int

    @property
    def family(self) -> str:
        return f"scrypt:{self.n}:{self.r}:{self.p}"

    @property
    def share(self) -> float:
        return 128 * self.n * self.r * self.p / MOST_WORK

    def check(self) -> None:
        if self.n < 2 or self.n & (self.n - 1) or self.r < 1 or self.p < 1:
            raise ValueError("scrypt needs a power of two for N, and r and p of at least 1")
        memory = 128 * self.n * self.r
        if memory > MOST_MEMORY or memory * self.p > MOST_WORK:
            raise ValueError("scrypt of absurd cost")

    def derive(self, secret: bytes, salt: bytes, length: int) -> bytes:
        room = 128 * self.r * (self.n + self.p + 2) + 1024  # OpenSSL counts its scratch space too
        return hashlib.scrypt(secret, salt=salt, n=self.n, r=self.r, p=self.p, maxmem=room, dklen=length)


@dataclass(frozen=True, slots=True)
class ForeignDigest:
    """A digest as it was read; its cost has been checked.

    Attributes:
        signer: Firebase's key of the project, which it encrypts under the derived one instead of comparing that.
        of_nfkc: whether it was made from the NFKC form of the password.
    """

    stretching: Stretching
    salt: bytes = field(repr=False)
    expected: bytes = field(repr=False)
    signer: bytes | None = field(default=None, repr=False)
    of_nfkc: bool = False

    @property
    def family(self) -> str:
        """Digests of one family cost the same to match."""
        return f"firebase:{self.stretching.family}" if self.signer else self.stretching.family

    def matches(self, secret: bytes) -> bool:
        """Whether the secret is the one that the digest was made from."""
        if self.of_nfkc:
            typed = secret.decode("utf-8", "surrogatepass")
            secret = unicodedata.normalize("NFKC", typed).encode("utf-8", "surrogatepass")
        if self.signer is None:
            made = self.stretching.derive(secret, self.salt, len(self.expected))
        else:
            made = _sealed(self.signer, self.stretching.derive(secret, self.salt, 64)[:32])
        return hmac.compare_digest(made, self.expected)


def unwrapped(digest: str, secret: bytes) -> tuple[str, bytes]:
    """The Argon2 or bcrypt digest inside one of Django's, and what it was made from; another digest as it is.

    Django writes its algorithm's name before them; `bcrypt_sha256` hashes first, so that bcrypt reads long passwords
    whole.
    """
    kind, separator, inner = digest.partition("$")
    if not separator:
        return digest, secret
    if kind == "argon2":
        return f"${inner}", secret
    if kind == "bcrypt":
        return inner, secret
    if kind == "bcrypt_sha256":
        return inner, hashlib.sha256(secret).hexdigest().encode()
    return digest, secret


def read(digest: str) -> ForeignDigest:
    """What a digest says of itself.

    Raises:
        ValueError: of no form that is known here, or of a cost that would hold a worker for long.
    """
    for form, build in _FORMS:
        found = form.fullmatch(digest)
        if found is not None:
            made = build(found)
            made.stretching.check()
            if len(made.expected) not in KEY_BYTES:
                raise ValueError("the key is not of 16 to 64 bytes")
            return made
    raise ValueError("no digest of a known form")


def firebase_digest(*, key: str, salt: str, signer_key: str, salt_separator: str, rounds: int, memory_cost: int) -> str:
    """One text for what Firebase keeps in an account and in its project, in the spelling that Supabase gave it.

    Args:
        key, salt: of the account, as `auth:export` writes them.
        signer_key, salt_separator, rounds, memory_cost: the project's password hash parameters.

    Raises:
        ValueError: what is given is no base64, or too long for the column.
    """
    key, salt, signer_key, salt_separator = (
        text.replace("-", "+").replace("_", "/").rstrip("=") for text in (key, salt, signer_key, salt_separator)
    )
    separator = f",ss={salt_separator}" if salt_separator else ""
    digest = f"$fbscrypt$v=1,n={memory_cost},r={rounds},p=1{separator},sk={signer_key}${salt}${key}"
    if len(digest) > MAX_DIGEST:
        raise ValueError("longer than any that Firebase makes")
    read(digest)
    return digest


def _sealed(signer: bytes, key: bytes) -> bytes:
    """Firebase encrypts the project's signer key under the derived key: AES-256 in counter mode from zero."""
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CTR

    encryptor = Cipher(AES(key), CTR(bytes(16))).encryptor()
    return encryptor.update(signer) + encryptor.finalize()


def _base64(text: str) -> bytes:
    """Standard base64, padded or not; passlib's spelling has a dot for the plus."""
    text = text.replace(".", "+").rstrip("=")
    return b64decode(text + "=" * (-len(text) % 4), validate=True)


def _django_pbkdf2(found: re.Match[str]) -> ForeignDigest:
    stretching = Pbkdf2(found["hash"], int(found["rounds"]))
    return ForeignDigest(stretching, found["salt"].encode(), _base64(found["key"]))


def _django_scrypt(found: re.Match[str]) -> ForeignDigest:
    return ForeignDigest(_scrypt(found), found["salt"].encode(), _base64(found["key"]))


def _passlib_pbkdf2(found: re.Match[str]) -> ForeignDigest:
    stretching = Pbkdf2(found["hash"] or "sha1", int(found["rounds"]))
    return ForeignDigest(stretching, _base64(found["salt"]), _base64(found["key"]))


def _passlib_scrypt(found: re.Match[str]) -> ForeignDigest:
    stretching = Scrypt(1 << int(found["ln"]), int(found["r"]), int(found["p"]))
    return ForeignDigest(stretching, _base64(found["salt"]), _base64(found["key"]))


def _werkzeug_pbkdf2(found: re.Match[str]) -> ForeignDigest:
    stretching = Pbkdf2(found["hash"], int(found["rounds"]))
    return ForeignDigest(stretching, found["salt"].encode(), bytes.fromhex(found["key"]))


def _werkzeug_scrypt(found: re.Match[str]) -> ForeignDigest:
    return ForeignDigest(_scrypt(found), found["salt"].encode(), bytes.fromhex(found["key"]))


def _better_auth(found: re.Match[str]) -> ForeignDigest:
    """Its figures are in its code, not in the digest; the salt is the hexadecimal text itself."""
    return ForeignDigest(Scrypt(16384, 16, 1), found["salt"].encode(), bytes.fromhex(found["key"]), of_nfkc=True)


def _firebase(found: re.Match[str]) -> ForeignDigest:
    salt = _base64(found["salt"]) + _base64(found["separator"] or "")
    stretching = Scrypt(1 << int(found["ln"]), int(found["r"]), 1)
    return ForeignDigest(stretching, salt, _base64(found["key"]), _base64(found["signer"]))


def _scrypt(found: re.Match[str]) -> Scrypt:
    return Scrypt(int(found["n"]), int(found["r"]), int(found["p"]))


_COST, _LOGARITHM, _BASE64 = r"[0-9]{1,10}", r"[0-9]{1,2}", r"[A-Za-z0-9+/.]+=*"

_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], ForeignDigest]], ...] = tuple(
    (re.compile(form, re.ASCII), build)
    for form, build in (
        (rf"pbkdf2_(?P<hash>sha1|sha256)\$(?P<rounds>{_COST})\$(?P<salt>[^$]+)\$(?P<key>{_BASE64})", _django_pbkdf2),
        (
            rf"scrypt\$(?P<n>{_COST})\$(?P<salt>[^$]+)\$(?P<r>{_COST})\$(?P<p>{_COST})\$(?P<key>{_BASE64})",
            _django_scrypt,
        ),
        (
            rf"\$pbkdf2(?:-(?P<hash>sha256|sha512))?\$(?P<rounds>{_COST})\$(?P<salt>{_BASE64})\$(?P<key>{_BASE64})",
            _passlib_pbkdf2,
        ),
        (
            rf"\$scrypt\$ln=(?P<ln>{_LOGARITHM}),r=(?P<r>{_COST}),p=(?P<p>{_COST})"
            rf"\$(?P<salt>{_BASE64})\$(?P<key>{_BASE64})",
            _passlib_scrypt,
        ),
        (
            rf"pbkdf2:(?P<hash>sha1|sha256|sha512):(?P<rounds>{_COST})\$(?P<salt>[^$]+)\$(?P<key>[0-9a-f]+)",
            _werkzeug_pbkdf2,
        ),
        (
            rf"scrypt:(?P<n>{_COST}):(?P<r>{_COST}):(?P<p>{_COST})\$(?P<salt>[^$]+)\$(?P<key>[0-9a-f]+)",
            _werkzeug_scrypt,
        ),
        (r"(?P<salt>[0-9a-f]{32}):(?P<key>[0-9a-f]{128})", _better_auth),
        (
            rf"\$fbscrypt\$v=1,n=(?P<ln>{_LOGARITHM}),r=(?P<r>{_COST}),p=1(?:,ss=(?P<separator>{_BASE64}))?"
            rf",sk=(?P<signer>{_BASE64})\$(?P<salt>{_BASE64})\$(?P<key>{_BASE64})",
            _firebase,
        ),
    )
)
