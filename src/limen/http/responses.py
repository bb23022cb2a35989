"""The one place that turns errors and finished sign-ins into answers."""

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response

from limen.errors import AuthError, InsufficientScope, InvalidClient, InvalidGrant, NotAuthenticated, StepUpRequired

_log = logging.getLogger("limen")

REALM = "limen"
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
PROBLEM = "application/problem+json"
_OAUTH_CODES = frozenset(
    {"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}
)


class ProblemResponse(JSONResponse):
    """A problem document (RFC 9457)."""

    media_type = PROBLEM


def problem(error: AuthError) -> Response:
    """The answer to a refused request: what its class says and what the client needs, never the private reason."""
    log(error)
    body = {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        **error.data,
    }
    return ProblemResponse(body, status_code=error.status, headers={**NO_STORE, **headers_of(error)})


def oauth_error(error: AuthError) -> Response:
    """The same in RFC 6749 §5.2's words, for the endpoints that speak them."""
    log(error)
    code = error.code if error.code in _OAUTH_CODES else _nearest_oauth_code(error)
    status = 400 if isinstance(error, InvalidGrant) or code == "invalid_grant" else error.status
    headers = {**NO_STORE, **headers_of(error)} if status != 400 else dict(NO_STORE)
    return JSONResponse({"error": code, "error_description": error.detail}, status_code=status, headers=headers)


def headers_of(error: AuthError) -> Mapping[str, str]:
    """The challenge of a 401 or 403 (RFC 6750 §3, RFC 9470 §3) and the `Retry-After` of a 429 or 503."""
    headers: dict[str, str] = {}
    if error.status == 401 or isinstance(error, InsufficientScope):
        headers["WWW-Authenticate"] = _challenge(error)
    if "retry_after" in error.data:
        headers["Retry-After"] = str(error.data["retry_after"])
    return headers


def log(error: AuthError) -> None:
    """The private reason, for the operator: refusals at INFO, outages at WARNING."""
    level = logging.WARNING if error.status >= 500 else logging.INFO
    if _log.isEnabledFor(level):
        context = json.dumps({key: str(value)[:200] for key, value in error.context.items()})
        _log.log(level, "%s: %s %s", error.code, json.dumps(error.reason[:500]), context)


async def answer(_connection: HTTPConnection, error: Exception) -> Response:
    """The exception handler that `install` registers; a refused WebSocket handshake gets the same answer."""
    if not isinstance(error, AuthError):  # pragma: no cover - registered for AuthError only
        raise error
    return problem(error)


def _challenge(error: AuthError) -> str:
    if isinstance(error, InvalidClient):
        return f'Basic realm="{REALM}"'
    parts = [f'Bearer realm="{REALM}"']
    if not isinstance(error, NotAuthenticated):
        code = error.code if isinstance(error, InsufficientScope | StepUpRequired) else "invalid_token"
        parts.append(f'error="{code}"')
        parts.append(f'error_description="{error.detail}"')
    parts.extend(f'{name}="{error.data[name]}"' for name in ("scope", "max_age") if name in error.data)
    return ", ".join(parts)


def _nearest_oauth_code(error: AuthError) -> str:
    """RFC 6749 has no word for an outage or a full queue; RFC 6749 §4.1.2.1's `temporarily_unavailable` is the nearest."""
    if error.status in (429, 503):
        return "temporarily_unavailable"
    return "invalid_grant" if error.status == 401 else "invalid_request"
