"""Which guards stand before each route: read off FastAPI's own tree, so it cannot disagree with what is enforced."""

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from limen.core.policy import Policy
from limen.errors import ConfigurationError
from limen.http.guards import Guard


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
        found = list(_guards(dependant, ()))
        yield GuardedRoute(
            path=context.path_format or context.path,
            methods=tuple(sorted(context.methods or ("WEBSOCKET",))),
            guards=tuple(guard for guard, _ in found),
            policies=tuple(guard.with_scopes(list(scopes)) for guard, scopes in found),
        )


def _guards(dependant: Dependant, scopes: tuple[str, ...]) -> Iterator[tuple[Guard, tuple[str, ...]]]:
    for sub in dependant.dependencies:
        asked = (*scopes, *(sub.own_oauth_scopes or ()))
        call: object = sub.call
        if isinstance(call, Guard):
            yield call, tuple(dict.fromkeys(asked))
        yield from _guards(sub, asked)


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
