"""What an app needs so that guards work on it, whoever brings them."""

from functools import partial

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from limen.errors import AuthError
from limen.http.authenticate import Authenticator
from limen.http.cause import RequestCauses
from limen.http.guarded_route import GuardedRoute, is_checked_at_the_route
from limen.http.guards import Guard
from limen.http.open_connections import WatchOpenConnections
from limen.http.openapi import describe_guards
from limen.http.responses import answer
from limen.http.routing import LimenRouter


def install_guards(app: FastAPI, authenticator: Authenticator) -> None:
    """Let the app's routes be guarded and described, refusals be answered, and open connections end in time."""
    if app.router.route_class is APIRoute:  # an app's own class keeps its place; its guards are checked FastAPI's way
        app.router.route_class = GuardedRoute
    app.add_middleware(WatchOpenConnections, connections=authenticator.connections)
    app.add_exception_handler(AuthError, partial(answer, causes=authenticator.causes))
    describe_guards(app, authenticator.schemes)
    authenticator.is_installed = True


def settle(app: FastAPI, authenticator: Authenticator) -> None:
    """Watch every request only where there is a route whose guards FastAPI solves; asked when the app starts.

    A route that is added later and is such a one has every request watched from its second on.
    """
    authenticator.connections.watches_http = not all(map(is_checked_at_the_route, iter_route_contexts(app.routes)))


def include_apart(app: FastAPI, router: LimenRouter, causes: RequestCauses | None) -> None:
    """Include limen's own routes, which decide for themselves, without the guards that the app puts before all of its.

    A guard in `FastAPI(dependencies=[…])` would ask people to be signed in before they sign in. An app's own routes
    come after limen's, so each request to them is told from limen's by one look at its path.
    """
    everywhere = app.router.dependencies
    app.router.dependencies = [each for each in everywhere if not isinstance(each.dependency, Guard)]
    try:
        app.include_router(router)
    finally:
        app.router.dependencies = everywhere
    included = app.router.routes[-1]
    included.matches = router.told_apart(included.matches, causes)  # type: ignore[method-assign,assignment]  # of this route alone
