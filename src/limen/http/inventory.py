"""Which guards stand before each route: read off FastAPI's own tree, so it cannot disagree with what is enforced."""

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from limen.core.policy import Policy
from limen.errors import ConfigurationError
from limen.http.guards import Guard
from limen.http.object_guard import ObjectGuard


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedRoute:
    """A route and what it asks for.

    Attributes:
        path: as in OpenAPI.
        methods: sorted HTTP methods, or `("WEBSOCKET",)`.
        guards: those before it, from the app, its routers and itself; none means public.
        policies: what each guard asks, with the scopes of `Security`.
    """

    path: str
    methods: tuple[str, ...]
    guards: tuple[Guard, ...]
    policies: tuple[Policy, ...]

    @property
    def is_public(self) -> bool:
        """Whether a request that presents nothing comes in."""
        return all(guard.is_optional for guard in self.guards)


def inventory(app: FastAPI) -> tuple[GuardedRoute, ...]:
    """Every HTTP and WebSocket route of the app that FastAPI solves dependencies for."""
    return tuple(_routes(app))


def _routes(app: FastAPI) -> Iterator[GuardedRoute]:
    for context in iter_route_contexts(app.routes):
        dependant = getattr(context, "dependant", None)
        if not isinstance(dependant, Dependant) or context.path is None:
            continue
        found = tuple(guards_of(dependant))
        yield GuardedRoute(
            path=context.path_format or context.path,
            methods=tuple(sorted(context.methods or ("WEBSOCKET",))),
            guards=tuple(guard for guard, _ in found),
            policies=tuple(policy for _, policy in found),
        )


def guards_of(dependant: Dependant) -> Iterator[tuple[Guard, Policy]]:
    """The guards before an endpoint, each with what it asks there: its policy and the scopes of `Security`."""
    for call, _, scopes in _dependencies(dependant, ()):
        if isinstance(call, Guard):
            yield call, call.with_scopes(list(scopes))


def object_guards_of(dependant: Dependant) -> Iterator[tuple[ObjectGuard, Dependant]]:
    """The guards over objects before an endpoint, each with its place in FastAPI's tree."""
    for call, sub, _ in _dependencies(dependant, ()):
        if isinstance(call, ObjectGuard):
            yield call, sub


def _dependencies(dependant: Dependant, scopes: tuple[str, ...]) -> Iterator[tuple[object, Dependant, tuple[str, ...]]]:
    for sub in dependant.dependencies:
        asked = tuple(dict.fromkeys((*scopes, *(sub.own_oauth_scopes or ()))))
        yield sub.call, sub, asked
        yield from _dependencies(sub, asked)


def check_unique(app: FastAPI) -> None:
    """Refuse two routes of one method and path: which of them answers would be chance.

    Raises:
        ConfigurationError: there are; the message names them.
    """
    seen: set[tuple[str, str]] = set()
    for context in iter_route_contexts(app.routes):
        for method in context.methods or ():
            key = (method, context.path_format or context.path or "")
            if key in seen and method != "HEAD":
                raise ConfigurationError(
                    f"Two routes answer {method} {key[1]}: rename one, or give Auth another prefix"
                )
            seen.add(key)
