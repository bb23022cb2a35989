"""What an issuer that lies, shouts or mumbles may say of a person; each is kept or refused, and never a 500."""

from collections.abc import Iterator
from typing import Any

SUBJECTS: list[Any] = ["", " ", "x" * 256, "a\x00b", "a\nb", "\ud800", "ünïcode", "😀" * 100, "' OR 1=1 --", 7, ["a"]]
ADDRESSES: list[Any] = [
    "a\x00@example.com",
    "a@example.com\r\nBcc: b@example.com",
    "\ud800@example.com",
    "аnn@example.com",  # noqa: RUF001 - a Cyrillic letter
    "a@" + "x" * 300 + ".com",
    "x" * 5000,
    "@",
    "a@identity.invalid",
    "<script>@example.com",
    '"a b"@example.com',
    "a@[127.0.0.1]",
    ["a@example.com"],
    {"a": "b"},
    7,
]


def lies() -> Iterator[dict[str, Any]]:
    """Claims, with a subject of its own for each odd address."""
    for number, subject in enumerate(SUBJECTS):
        yield {"sub": subject, "email": f"n{number}@example.com", "email_verified": True}
    for number, email in enumerate(ADDRESSES):
        for is_verified in (True, False):
            yield {"sub": f"{number} {is_verified}", "email": email, "email_verified": is_verified}
