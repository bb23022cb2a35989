"""The message that a letter becomes (RFC 5322): strict about whatever comes into a header."""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from email import policy
from email.errors import HeaderParseError, MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from uuid import UUID

from limen.core.identity import canonical_email
from limen.features.mail.wording import UNSPEAKABLE, UnusableLetter, Words

MAX_LINE = 998  # RFC 5322 §2.1.1
NOBODY = "nobody@nowhere.invalid"
"""To whom a letter is addressed that does all the work of one and reaches nobody (`.invalid`, RFC 2606 §2)."""

_SPEC = r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?"
_SENDER = re.compile(rf'(?:"?(?P<name>[^"<>@,;\\]*?)"?\s*<(?P<named>{_SPEC})>|(?P<plain>{_SPEC}))')
_POLICY = policy.SMTP + policy.strict


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """A letter in words, and to whom it goes."""

    to: str = field(repr=False)
    words: Words

    def pack(self) -> bytes:
        """The same as bytes, to be sealed."""
        words = self.words
        return json.dumps([self.to, words.subject, words.text, words.html]).encode()

    @classmethod
    def unpack(cls, packed: bytes) -> "Addressed":
        """What was packed."""
        to, subject, text, html = json.loads(packed)
        return cls(to=to, words=Words(subject=subject, text=text, html=html))


def compose(letter: Addressed, *, sender: Address, template: str, letter_id: UUID, posted_at: datetime) -> EmailMessage:
    """The whole message.

    Its Message-ID is the letter's, so that one that is sent twice can be told; RFC 3834 §5 tells robots not to answer.

    Raises:
        UnusableLetter: the address or the subject cannot stand in a header.
    """
    message, words = EmailMessage(policy=_POLICY), letter.words
    try:
        message["From"] = sender
        message["To"] = address(letter.to)
        message["Subject"] = words.subject
    except (ValueError, MessageError) as error:
        raise UnusableLetter(f"A header of the letter {template} is refused: {type(error).__name__}") from None
    message["Date"] = posted_at
    message["Message-ID"] = f"<{letter_id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Limen-Letter"] = template
    message.set_content(words.text, cte=_encoding(words.text))
    if words.html is not None:
        message.add_alternative(words.html, subtype="html", cte=_encoding(words.html))
    return message


def address(typed: str) -> Address:
    """A stored address as mail servers take it: what was typed before the `@`, the domain as IDNA.

    Raises:
        UnusableLetter: it is no address.
    """
    if typed == NOBODY:  # which is an address for us alone
        return Address(addr_spec=NOBODY)
    canonical = canonical_email(typed)
    if canonical is None or UNSPEAKABLE.search(typed):
        raise UnusableLetter("The address of a letter is not one")
    return Address(username=typed.rpartition("@")[0], domain=canonical.rpartition("@")[2])


def sender_address(text: str) -> Address:
    """The address in `Example <no-reply@example.com>` or without the name; `localhost` and the like are good here.

    Raises:
        ValueError: it is not one address.
    """
    found = None if UNSPEAKABLE.search(text) else _SENDER.fullmatch(text.strip())
    if found is None:
        raise ValueError("not an address such as Example <no-reply@example.com>")
    try:
        return Address(display_name=found["name"] or "", addr_spec=found["named"] or found["plain"])
    except (HeaderParseError, IndexError):
        raise ValueError("not an address such as Example <no-reply@example.com>") from None


def _encoding(body: str) -> str:
    """As it is, where every server takes it so: links stay in one piece and logs of a test server readable."""
    is_plain = body.isascii() and all(len(line) <= MAX_LINE for line in body.splitlines())
    return "7bit" if is_plain else "quoted-printable"
