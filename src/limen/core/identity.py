"""The one canonical form of what people call themselves.

What a person typed is stored for mail and display; the canonical form beside it decides who is who. Anything that two
eyes could read as one name and a database as two is refused before it is normalised.
"""

import re
from dataclasses import dataclass

from limen.errors import Unprocessable

MAX_EMAIL_CHARACTERS = 254
MAX_IDENTIFIER_CHARACTERS = 320
NO_ADDRESS = "@"
"""A canonical address that no account has, so that what cannot be an address costs the same look-up."""

_USERNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Identity:
    """A name as typed, and the form that decides who it is."""

    typed: str
    canonical: str


def email_identity(typed: str, *, field: str = "email") -> Identity:
    """An e-mail address: local part ASCII and lower-case, domain as IDNA (RFC 5321 §2.4, RFC 5891).

    Args:
        field: of the body that it came in, for the refusal.

    Raises:
        Unprocessable: it is not a deliverable form.
    """
    canonical = canonical_email(typed)
    if canonical is None:
        raise _refused(field, "This is not an e-mail address.", "email")
    return Identity(typed, canonical)


def canonical_email(typed: str) -> str | None:
    """The canonical form of an e-mail address, or None when it is none.

    Special-use domains (`.local`, `.test`) pass: intranets have them, and no mail is owed to them.
    """
    if not 3 <= len(typed) <= MAX_EMAIL_CHARACTERS or not typed.partition("@")[0].isascii():
        return None
    from email_validator import EmailNotValidError, validate_email  # 60 ms that a token check never needs

    try:
        parts = validate_email(
            typed, check_deliverability=False, allow_smtputf8=False, globally_deliverable=False, strict=True
        )
    except EmailNotValidError:
        return None
    return f"{parts.local_part.lower()}@{(parts.ascii_domain or parts.domain).lower()}"


def username_identity(typed: str) -> Identity:
    """A username: 1 to 64 ASCII letters, digits, dots, dashes, underscores; no `@`, so it is never an e-mail address.

    Raises:
        Unprocessable: it is not of that form.
    """
    if _USERNAME.fullmatch(typed) is None:
        raise _refused("username", "Use 1 to 64 letters, digits, dots, dashes and underscores.", "username")
    return Identity(typed, typed.lower())


def canonical_identifier(typed: str) -> str | None:
    """The canonical form of the e-mail address or username that someone signs in with, or None when it is neither."""
    if len(typed) > MAX_IDENTIFIER_CHARACTERS:
        return None
    typed = typed.strip()
    if "@" in typed:
        return canonical_email(typed)
    return typed.lower() if _USERNAME.fullmatch(typed) else None


def _refused(field: str, sentence: str, kind: str) -> Unprocessable:
    return Unprocessable(f"{field} refused", errors=[{"loc": ["body", field], "msg": sentence, "type": kind}])
