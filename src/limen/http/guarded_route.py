"""The fast path: limen's own guards are checked at the route, outside the tree that FastAPI solves per request.

`install` makes this the app's route class; `APIRouter(route_class=auth.route_class)` does the same elsewhere. What
people write, what OpenAPI shows and what is enforced stay as they are: a guard in `Depends` or `Security`. A route of
an unusual shape, an app with `dependency_overrides`, and a FastAPI that has changed what this relies on take FastAPI's
own path.
"""

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, fields, replace
from functools import wraps
from typing import cast

from fastapi import routing
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute, RouteContext
from fastapi.security import SecurityScopes
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from limen.core.cause import begin, end
from limen.core.policy import Policy
from limen.core.rules import authenticated
from limen.http.cause import RequestCause
from limen.http.guards import CHECKED, Guard, decisions_are_logged
from limen.http.object_guard import ObjectGuard
from limen.http.routing import LimenRoute

Handler = Callable[[Request], Coroutine[object, object, Response]]
Call = Callable[..., object]

_CONNECTION = "limen_connection"
_SENDS_AT_ONCE = Response.__call__
_NEEDED = {"dependencies", "call", "name", "http_connection_param_name", "own_oauth_scopes", "parent_oauth_scopes"}


@dataclass(frozen=True, slots=True)
class _Declared:
    """A guard as one route declares it: with its scopes, the policy that they make, and the parameter it answers.

    Attributes:
        is_plain: whether its answer can be recalled, without a database and without awaiting the app's functions.
    """

    guard: Guard
    scopes: SecurityScopes
    policy: Policy
    name: str | None
    is_plain: bool


class GuardedRoute(APIRoute):
    """An ordinary route whose guards are checked before FastAPI reads anything of the request."""

    def get_route_handler(self) -> Handler:
        plain = cast("Handler", super().get_route_handler())
        route = _effective(self)
        whole = getattr(route, "dependant", None)
        declared = _declared_guards(whole) if isinstance(whole, Dependant) and _is_as_expected(whole) else ()
        if whole is None or not declared:
            return plain
        route.dependant = _without_guards(whole, declared)
        try:
            rest = cast("Handler", super().get_route_handler())
        finally:
            route.dependant = whole
        return _guarded(declared, rest, plain, route.dependency_overrides_provider)


def _guarded(declared: tuple[_Declared, ...], rest: Handler, plain: Handler, provider: object) -> Handler:
    known_and_allowed = _recall_of(declared)
    authenticator = declared[0].guard.authenticator
    watched, causes = authenticator.connections.watched, authenticator.causes

    async def ask(request: Request) -> Response:
        values = request.scope[CHECKED] = {}
        for each in declared:
            value: object = each.guard.recall(request.scope, each.policy) if each.is_plain else None
            if value is None:
                value = await each.guard(request, each.scopes)
            if each.name is not None:
                values[each.name] = value
        return await rest(request)

    async def handle(request: Request) -> Response:
        if getattr(provider, "dependency_overrides", None):
            return await plain(request)
        token = None if causes is None else begin(RequestCause(request.scope, causes))
        try:
            response = await (rest(request) if known_and_allowed(request.scope) else ask(request))
        finally:
            if token is not None:
                end(token)
        return response if type(response).__call__ is _SENDS_AT_ONCE else watched(response)

    return handle


def _recall_of(declared: tuple[_Declared, ...]) -> Callable[[Scope], bool]:
    """Whether a request is known already and every guard plainly allows it; then their answers are in its scope.

    False decides nothing.
    """
    authenticator, clock = declared[0].guard.authenticator, declared[0].guard.clock
    if not all(each.is_plain and each.guard.authenticator is authenticator for each in declared):
        return lambda _: False
    policies = tuple(each.policy for each in declared if each.policy != authenticated())
    names = tuple(each.name for each in declared if each.name is not None)
    time = clock.time

    def known_and_allowed(scope: Scope) -> bool:
        principal = authenticator.recall(scope)
        if principal is None or decisions_are_logged():
            return False
        for policy in policies:
            if policy.decide(principal, time()) is not None:
                return False
        if names:
            scope[CHECKED] = dict.fromkeys(names, principal)
        return True

    return known_and_allowed


