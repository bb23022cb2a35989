"""base64url without padding (RFC 4648 §5, RFC 7515 §2), in the one canonical spelling."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

_ALPHABET = re.compile(r"[A-Za-z0-9_-]*")
# Last characters whose unused bits are zero, by length modulo 4. A length of 1 modulo 4 has none.
_LAST = {1: "", 2: "AQgw", 3: "AEIMQUYcgkosw048"}


class NotCanonical(ValueError):
    """Text that is not the one canonical spelling of any bytes. Says so without quoting it."""


def encode(data: bytes) -> str:
    """The text of `data`, without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """The bytes of `text`.

    RFC 4648 §3.5: decoders MAY reject encodings whose pad bits are not zero. This one does, and padding, line breaks
    and the ordinary alphabet too: a signed value that can be spelled in two ways slips past whatever compares it.

    Raises:
        NotCanonical: for any other spelling.
    """
    tail = len(text) % 4
    if _ALPHABET.fullmatch(text) is None or (tail and text[-1] not in _LAST[tail]):
        raise NotCanonical("not canonical base64url")
    return urlsafe_b64decode(text + "=" * (-tail % 4))
