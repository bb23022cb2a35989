"""What an app needs so that guards work on it, whoever brings them."""

from fastapi import FastAPI

from limen.errors import AuthError
from limen.http.authenticate import Authenticator
from limen.http.guarded_route import GuardedRoute
from limen.http.open_connections import OpenConnections, WatchOpenConnections
from limen.http.openapi import describe_guards
from limen.http.responses import answer


def install_guards(app: FastAPI, authenticator: Authenticator, *, connections: OpenConnections) -> None:
    """Let the app's routes be guarded and described, refusals be answered, and open connections end in time."""
    app.router.route_class = GuardedRoute
    app.add_middleware(WatchOpenConnections, connections=connections, memo=authenticator.memo)
    app.add_exception_handler(AuthError, answer)
    describe_guards(app, authenticator.schemes)
    authenticator.is_installed = True
