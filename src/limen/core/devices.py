"""Known devices: what a browser keeps after a sign-in, so that guesses from elsewhere do not shut its owner out.

`lmd_<device>.<mac>`, an HMAC over the user and the device under a derived key (OWASP: Slow Down Online Guessing Attacks
with Device Cookies). It lets nobody in and names nobody; all that it is worth is a budget of wrong passwords.
"""

import hmac
import re
import secrets
from collections.abc import Sequence

from limen.core import base64url

_DEVICE = re.compile(r"lmd_([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})")


class Devices:
    """Marks browsers and knows them again.

    Args:
        keys: the present one signs, the others verify.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def mint(self, subject: str, *, device: str | None = None) -> str:
        """What the browser keeps: a new device, or the one that it was already."""
        device = device or secrets.token_urlsafe(16)
        return f"lmd_{device}.{_mac(self._keys[0], subject, device)}"

    def read(self, value: str | None, subject: str) -> str | None:
        """The device on which this user signed in before, or None."""
        found = _DEVICE.fullmatch(value or "")
        if found is None:
            return None
        macs = (_mac(key, subject, found[1]) for key in self._keys)
        return found[1] if any(hmac.compare_digest(mac, found[2]) for mac in macs) else None


def _mac(key: bytes, subject: str, device: str) -> str:
    return base64url.encode(hmac.digest(key, f"{device}\x00{subject}".encode(), "sha256"))
