"""What an app needs so that guards work on it, whoever brings them."""

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from limen.errors import AuthError
from limen.http.authenticate import Authenticator
from limen.http.cause import NameCauses, RequestCauses
from limen.http.guarded_route import GuardedRoute
from limen.http.guards import Guard
from limen.http.open_connections import OpenConnections, WatchOpenConnections
from limen.http.openapi import describe_guards
from limen.http.responses import answer


def install_guards(
    app: FastAPI, authenticator: Authenticator, *, connections: OpenConnections, causes: RequestCauses | None = None
) -> None:
    """Let the app's routes be guarded and described, refusals be answered, and open connections end in time."""
    if app.router.route_class is APIRoute:  # an app's own class keeps its place; its guards are checked FastAPI's way
        app.router.route_class = GuardedRoute
    app.add_middleware(WatchOpenConnections, connections=connections, memo=authenticator.memo)
    if causes is not None:
        app.add_middleware(NameCauses, causes=causes)
    app.add_exception_handler(AuthError, answer)
    describe_guards(app, authenticator.schemes)
    authenticator.is_installed = True


def include_apart(app: FastAPI, router: APIRouter) -> None:
    """Include limen's own routes, which decide for themselves, without the guards that the app puts before all of its.

    A guard in `FastAPI(dependencies=[…])` would ask people to be signed in before they sign in.
    """
    everywhere = app.router.dependencies
    app.router.dependencies = [each for each in everywhere if not isinstance(each.dependency, Guard)]
    try:
        app.include_router(router)
    finally:
        app.router.dependencies = everywhere
