"""A real SMTP server (aiosmtpd) on loopback that keeps what it takes, in a thread of its own."""

import asyncio
import ssl
import time
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from tests.servers.ports import free_port


class SmtpServer:
    """An SMTP server for as long as the `with` block lasts; `stop` and `start` make it go away and come back.

    Args:
        login: user and password that it insists on.
        tls: offers STARTTLS, and insists on it.
        port: the one that it had before.

    Attributes:
        envelopes: what it took, in order.
        answers: what it says to recipients, instead of taking them.
        slowness: seconds that it lets clients wait after the data.
    """

    def __init__(
        self, *, login: tuple[str, str] | None = None, tls: ssl.SSLContext | None = None, port: int | None = None
    ) -> None:
        self.port = port or free_port()
        self.envelopes: list[Envelope] = []
        self.answers: dict[str, str] = {}
        self.slowness = 0.0
        self.asked = 0
        self._login = login
        self._tls = tls
        self._controller: Controller | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        credentials = "" if self._login is None else f"{self._login[0]}:{self._login[1]}@"
        return f"smtp://{credentials}127.0.0.1:{self.port}"

    @property
    def messages(self) -> list[EmailMessage]:
        """What it took, read."""
        return [read(each) for each in self.envelopes]

    def start(self) -> None:
        options: dict[str, Any] = {}
        if self._login is not None:
            options |= {"authenticator": self._authenticate, "auth_require_tls": self._tls is not None}
            options |= {"auth_required": True} if self._tls is not None else {}
        if self._tls is not None:
            options |= {"tls_context": self._tls, "require_starttls": True}
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **options)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def wait_for(self, number: int, *, seconds: float = 20) -> list[EmailMessage]:
        """The messages, once it has so many."""
        deadline = time.monotonic() + seconds
        while len(self.envelopes) < number and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(self.envelopes) == number, f"{len(self.envelopes)} came"
        return self.messages

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's names
        self, server: Any, session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        self.asked += 1
        refusal = self.answers.get(address)
        if refusal is not None:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.slowness:
            await asyncio.sleep(self.slowness)
        self.envelopes.append(envelope)
        return "250 taken"

    def _authenticate(self, server: Any, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        is_right = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == self._login
        return AuthResult(success=is_right, handled=is_right)


def read(envelope: Envelope) -> EmailMessage:
    """The message in an envelope, as a mail program reads it."""
    content = envelope.content
    assert isinstance(content, bytes)
    found = message_from_bytes(content, policy=policy.default)
    assert isinstance(found, EmailMessage)
    assert not found.defects
    return found
