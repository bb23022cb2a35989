"""What OpenAPI says of guards: every scheme that a route accepts, the scopes that it needs, and its refusals."""

from collections.abc import Mapping, Sequence
from typing import cast

from fastapi import FastAPI

from limen.http.inventory import GuardedRoute, inventory
from limen.http.responses import PROBLEM
from limen.http.scheme import Scheme

_PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}
_PROBLEM_SCHEMA = {
    "title": "Problem",
    "description": "A problem document (RFC 9457).",
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "stable, snake_case"},
        "retry_after": {"type": "integer", "description": "seconds"},
        "scope": {"type": "string", "description": "the permissions that would have been enough"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["type", "title", "status", "detail", "code"],
}


_WORDS = {
    400: "Two credentials, or a request that cannot be read",
    401: "Not authenticated",
    403: "Not allowed",
    404: "No such object",
    409: "Conflicts with the present state",
    413: "Body too large",
    415: "Another media type",
    422: "Fields missing or not valid",
    429: "Too many tries",
    503: "Not available for a moment",
}
_OAUTH_SCHEMA = {
    "title": "OAuthError",
    "description": "An error of an OAuth endpoint (RFC 6749 §5.2).",
    "type": "object",
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
    "required": ["error"],
}
_OF_EVERY_GUARD = (400, 401, 403, 429, 503)


def problem_response(description: str) -> dict[str, object]:
    """The OpenAPI response object of a refusal."""
    return {"description": description, "content": {PROBLEM: {"schema": _PROBLEM_REF}}}


def refusals(*statuses: int) -> dict[int | str, dict[str, object]]:
    """The `responses=` of a route that answers problems with these statuses."""
    return {status: problem_response(_WORDS[status]) for status in statuses}


def oauth_refusals(*statuses: int) -> dict[int | str, dict[str, object]]:
    """The same for an endpoint that speaks RFC 6749 §5.2."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/OAuthError"}}}
    return {status: {"description": _WORDS[status], "content": content} for status in statuses}


def describe_guards(app: FastAPI, schemes: Sequence[Scheme]) -> None:
    """Let the app's OpenAPI document say what its guards enforce."""
    plain = app.openapi

    described: dict[str, object] = {}

    def openapi() -> dict[str, object]:
        nonlocal described
        document: dict[str, object] = plain()
        if document is not described:  # FastAPI keeps its document until the routes change
            _describe(document, inventory(app), schemes)
            described = document
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _describe(document: dict[str, object], routes: Sequence[GuardedRoute], schemes: Sequence[Scheme]) -> None:
    components = _within(document, "components")
    _within(components, "schemas").update({"Problem": _PROBLEM_SCHEMA, "OAuthError": _OAUTH_SCHEMA})
    known = _within(components, "securitySchemes")
    known.update({scheme.name: dict(scheme.openapi()) for scheme in schemes})
    paths = _within(document, "paths")
    for route in routes:
        operations = paths.get(route.path)
        if isinstance(operations, dict) and route.guards:
            for method in route.methods:
                if isinstance(operation := operations.get(method.lower()), dict):
                    _describe_operation(operation, route, schemes)


def _describe_operation(operation: dict[str, object], route: GuardedRoute, schemes: Sequence[Scheme]) -> None:
    scopes = sorted({scope for policy in route.policies for scope in policy.scopes})
    alternatives: list[Mapping[str, object]] = [{scheme.name: scopes} for scheme in schemes]
    if route.is_public:
        alternatives.append({})
    operation["security"] = alternatives
    responses = _within(operation, "responses")
    for status in _OF_EVERY_GUARD:
        responses.setdefault(str(status), problem_response(_WORDS[status]))


def _within(parent: dict[str, object], name: str) -> dict[str, object]:
    return cast("dict[str, object]", parent.setdefault(name, {}))
