"""What was posted, read as its readers get it."""

import re
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import parse_qs, urlsplit

from limen.auth import Auth
from limen.db.users import UserMixin
from limen.features.mail import Mail

_LINK = re.compile(r"https?://\S+")
_CODE = re.compile(r"^\d{6}$", re.MULTILINE)
_SIGNATURE = "\n-- \n"


@dataclass(frozen=True, slots=True)
class ReceivedLetter:
    """A letter, and what its reader takes out of it."""

    message: EmailMessage = field(repr=False)

    @property
    def to(self) -> str:
        """The address that it came to."""
        return str(self.message["To"])

    @property
    def template(self) -> str:
        """Which letter it is: `verify_email`."""
        return str(self.message["X-Limen-Letter"])

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        """The plain text."""
        return self._body("plain")

    @property
    def html(self) -> str:
        """The HTML; empty if it has none."""
        return self._body("html")

    @property
    def link(self) -> str:
        """The link that it wants to have opened.

        Raises:
            LookupError: it has none.
        """
        return _found(_LINK, self.text.partition(_SIGNATURE)[0], "link")

    @property
    def token(self) -> str:
        """The token in the fragment of its link.

        Raises:
            LookupError: it has none.
        """
        tokens = parse_qs(urlsplit(self.link).fragment).get("token")
        if not tokens:
            raise LookupError("the link of the letter carries no token")
        return tokens[0]

    @property
    def code(self) -> str:
        """The six digits to be typed.

        Raises:
            LookupError: it has none.
        """
        return _found(_CODE, self.text, "code")

    def _body(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        return "" if part is None else str(part.get_content())


class Outbox:
    """Collects an app's letters instead of sending them; they went the whole way through its outbox."""

    def __init__(self, mail: Mail) -> None:
        self._mail = mail
        self._received: list[ReceivedLetter] = []

    async def send(self, message: EmailMessage) -> None:
        """Take one; it is the app's mailer."""
        self._received.append(ReceivedLetter(message))

    async def letters(self, *, to: str | None = None, template: str | None = None) -> list[ReceivedLetter]:
        """Whatever was posted up to now, to this address and of this kind if they are named, in order."""
        await self._mail.deliver()
        return [each for each in self._received if to in (None, each.to) and template in (None, each.template)]

    async def latest(self, *, to: str | None = None, template: str | None = None) -> ReceivedLetter:
        """The last of them.

        Raises:
            LookupError: nothing such was posted.
        """
        found = await self.letters(to=to, template=template)
        if not found:
            posted = ", ".join(f"{each.template} to {each.to}" for each in self._received) or "nothing"
            raise LookupError(f"no such letter was posted; what was: {posted}")
        return found[-1]


def outbox(auth: Auth[UserMixin]) -> Outbox:
    """Collect this app's letters from now on; none leaves.

    Raises:
        LookupError: it has no feature `Mail`.
    """
    mail = auth[Mail]
    collecting = Outbox(mail)
    mail.delivery.mailer = collecting
    return collecting


def _found(pattern: re.Pattern[str], text: str, what: str) -> str:
    found = pattern.search(text)
    if found is None:
        raise LookupError(f"the letter has no {what}")
    return found[0]
