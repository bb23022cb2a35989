"""The fast path: limen's own guards are checked at the route, outside the tree that FastAPI solves per request.

`install` makes this the app's route class; `APIRouter(route_class=auth.route_class)` does the same elsewhere. What
people write, what OpenAPI shows and what is enforced stay as they are: a guard in `Depends` or `Security`. A route of
an unusual shape, an app with `dependency_overrides`, and a FastAPI that has changed what this relies on take FastAPI's
own path.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, fields, replace
from functools import wraps
from inspect import iscoroutinefunction
from typing import cast

from fastapi import routing
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from starlette.requests import Request
from starlette.responses import Response

from limen.core.policy import Policy
from limen.http.guards import Guard

Handler = Callable[[Request], Coroutine[object, object, Response]]
Call = Callable[..., object]

_CONNECTION = "limen_connection"
_VALUES = "limen.values"
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
    async def handle(request: Request) -> Response:
        if getattr(provider, "dependency_overrides", None):
            return await plain(request)
        values = request.scope[_VALUES] = {}
        for each in declared:
            value: object = each.guard.recall(request, each.policy) if each.is_plain else None
            if value is None:
                value = await each.guard(request, each.scopes)
            if each.name is not None:
                values[each.name] = value
        return await rest(request)

    return handle


def _without_guards(whole: Dependant, declared: tuple[_Declared, ...]) -> Dependant:
    """The tree that is left to FastAPI, with an endpoint that takes the guards' answers from the request."""
    left = [sub for sub in whole.dependencies if not isinstance(sub.call, Guard)]
    if all(each.name is None for each in declared):
        return replace(whole, dependencies=left)
    call = cast("Call", whole.call)
    return replace(whole, dependencies=left, call=_with_answers(call), http_connection_param_name=_CONNECTION)


def _with_answers(call: Call) -> Call:
    if iscoroutinefunction(call):

        @wraps(call)
        async def answered(*, limen_connection: Request, **values: object) -> object:
            return await call(**values, **limen_connection.scope[_VALUES])

        return answered

    @wraps(call)
    def answered_in_thread(*, limen_connection: Request, **values: object) -> object:
        return call(**values, **limen_connection.scope[_VALUES])

    return answered_in_thread


def _declared_guards(dependant: Dependant) -> tuple[_Declared, ...]:
    return tuple(_declared(sub.call, sub) for sub in dependant.dependencies if isinstance(sub.call, Guard))


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


def _effective(route: APIRoute) -> APIRoute:
    """The route that the handler is built for: itself, or its view in the router that includes it."""
    variable = getattr(routing, "_effective_route_context_var", None)
    context = variable.get() if variable is not None else None
    return context if context is not None and getattr(context, "original_route", None) is route else route
