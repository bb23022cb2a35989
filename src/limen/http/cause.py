"""A request as the cause of what happens while it is answered."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.requests import HTTPConnection
from starlette.types import Scope

from limen.core.cause import ANONYMOUS, Actor, caused_by
from limen.core.client import Client
from limen.core.clock import Clock
from limen.core.principal import Principal
from limen.errors import (
    AuthError,
    Forbidden,
    IncorrectLogin,
    InvalidClient,
    InvalidCredential,
    InvalidGrant,
    InvalidToken,
    LastAdmin,
    StepPending,
    StepUpRequired,
    TooManyRequests,
    UnauthorizedClient,
)
from limen.events import Events, RequestRefused

OF_NOTE = (
    InvalidCredential,
    InvalidGrant,
    InvalidToken,
    InvalidClient,
    UnauthorizedClient,
    IncorrectLogin,
    StepUpRequired,
    Forbidden,
    LastAdmin,
    TooManyRequests,
)
"""Refusals that say something about whoever asked; a form that is filled in badly, or nothing presented, does not."""

ROUTINE = (StepPending,)
MAX_TARGET = 64

ClientOf = Callable[[HTTPConnection], Client]


class RequestCauses:
    """Knows how to read who is behind a request of one `Auth`'s.

    Args:
        memo: where a request keeps whom it proved.
        client_of: from where it came.
    """

    def __init__(self, *, memo: str, client_of: ClientOf, issuer: str, clock: Clock, events: Events) -> None:
        self.memo = memo
        self.client_of = client_of
        self.issuer = issuer
        self.clock = clock
        self.events = events


class RequestCause:
    """One request; nothing of it is read before something happens."""

    __slots__ = ("_causes", "_is_told", "_scope")

    def __init__(self, scope: Scope, causes: RequestCauses) -> None:
        self._scope = scope
        self._causes = causes
        self._is_told = False

    @property
    def actor(self) -> Actor:
        """Whom the request proved so far."""
        principal = self._scope.get(self._causes.memo)
        if not isinstance(principal, Principal):
            return ANONYMOUS
        return Actor.of(principal, own_issuer=self._causes.issuer)

    @property
    def client(self) -> Client:
        """From where it came."""
        return self._causes.client_of(HTTPConnection(self._scope))

    def refuse(self, error: AuthError) -> None:
        """Note a refusal, without waiting for anything."""
        if self._is_told or not isinstance(error, OF_NOTE) or isinstance(error, ROUTINE):
            return
        causes, actor = self._causes, self.actor
        named = error.context.get("subject") or actor.subject
        causes.events.note(
            RequestRefused(
                at=causes.clock.now(),
                subject=None if named is None else str(named),
                client=self.client,
                actor=actor,
                code=error.code,
                reason=error.reason,
                needed=str(error.data.get("scope", "")),
                route=self._route(),
                target=str(self._scope.get("path_params", {}).get("user_id", ""))[:MAX_TARGET],
            )
        )

    def tell(self) -> None:
        """An event told already why it is refused."""
        self._is_told = True

    def _route(self) -> str:
        """The method and the path as it was declared: what stands in its place in a URL is anybody's text."""
        template = getattr(self._scope.get("route"), "path", "")
        return f"{self._scope.get('method', 'WEBSOCKET')} {template}".strip()


CAUSES = "limen.causes"
"""Where a request to a route of limen's own finds how to read who is behind it."""


@contextmanager
def caused_by_request(scope: Scope, causes: RequestCauses | None) -> Iterator[None]:
    """Whatever happens in the block is the doing of whoever sent this request."""
    if causes is None:
        yield
        return
    with caused_by(RequestCause(scope, causes)):
        yield
