"""What answers must look like, whoever gives them (contract, *Everywhere*)."""

from http import HTTPStatus
from typing import Any

NOTHING_PRESENTED = 'Bearer realm="limen"'
INVALID_TOKEN = (
    'Bearer realm="limen", error="invalid_token", error_description="The credential is invalid, expired or revoked."'
)


def refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The body of a problem document with this status and code, after a look at the rest of its form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    assert (body["type"], body["title"], body["status"]) == ("about:blank", HTTPStatus(status).phrase, status)
    assert body["code"] == code, body
    assert isinstance(body["detail"], str)
    assert body["detail"]
    assert ("www-authenticate" in answer.headers) == (status == 401 or (status == 403 and code != "cross_origin"))
    return body


def oauth_refused(answer: Any, status: int, error: str) -> dict[str, Any]:
    """The same for the endpoints that speak RFC 6749 §5.2."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    body: dict[str, Any] = answer.json()
    assert body["error"] == error, body
    assert isinstance(body["error_description"], str)
    assert body["error_description"]
    assert "code" not in body
    return body


def named_fields(body: dict[str, Any]) -> set[str]:
    """Which fields a 422 complains of."""
    return {str(error["loc"][-1]) for error in body["errors"]}
