"""Small secrets encrypted at rest: signing keys, provider tokens, TOTP seeds.

AES-256-GCM (NIST SP 800-38D) under a key derived from the root secret. A sealed value is one version byte, a random
96-bit nonce, and the ciphertext with its tag. It is bound to its place: moved to another row, it does not open.
"""

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = b"\x01"
_NONCE_BYTES = 12  # SP 800-38D §8.2.2: random nonces are good for 2^32 secrets under one key


class SealBroken(Exception):
    """None of the root secrets opens it: it was sealed under another one, for another place, or was changed."""


class Sealer:
    """Seals secrets of one purpose.

    Args:
        keys: 32-byte keys derived for this purpose (`Kernel.derived_keys`), the present one first; the others only
            unseal.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def seal(self, secret: bytes, *, bound_to: str) -> bytes:
        """`secret`, encrypted under the present key.

        Args:
            bound_to: names the place that it is kept in, such as a row's id; needed again to unseal.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + nonce + _cipher(self._keys[0]).encrypt(nonce, secret, _bond(bound_to))

    def unseal(self, sealed: bytes, *, bound_to: str) -> bytes:
        """The secret in `sealed`, whichever root secret it was sealed under.

        Raises:
            SealBroken: none of them opens it at this place.
        """
        for key in self._keys:
            secret = _opened(key, sealed, bound_to)
            if secret is not None:
                return secret
        raise SealBroken

    def reseal(self, sealed: bytes, *, bound_to: str) -> bytes | None:
        """The same secret under the present key, or None when that is what it is under.

        Raises:
            SealBroken: no key opens it.
        """
        if _opened(self._keys[0], sealed, bound_to) is not None:
            return None
        return self.seal(self.unseal(sealed, bound_to=bound_to), bound_to=bound_to)

    def __repr__(self) -> str:
        return "Sealer(…)"


def _opened(key: bytes, sealed: bytes, bound_to: str) -> bytes | None:
    from cryptography.exceptions import InvalidTag

    if not sealed.startswith(_VERSION):
        return None
    nonce, text = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    try:
        return _cipher(key).decrypt(nonce, text, _bond(bound_to))
    except (InvalidTag, ValueError):  # ValueError: too short to be one
        return None


def _bond(bound_to: str) -> bytes:
    return _VERSION + bound_to.encode("utf-8")


def _cipher(key: bytes) -> "AESGCM":
    # Imported here: cryptography costs a fifth of a second, which an app without sealed secrets must not pay.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)