def _without_guards(whole: Dependant, declared: tuple[_Declared, ...]) -> Dependant:
    """The tree that is left to FastAPI, with an endpoint that takes the guards' answers from the request."""
    left = [sub for sub in whole.dependencies if not isinstance(sub.call, Guard)]
    if all(each.name is None for each in declared):
        return replace(whole, dependencies=left)
    call = cast("Call", whole.call)
    return replace(whole, dependencies=left, call=_with_answers(call), http_connection_param_name=_CONNECTION)


def _with_answers(call: Call) -> Call:
    @wraps(call)  # by which FastAPI sees whether it is awaited or runs in a thread
    def answered(*, limen_connection: Request, **values: object) -> object:
        return call(**values, **limen_connection.scope[CHECKED])

    return answered


def _declared_guards(dependant: Dependant) -> tuple[_Declared, ...]:
    """Those that stand at the route, and those that stand there before an object is loaded."""
    found = list(_guards_among(dependant.dependencies))
    objects = (sub for sub in dependant.dependencies if isinstance(sub.call, ObjectGuard))
    first = (each for sub in objects for each in _guards_among(sub.dependencies))
    return (*found, *(replace(each, name=None) for each in first))


def _guards_among(dependencies: list[Dependant]) -> Iterator[_Declared]:
    return (_declared(sub.call, sub) for sub in dependencies if isinstance(sub.call, Guard))


def _declared(guard: Guard, sub: Dependant) -> _Declared:
    scopes = _scopes(sub)
    policy = guard.with_scopes(scopes)
    is_plain = not guard.loads and not policy.is_async
    return _Declared(guard, SecurityScopes(scopes), policy, sub.name, is_plain)


def _scopes(dependant: Dependant) -> list[str]:
    asked = [*(dependant.parent_oauth_scopes or ()), *(dependant.own_oauth_scopes or ())]
    return list(dict.fromkeys(asked))


def _is_as_expected(dependant: Dependant) -> bool:
    """Whether FastAPI still keeps what this module takes apart, and the endpoint leaves room for it."""
    if not {field.name for field in fields(Dependant)} >= _NEEDED:
        return False
    call = dependant.call
    is_function = callable(call) and hasattr(call, "__code__") and not call.__code__.co_flags & _GENERATOR_FLAGS
    return is_function and dependant.http_connection_param_name is None


_GENERATOR_FLAGS = 0x20 | 0x200


def is_checked_at_the_route(context: RouteContext) -> bool:
    """Whether nothing is left to FastAPI that could let somebody in: there is no guard, or one is checked here."""
    dependant = getattr(context, "dependant", None)
    if not isinstance(dependant, Dependant) or not _has_guard(dependant):
        return not hasattr(context.original_route, "routes")  # what is mounted is not looked into
    if isinstance(context.original_route, APIWebSocketRoute | LimenRoute):
        return True  # the one is always watched, the other's answers never stay open
    is_ours = isinstance(context.original_route, GuardedRoute) and _is_as_expected(dependant)
    return is_ours and bool(_declared_guards(dependant))


def _has_guard(dependant: Dependant) -> bool:
    return any(isinstance(sub.call, Guard) or _has_guard(sub) for sub in dependant.dependencies)


def _effective(route: APIRoute) -> APIRoute:
    """The route that the handler is built for: itself, or its view in the router that includes it."""
    variable = getattr(routing, "_effective_route_context_var", None)
    context = variable.get() if variable is not None else None
    return context if context is not None and getattr(context, "original_route", None) is route else route
