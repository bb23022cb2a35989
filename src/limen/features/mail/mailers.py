"""What takes messages to their readers: an SMTP server, the terminal while developing, or an app's own."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal, Protocol, cast
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from ssl import SSLContext

    from aiosmtplib import SMTPRecipientRefused

SMTP_SECONDS = 20.0
"""For each answer of a server."""

Tls = Literal["wrapped", "required", "if-offered", "never"]

_PORTS = {"smtp": 587, "smtps": 465}  # RFC 6409 §3.1, RFC 8314 §3.3
_START_TLS: Mapping[Tls, bool | None] = {"wrapped": False, "required": True, "if-offered": None, "never": False}
_LOOPBACK_NAMES = ("localhost", "localhost.localdomain")
_NO_SUCH_MAILBOX = (550, 551, 553)  # RFC 5321 §4.2.3, where no enhanced code says more


class Undeliverable(Exception):
    """Raised by a mailer: this message will never be taken, so do not try again; the reason is logged."""


class Mailer(Protocol):
    """Takes one message to its reader.

    Whatever it raises, the letter is tried again later, unless it is `Undeliverable`.
    """

    async def send(self, message: EmailMessage) -> None:
        """Return when somebody else is responsible for the message."""
        ...


class ConsoleMailer:
    """Prints messages on stderr: for development, where no SMTP server is."""

    async def send(self, message: EmailMessage) -> None:
        body = message.get_body(("plain",))
        text = "" if body is None else body.get_content()
        print(_PRINTED.format(to=message["To"], subject=message["Subject"], text=text), file=sys.stderr, flush=True)


_PRINTED = """\
----- mail (set LIMEN_SMTP_URL to send it) -----
To: {to}
Subject: {subject}

{text}-----"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """Where to and how.

    Attributes:
        tls: `wrapped` from the first byte on, or whether STARTTLS is `required`, used `if-offered` or `never`.
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Tls = "required"

    @classmethod
    def parse(cls, url: str) -> "SmtpServer":
        """The server of `smtp://user:password@host:port` or `smtps://…`.

        With `smtp://`, STARTTLS is required (RFC 8314 §3) unless the server is on loopback; `?starttls=never` is for a
        relay in a network of one's own and takes no password.

        Raises:
            ValueError: it is not such a URL, or would send a password in clear text; never quotes it.
        """
        parts = urlsplit(url)
        port = parts.port  # ValueError for one that is none
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.fragment:
            raise ValueError("not a URL such as smtp://user:password@mail.example.com:587")
        tls = _tls(parts)
        if tls == "never" and parts.password and not _is_loopback(parts.hostname):
            raise ValueError("starttls=never would send the password in clear text")
        return cls(
            host=parts.hostname,
            port=port or _PORTS[parts.scheme],
            username=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
            tls=tls,
        )


class SmtpMailer:
    """Sends by an SMTP server, one connection a message.

    Args:
        local_hostname: what it calls itself (EHLO); asking the system for a name may block.
        tls_context: instead of one that trusts the system's certificate authorities.
    """

    def __init__(self, server: SmtpServer, *, local_hostname: str, tls_context: "SSLContext | None" = None) -> None:
        self._server = server
        self._local_hostname = local_hostname
        self._tls_context = tls_context

    async def send(self, message: EmailMessage) -> None:
        """Hand the message to the server.

        Raises:
            Undeliverable: it knows no such mailbox.
        """
        # Imported here: an app whose mail is printed has no aiosmtplib.
        import aiosmtplib

        server = self._server
        try:
            await aiosmtplib.send(
                message,
                sender=message["From"].addresses[0].addr_spec,
                recipients=[each.addr_spec for each in message["To"].addresses],
                hostname=server.host,
                port=server.port,
                username=server.username,
                password=server.password,
                use_tls=server.tls == "wrapped",
                start_tls=_START_TLS[server.tls],
                tls_context=self._tls_context,
                local_hostname=self._local_hostname,
                timeout=SMTP_SECONDS,
            )
        except aiosmtplib.SMTPRecipientsRefused as refused:
            if all(map(_is_final, refused.recipients)):
                raise Undeliverable(f"the mailbox is refused with {refused.recipients[0].code}") from None
            raise


def _tls(parts: SplitResult) -> Tls:
    options = parse_qs(parts.query, keep_blank_values=True)
    asked = options.pop("starttls", ["if-offered" if _is_loopback(parts.hostname or "") else "required"])
    if options or len(asked) != 1 or asked[0] not in _START_TLS or asked[0] == "wrapped":
        raise ValueError("the only option is starttls=required, if-offered or never")
    return "wrapped" if parts.scheme == "smtps" else cast("Tls", asked[0])


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in _LOOPBACK_NAMES


def _is_final(refused: "SMTPRecipientRefused") -> bool:
    """RFC 3463 §3.2: 5.1.x is about the address; 5.7.x is policy, which an operator may yet set right."""
    message = refused.message
    has_enhanced = message[:2] in ("5.", "4.")
    return message.startswith("5.1.") if has_enhanced else refused.code in _NO_SUCH_MAILBOX
