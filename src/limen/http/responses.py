"""The one place that turns errors and finished sign-ins into answers."""

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response

from limen.core.cause import tell_refusal
from limen.core.login import Completed, Pending
from limen.errors import (
    AuthError,
    CrossOrigin,
    Forbidden,
    IncorrectLogin,
    InvalidClient,
    NotAuthenticated,
    StepUpRequired,
    Unprocessable,
)
from limen.http.cause import RequestCauses, caused_by_request
from limen.http.cookies import SessionCookie

_log = logging.getLogger("limen")

REALM = "limen"
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
PROBLEM = "application/problem+json"
_OAUTH_CODES = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_target",  # RFC 8707 §2
        "invalid_scope",
        "invalid_token",  # RFC 6750 §3.1, where an OAuth endpoint is itself protected
        "insufficient_scope",
    }
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
    code = _oauth_code(error)
    status = 400 if code in ("invalid_grant", "invalid_request") and error.status != 413 else error.status
    headers = {**NO_STORE, **(headers_of(error) if status != 400 else {})}
    body = {**error.data, "error": code, "error_description": error.detail}
    return JSONResponse(body, status_code=status, headers=headers)


def deliver(outcome: Pending | Completed, *, cookie: SessionCookie) -> Response:
    """The answer to a sign-in: what carries the session, or the step that it waits for."""
    if isinstance(outcome, Pending):
        body: Mapping[str, object] = {"status": "pending", "step": outcome.step, "ticket": outcome.ticket}
        return JSONResponse(dict(body), headers=dict(NO_STORE))
    response = JSONResponse(
        jsonable_encoder({**outcome.body, "status": "complete"}, custom_encoder={datetime: _moment}),
        headers=dict(NO_STORE),
    )
    if outcome.cookie is not None:
        cookie.set(response, outcome.cookie)
    if outcome.device is not None:
        cookie.set_device(response, outcome.device)
    return response


def user_answer(described: Mapping[str, object]) -> Response:
    """A user with the app's own fields, where no response model knows them."""
    body = jsonable_encoder(dict(described), custom_encoder={datetime: _moment})
    return JSONResponse(body, headers=dict(NO_STORE))


def _moment(value: datetime) -> str:
    """RFC 3339 as pydantic writes it, so that a user reads the same in every answer."""
    return value.isoformat().replace("+00:00", "Z")


def headers_of(error: AuthError) -> Mapping[str, str]:
    """The challenge of a 401 or 403 (RFC 6750 §3, RFC 9470 §3) and the `Retry-After` of a 429 or 503."""
    headers: dict[str, str] = {}
    if error.status == 401 or (isinstance(error, Forbidden) and not isinstance(error, CrossOrigin)):
        headers["WWW-Authenticate"] = _challenge(error)
    if "retry_after" in error.data:
        headers["Retry-After"] = str(error.data["retry_after"])
    return headers


def log(error: AuthError) -> None:
    """The private reason, for the operator: refusals at INFO, outages at WARNING; the audit hears of those of note."""
    tell_refusal(error)
    level = logging.WARNING if error.status >= 500 else logging.INFO
    if _log.isEnabledFor(level):
        context = json.dumps({key: str(value)[:200] for key, value in error.context.items()})
        _log.log(level, "%s: %s %s", error.code, json.dumps(error.reason[:500]), context)


async def answer(connection: HTTPConnection, error: Exception, *, causes: RequestCauses | None = None) -> Response:
    """The exception handler that `install` registers; a refused WebSocket handshake gets the same answer."""
    if not isinstance(error, AuthError):  # pragma: no cover - registered for AuthError only
        raise error
    with caused_by_request(connection.scope, causes):
        return problem(error)


def answer_all_as_problems(app: FastAPI) -> None:
    """Let the app's own refusals be problem documents too; limen's always are."""
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(RequestValidationError, _answer_invalid)


async def _answer_http(_connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    body = {
        "type": "about:blank",
        "title": phrase,
        "status": error.status_code,
        "detail": error.detail,
        "code": phrase.lower().replace(" ", "_").replace("-", "_"),
    }
    return ProblemResponse(body, status_code=error.status_code, headers=error.headers)


async def _answer_invalid(_connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem(Unprocessable("request of another form", errors=public_errors(error)))


def public_errors(error: RequestValidationError) -> list[dict[str, object]]:
    """What is wrong and where, without the value that was sent: it may be a password."""
    return [{"loc": list(item["loc"]), "msg": item["msg"], "type": item["type"]} for item in error.errors()]


def _challenge(error: AuthError) -> str:
    if isinstance(error, InvalidClient):
        return f'Basic realm="{REALM}"'
    parts = [f'Bearer realm="{REALM}"']
    if not isinstance(error, NotAuthenticated | IncorrectLogin):
        code = "insufficient_scope" if isinstance(error, Forbidden) else "invalid_token"
        code = error.code if isinstance(error, StepUpRequired) else code
        parts.append(f'error="{code}"')
        parts.append(f'error_description="{error.detail}"')
    parts.extend(f'{name}="{error.data[name]}"' for name in ("scope", "max_age") if name in error.data)
    return ", ".join(parts)


def _oauth_code(error: AuthError) -> str:
    """§5.2 has no word for an outage or a limit; `temporarily_unavailable` of §4.1.2.1 is the nearest."""
    if error.code in _OAUTH_CODES:
        return error.code
    if error.status in (429, 503):
        return "temporarily_unavailable"
    if isinstance(error, NotAuthenticated):
        return "invalid_client"  # RFC 7662 §2.3
    return "invalid_grant" if error.status == 401 else "invalid_request"
