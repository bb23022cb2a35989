"""Checked tokens: opaque tokens whose typos show before anything is looked up. API keys and client secrets are such.

    token       = kind "_" [ environment "_" ] id secret checksum
    kind        = "lmk" for an API key, "lmc" for a client secret
    environment = 1 to 16 of a-z 0-9, where an app sets one ("test"), so that no key works in the wrong place
    id          = 16 base62 characters: public, finds the row
    secret      = 32 base62 characters: 190 random bits, proves it; SHA-256 of it is at rest
    checksum    = 6 base62 characters: CRC-32 (ISO-HDLC) of all that stands before it, with leading zeros

base62 is `0-9A-Za-z` in this order. There is no separator inside, so a double click takes the whole token. The CRC sees
every single wrong character and every pair swapped; a random text of the form passes once in four billion.

For secret scanners: `\\blm[kc]_(?:[a-z0-9]{1,16}_)?[0-9A-Za-z]{54}\\b`, then the checksum.
"""

import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

from limen.core.opaque import digest

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
ID_LENGTH, SECRET_LENGTH, CHECKSUM_LENGTH = 16, 32, 6
BODY_LENGTH = ID_LENGTH + SECRET_LENGTH + CHECKSUM_LENGTH

SCANNER = re.compile(rf"\blm[kc]_(?:[a-z0-9]{{1,16}}_)?[0-9A-Za-z]{{{BODY_LENGTH}}}\b")
"""The regular expression for secret scanners; `CheckedToken.parse` or the checksum decides about what it finds."""

_ENVIRONMENT = re.compile(r"[a-z0-9]{1,16}")
_ID = re.compile(rf"[0-9A-Za-z]{{{ID_LENGTH}}}")
_BODY = re.compile(rf"[0-9A-Za-z]{{{BODY_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class CheckedToken:
    """A checked token: `prefix` tells its kind and environment, `id` finds it, `secret` proves it."""

    prefix: str
    id: str
    secret: str = field(repr=False)

    @classmethod
    def mint(cls, prefix: str) -> "CheckedToken":
        """A new token with a random id and 190 random bits."""
        return cls(prefix, _random(ID_LENGTH), _random(SECRET_LENGTH))

    @classmethod
    def parse(cls, text: str, *, prefix: str) -> "CheckedToken | None":
        """The parts of `text` when its form, prefix and checksum are right, else None; nothing is looked up."""
        if len(text) != len(prefix) + BODY_LENGTH or not text.startswith(prefix):
            return None
        body = text[len(prefix) :]
        if _BODY.fullmatch(body) is None or checksum(text[:-CHECKSUM_LENGTH]) != body[-CHECKSUM_LENGTH:]:
            return None
        return cls(prefix, body[:ID_LENGTH], body[ID_LENGTH:-CHECKSUM_LENGTH])

    @property
    def shown(self) -> str:
        """What may be shown of it, by which a person recognises it."""
        return f"{self.prefix}{self.id}"

    @property
    def text(self) -> str:
        """The whole token, for its holder, once."""
        said = f"{self.prefix}{self.id}{self.secret}"
        return said + checksum(said)

    @property
    def digest(self) -> bytes:
        """What the database gets."""
        return digest(self.secret)


def prefix_of(kind: str, environment: str) -> str:
    """How tokens of this kind begin: `lmk_`, or `lmk_test_` in the environment `test`.

    Raises:
        ValueError: the environment is not 1 to 16 of a-z 0-9.
    """
    if not environment:
        return f"{kind}_"
    if _ENVIRONMENT.fullmatch(environment) is None:
        raise ValueError("an environment is 1 to 16 of a-z 0-9")
    return f"{kind}_{environment}_"


def is_token_id(text: str) -> bool:
    """Whether `text` could be the id of a checked token."""
    return _ID.fullmatch(text) is not None


def checksum(text: str) -> str:
    """CRC-32 of ASCII text, in base62."""
    value = zlib.crc32(text.encode("ascii"))
    digits = ""
    for _ in range(CHECKSUM_LENGTH):
        value, digit = divmod(value, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
