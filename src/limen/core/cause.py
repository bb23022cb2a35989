"""Who does what is done now, and from where: set where a request or a command begins, read where something happens.

No service has to pass it on, so none can forget to: an event takes its actor from here when it is made.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from limen.core.client import NOWHERE, Client
from limen.core.principal import Principal
from limen.errors import AuthError


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts. Whom an act concerns is another matter: the `subject` of its event.

    Attributes:
        kind: `user` for whoever a verified credential proves, person or service; `anonymous` for a request that proves
            nobody; `operator` at the command line; `app` for code outside both.
        subject: the user's id as text, or the operator's name on their machine.
        credential: how it was proved: `access_token`, `session_cookie`, `api_key`.
        credential_id: which one: the id of an API key, the `jti` of a token.
        session_id: the sign-in behind it.
        client_id: the OAuth client that acts for the subject, if one does.
        issuer: who vouches for the subject, where that is another one than this app.
    """

    kind: str
    subject: str | None = None
    credential: str | None = None
    credential_id: str | None = None
    session_id: str | None = None
    client_id: str | None = None
    issuer: str | None = None

    @classmethod
    def of(cls, principal: Principal, *, own_issuer: str) -> "Actor":
        """Whoever a verified credential proves."""
        return cls(
            kind="user",
            subject=principal.subject,
            credential=principal.credential,
            credential_id=principal.credential_id,
            session_id=principal.session_id,
            client_id=principal.client_id,
            issuer=None if principal.issuer == own_issuer else principal.issuer,
        )


APP = Actor(kind="app")
ANONYMOUS = Actor(kind="anonymous")


class Cause(Protocol):
    """What is behind whatever happens now."""

    @property
    def actor(self) -> Actor: ...

    @property
    def client(self) -> Client: ...

    def refuse(self, error: AuthError) -> None:
        """Hear that it was refused something."""
        ...

    def tell(self) -> None:
        """Hear that an event has said of the refusal what there is to say."""
        ...


class Operator:
    """Somebody at the command line."""

    def __init__(self, name: str | None) -> None:
        self.actor = Actor(kind="operator", subject=name)
        self.client = NOWHERE

    def refuse(self, error: AuthError) -> None:
        """The terminal says so."""

    def tell(self) -> None:
        """The same."""


_cause: ContextVar[Cause | None] = ContextVar("limen_cause", default=None)


begin = _cause.set
"""From now on, whatever happens is this cause's doing; the token that it answers with ends that."""

end = _cause.reset


@contextmanager
def caused_by(cause: Cause) -> Iterator[None]:
    """Whatever happens in the block, and in tasks that begin in it, is this cause's doing."""
    token = begin(cause)
    try:
        yield
    finally:
        end(token)


def acting() -> Actor:
    """Who acts now."""
    cause = _cause.get()
    return APP if cause is None else cause.actor


def acting_from() -> Client:
    """From where whoever acts now does so."""
    cause = _cause.get()
    return NOWHERE if cause is None else cause.client


def tell_refusal(error: AuthError) -> None:
    """Let the cause hear that it was refused something."""
    cause = _cause.get()
    if cause is not None:
        cause.refuse(error)


def refusal_is_told() -> None:
    """An event told already why the cause is refused: one record of it is enough."""
    cause = _cause.get()
    if cause is not None:
        cause.tell()
