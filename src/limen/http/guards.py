"""The dependencies that an app declares: who may come in, and what the endpoint gets.

A guard is one callable with one dependency node. It keeps its policy where the route map and OpenAPI find it.
"""

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import lru_cache, partial
from typing import Generic, TypeVar

from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection
from starlette.types import Scope

from limen.core.cause import begin, end
from limen.core.clock import Clock
from limen.core.policy import Policy, permission
from limen.core.principal import Principal
from limen.core.rules import authenticated
from limen.errors import InvalidCredential, NotAuthenticated
from limen.http.authenticate import Authenticator
from limen.http.cause import RequestCause, RequestCauses

CHECKED = "limen.values"
"""Where a request keeps the answers of guards that are checked at its route; there, nothing else need be watched."""

_decisions = logging.getLogger("limen.decisions")

U = TypeVar("U")


decisions_are_logged = partial(_decisions.isEnabledFor, logging.DEBUG)
"""Whether somebody wants to read every decision, so that none may be taken in passing."""

LoadUser = Callable[[Principal], Awaitable[U | None]]


class Guard(ABC):
    """Lets in whom its policy allows.

    Attributes:
        policy: what it asks for.
        is_optional: whether a request that presents nothing comes in too.
        loads: whether its answer is read from the database.
        clock: by which policies decide.
    """

    is_optional = False
    loads = False

    def __init__(self, authenticator: Authenticator, clock: Clock, policy: Policy) -> None:
        self.authenticator = authenticator
        self.policy = policy
        self.clock = clock

    @abstractmethod
    async def __call__(self, connection: HTTPConnection, scopes: SecurityScopes) -> object:
        """What FastAPI calls; each kind of guard answers with what its endpoint wants."""

    async def admit(self, connection: HTTPConnection, scopes: SecurityScopes) -> Principal:
        """The principal, if the policy and the scopes of `Security(..., scopes=[…])` allow it.

        Raises:
            NotAuthenticated: nothing was presented.
            InvalidCredential: something bad was.
            Forbidden: the policy refused.
        """
        policy = self.with_scopes(scopes.scopes)
        self._have_it_watched(connection.scope)
        known = None if policy.is_async else self.recall(connection.scope, policy)
        return known or await self._decide(connection, policy)

    async def _decide(self, connection: HTTPConnection, policy: Policy) -> Principal:
        principal = await self.authenticator.authenticate(connection)
        if principal is None:
            raise NotAuthenticated
        now = self.clock.time()
        if policy.is_async:
            policy = await policy.resolve(principal, now=now)
        if decisions_are_logged():
            _log_decision(connection, policy, principal, now)
        policy.check(principal, now=now)
        return principal

    def _have_it_watched(self, scope: Scope) -> None:
        """FastAPI solves this guard, so no route watches what stays open: the app does, for all of its requests."""
        authenticator = self.authenticator
        if CHECKED not in scope and authenticator.memo not in scope:
            _name_cause(scope, authenticator.causes)
            authenticator.connections.watches_http |= scope["type"] == "http"

    def recall(self, scope: Scope, policy: Policy) -> Principal | None:
        """The principal, if it is known already and `policy` (this guard's, with scopes) plainly allows it.

        None decides nothing: calling the guard does.

        Args:
            policy: one without asynchronous functions.
        """
        if decisions_are_logged():
            return None
        principal = self.authenticator.recall(scope)
        if principal is None or policy.decide(principal, self.clock.time()) is not None:
            return None
        return principal

    def with_scopes(self, scopes: list[str]) -> Policy:
        """This guard's policy and the scopes that FastAPI's `Security` adds."""
        return _also(self.policy, tuple(scopes)) if scopes else self.policy


class PrincipalGuard(Guard):
    """The endpoint gets the `Principal`; no database is asked."""

    async def __call__(self, connection: HTTPConnection, scopes: SecurityScopes) -> Principal:
        return await self.admit(connection, scopes)


class _LoadingGuard(Guard, Generic[U]):
    loads = True

    def __init__(self, authenticator: Authenticator, clock: Clock, load: LoadUser[U]) -> None:
        super().__init__(authenticator, clock, authenticated())
        self._load = load

    async def load(self, principal: Principal) -> U:
        """The principal's row.

        Raises:
            InvalidCredential: there is none any more, or it is disabled.
        """
        user = await self._load(principal)
        if user is None:
            raise InvalidCredential("the user of this credential is gone or disabled", subject=principal.subject)
        return user


class UserGuard(_LoadingGuard[U]):
    """The endpoint gets the user row."""

    async def __call__(self, connection: HTTPConnection, scopes: SecurityScopes) -> U:
        return await self.load(await self.admit(connection, scopes))


class OptionalUserGuard(_LoadingGuard[U]):
    """The endpoint gets the user row, or None for a request that presents nothing; a bad credential is refused."""

    is_optional = True

    async def __call__(self, connection: HTTPConnection, scopes: SecurityScopes) -> U | None:
        self._have_it_watched(connection.scope)
        principal = await self.authenticator.authenticate(connection)
        return None if principal is None else await self.load(await self.admit(connection, scopes))


def _name_cause(scope: Scope, causes: RequestCauses | None) -> None:
    """Whatever happens until FastAPI has closed what it opened for this request is its sender's doing."""
    stack = scope.get("fastapi_inner_astack")
    if causes is not None and isinstance(stack, AsyncExitStack):
        stack.callback(end, begin(RequestCause(scope, causes)))


def _log_decision(connection: HTTPConnection, policy: Policy, principal: Principal, now: float) -> None:
    """Each decision with its reasons, one line of JSON, for the logger `limen.decisions` at DEBUG."""
    whole, *parts = policy.explain(principal, now=now)
    described = {
        "allowed": whole.allowed,
        "method": connection.scope.get("method", "WEBSOCKET"),
        "path": connection.scope["path"][:500],
        "subject": principal.subject,
        "credential": principal.credential,
        "policy": whole.rule,
        "steps": [[step.depth, step.rule, step.allowed] for step in parts],
    }
    _decisions.debug("%s", json.dumps(described))


@lru_cache(maxsize=1024)
def _also(policy: Policy, scopes: tuple[str, ...]) -> Policy:
    for scope in scopes:
        policy = policy & permission(scope)
    return policy
