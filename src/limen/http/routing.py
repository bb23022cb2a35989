"""The route classes of limen's own endpoints: bodies bounded before they are read, every refusal a problem document."""

import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated
from urllib.parse import unquote_plus

from fastapi import APIRouter, Depends
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Message, Receive, Scope

from limen.errors import AuthError, InvalidRequest, PayloadTooLarge, Unprocessable, UnsupportedMediaType
from limen.http.cause import CAUSES, RequestCauses, caused_by_request
from limen.http.guards import CHECKED
from limen.http.responses import NO_STORE, oauth_error, problem, public_errors

MAX_BODY_BYTES = 64 * 1024
MAX_FORM_FIELDS = 32
WELL_KNOWN = "/.well-known/"
FORM = "application/x-www-form-urlencoded"
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

Handler = Callable[[Request], Coroutine[object, object, Response]]
Matches = Callable[[Scope], tuple[Match, Scope]]


class LimenRoute(APIRoute):
    """An endpoint of limen's: body bounded, answers not stored, errors as RFC 9457."""

    @staticmethod
    def refuse(error: AuthError) -> Response:
        """The answer to a refused request."""
        return problem(error)

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            request.scope[CHECKED] = {}  # an answer of limen's never stays open
            with caused_by_request(request.scope, request.scope.get(CAUSES)):
                try:
                    response = await handle(_bounded(request))
                except RequestValidationError as error:
                    return self.refuse(Unprocessable("request of another form", errors=public_errors(error)))
                except AuthError as error:
                    return self.refuse(error)
                except HTTPException as error:
                    return self.refuse(_as_auth_error(error))
            if "cache-control" not in response.headers:
                response.headers.update(NO_STORE)
            return response

        return bounded


class ReturnRoute(LimenRoute):
    """An endpoint that a browser comes back to with a code in the query (RFC 9700 §4.2.4): no answer, refused or not,
    lets it go on into a Referer."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def without_referrer(request: Request) -> Response:
            response = await handle(request)
            response.headers["Referrer-Policy"] = "no-referrer"
            return response

        return without_referrer


class OAuthRoute(LimenRoute):
    """An endpoint that speaks RFC 6749: errors as §5.2."""

    @staticmethod
    def refuse(error: AuthError) -> Response:
        return oauth_error(error)


class LimenRouter(APIRouter):
    """All of limen's routes behind one look at the path, so that an app's own routes do not pay for each of them.

    Attributes:
        prefixes: how a path of limen's begins.
    """

    prefixes: tuple[str, ...] = ()

    def told_apart(self, matches: Matches, causes: RequestCauses | None) -> Matches:
        """`matches`, asked only for paths that could be limen's."""
        prefixes = self.prefixes

        def quickly(scope: Scope) -> tuple[Match, Scope]:
            # Under a mount the path has that in front; then the routes themselves look.
            path: str = scope.get("path", "")
            if not path.startswith(prefixes) and not scope.get("root_path"):
                return Match.NONE, {}
            scope[CAUSES] = causes
            return matches(scope)

        return quickly


async def read_form(request: Request) -> Mapping[str, str]:
    """The fields of a form body. RFC 6749 §3.2: unrecognised ones are ignored, a repeated one is refused.

    Raises:
        UnsupportedMediaType: another kind of body.
        InvalidRequest: not UTF-8, a broken escape, a field twice, or too many.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind and not await request.body():
        return {}
    if kind != FORM:
        raise UnsupportedMediaType("not a form")
    try:
        text = (await request.body()).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("form is not UTF-8") from None
    if _BROKEN_ESCAPE.search(text):
        raise InvalidRequest("form has a broken escape")
    pairs = [pair.partition("=") for pair in text.split("&", MAX_FORM_FIELDS) if pair]
    if len(pairs) > MAX_FORM_FIELDS:
        raise InvalidRequest("form has too many fields")
    try:
        fields = [
            (unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")) for name, _, value in pairs
        ]
    except UnicodeDecodeError:
        raise InvalidRequest("form is not UTF-8") from None
    form = dict(fields)
    if len(form) < len(fields):
        raise InvalidRequest("form has a field twice")
    return form


FormFields = Annotated[Mapping[str, str], Depends(read_form)]


def form_schema(required: Mapping[str, str], optional: Mapping[str, str]) -> dict[str, object]:
    """The OpenAPI request body of a form: field names and what they mean."""
    properties = {
        name: {"type": "string", "description": words, **({"format": "password"} if "password" in name else {})}
        for name, words in {**required, **optional}.items()
    }
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"requestBody": {"required": True, "content": {FORM: {"schema": schema}}}}


def _bounded(request: Request) -> Request:
    length = request.headers.get("content-length", "")
    if length.isdigit() and (len(length) > 12 or int(length) > MAX_BODY_BYTES):
        raise PayloadTooLarge("declared body over the limit", length=length[:20])
    return Request(request.scope, _counted(request.receive), request._send)


def _counted(receive: Receive) -> Receive:
    left = MAX_BODY_BYTES

    async def counted() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise PayloadTooLarge("body over the limit")
        return message

    return counted


def _as_auth_error(error: HTTPException) -> AuthError:
    """FastAPI's own refusals of a body that cannot be parsed; the size limit may hide in their cause."""
    if isinstance(error.__cause__, AuthError):
        return error.__cause__
    if error.status_code == 413:
        return PayloadTooLarge("body over the app's limit")
    return InvalidRequest(f"body refused: {error.detail}")
