"""The route map: every route of an app, and who comes in. Read off the routes themselves, mounted apps included."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import BaseRoute, Host, Mount

from limen.core.policy import Policy
from limen.errors import ConfigurationError
from limen.http.guards import Guard
from limen.http.inventory import guards_of, object_guards_of
from limen.http.object_guard import ObjectGuard
from limen.http.public import is_public
from limen.http.scheme import Scheme

Access = Literal["guarded", "public", "unguarded"]
EVERY_METHOD = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedRoute:
    """A route and who comes in.

    Attributes:
        path: whole, prefixes of mounts included.
        methods: sorted HTTP methods, `("WEBSOCKET",)`, or `("*",)` where the app behind decides.
        access: guarded; public on purpose; or unguarded: neither, and so open to everyone.
        because: for public routes, who says so: `marked`, `limen` or `docs`.
        guards: what each guard asks, as text.
        scopes: the permissions among it.
        roles: the roles among it.
        schemes: by which credentials one comes in.
        declared: what stands behind this line.
    """

    path: str
    methods: tuple[str, ...]
    access: Access
    because: str | None = None
    guards: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    declared: "Declared | None" = field(default=None, compare=False, repr=False)

    def described(self) -> dict[str, object]:
        """The same as JSON knows it."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "declared"}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def __str__(self) -> str:
        return f"{','.join(self.methods)} {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What stands behind a line of the map."""

    route: RouteContext
    guards: tuple[tuple[Guard, Policy], ...]
    object_guards: tuple[tuple[ObjectGuard, Dependant], ...]


def route_map(app: FastAPI, schemes: Sequence[Scheme] = (), *, own: Iterable[object] = ()) -> tuple[MappedRoute, ...]:
    """Every HTTP and WebSocket route of the app, in the order in which they are tried.

    Args:
        schemes: what the guards accept.
        own: endpoints of limen's, which decide for themselves.
    """
    names = tuple(scheme.name for scheme in schemes)
    found = _walk(app.routes, "", names, frozenset(map(id, own)), is_open=False)
    return (*found, *_frontends(app, "", names, is_open=False))


def check_all_decided(routes: Iterable[MappedRoute]) -> None:
    """Refuse an app with a route that is neither guarded nor public on purpose.

    Raises:
        ConfigurationError: there is one; the message names them.
    """
    open_ones = [str(route) for route in routes if route.access == "unguarded"]
    if open_ones:
        raise ConfigurationError(
            f"Neither guarded nor marked @auth.public: {'; '.join(open_ones)}. "
            "Add Depends(auth.require(…)), or @auth.public where everyone may come in."
        )


def _walk(
    routes: Sequence[BaseRoute], prefix: str, schemes: tuple[str, ...], own: frozenset[int], *, is_open: bool
) -> Iterator[MappedRoute]:
    for context in iter_route_contexts(routes):
        route, path = context.original_route, prefix + (context.path or "")
        if isinstance(route, Mount | Host):
            inner, behind = context.routes, getattr(route, "_base_app", route.app)
            path = path if isinstance(route, Mount) else f"{prefix}//{route.host}"
            is_marked = is_open or is_public(behind) or is_public(route.app)
            if inner:
                yield from _walk(inner, path, schemes, own, is_open=is_marked)
                yield from _frontends(behind, path, schemes, is_open=is_marked)
            else:
                access: Access = "public" if is_marked else "unguarded"
                because = "marked" if is_marked else None
                yield MappedRoute(path=f"{path}/{{path:path}}", methods=(EVERY_METHOD,), access=access, because=because)
        else:
            yield _mapped(context, path, schemes, _public_because(context.endpoint, own, is_open))


def _frontends(app: object, prefix: str, schemes: tuple[str, ...], *, is_open: bool) -> Iterator[MappedRoute]:
    """Directories that FastAPI serves by `app.frontend(…)`, asked after every other route."""
    router = getattr(app, "router", app)
    for group in getattr(router, "_iter_low_priority_routes", tuple)():
        original = getattr(group, "original_route", group)
        within = prefix + getattr(group, "frontend_prefix", "")
        for route in getattr(original, "routes", ()):
            yield _mapped(RouteContext(group), f"{within}{route.path}", schemes, "marked" if is_open else None)


def _mapped(context: RouteContext, path: str, schemes: tuple[str, ...], because: str | None) -> MappedRoute:
    dependant = getattr(context, "dependant", None)
    found = tuple(guards_of(dependant)) if isinstance(dependant, Dependant) else ()
    objects = tuple(object_guards_of(dependant)) if isinstance(dependant, Dependant) else ()
    is_guarded = not all(guard.is_optional for guard, _ in found)
    access: Access = "guarded" if is_guarded else "public" if because else "unguarded"
    policies = [policy for _, policy in found]
    texts = [*(_said(guard, policy) for guard, policy in found), *(_said_of(guard) for guard, _ in objects)]
    return MappedRoute(
        path=path,
        methods=_methods(context),
        access=access,
        because=None if is_guarded else because,
        guards=tuple(dict.fromkeys(texts)),
        scopes=tuple(sorted({scope for policy in policies for scope in policy.scopes})),
        roles=tuple(sorted({name for policy in policies for name in policy.roles_named()})),
        schemes=schemes if found else (),
        declared=Declared(route=context, guards=found, object_guards=objects),
    )


def _said(guard: Guard, policy: Policy) -> str:
    return f"optional {policy}" if guard.is_optional else str(policy)


def _said_of(guard: ObjectGuard) -> str:
    rules = " or ".join(map(str, guard.rules)) or "no rule"
    return f"{guard.needed} by {rules}"


def _methods(context: RouteContext) -> tuple[str, ...]:
    methods: Mapping[str, object] | set[str] | None = context.methods
    if methods:
        return tuple(sorted(methods))
    is_websocket = "websocket" in type(context.original_route).__name__.lower()
    return ("WEBSOCKET",) if is_websocket else (EVERY_METHOD,)


def _public_because(endpoint: object, own: frozenset[int], is_open: bool) -> str | None:
    if is_open or is_public(endpoint):
        return "marked"
    if id(endpoint) in own:
        return "limen"
    qualified = f"{getattr(endpoint, '__module__', '')}.{getattr(endpoint, '__qualname__', '')}"
    return "docs" if qualified.startswith("fastapi.applications.FastAPI.setup.") else None
