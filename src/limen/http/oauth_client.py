"""The one place that reads how a client names itself at an OAuth endpoint (RFC 6749 §2.3, RFC 7523 §2.2)."""

import base64
from collections.abc import Mapping
from urllib.parse import unquote_plus

from starlette.requests import Request

from limen.core.oauth_client import PresentedClient
from limen.errors import InvalidClient, InvalidRequest

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_CLIENT_ID = 255
MAX_PROOF = 8192


def read_client(request: Request, form: Mapping[str, str]) -> PresentedClient | None:
    """How the client names itself, or None for one that does not.

    RFC 6749 §2.3: the client MUST NOT use more than one authentication method in each request.

    Raises:
        InvalidRequest: more than one method, or one that is only half there.
        InvalidClient: `Basic` that cannot be read, or text over its limit.
    """
    readings = (_by_basic(request), _by_secret(form), _by_assertion(form))
    found = [presented for presented in readings if presented is not None]
    if len(found) > 1:
        raise InvalidRequest("more than one method of client authentication")
    presented = found[0] if found else _by_name(form)
    if presented is None:
        return None
    if form.get("client_id", presented.client_id) not in ("", presented.client_id):
        raise InvalidRequest("two client ids in one request")
    if len(presented.client_id) > MAX_CLIENT_ID or len(presented.proof) > MAX_PROOF or "\x00" in presented.client_id:
        raise InvalidClient("client id or proof over its limit")
    return presented


def _by_basic(request: Request) -> PresentedClient | None:
    """RFC 6749 §2.3.1; Swagger UI sends an empty id with an empty secret for "no client"."""
    lines = request.headers.getlist("authorization")
    if len(lines) > 1:
        raise InvalidRequest("a credential header came twice")
    scheme, _, encoded = (lines[0] if lines else "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode("ascii").partition(":")
        client_id, secret = unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict")
    except ValueError:  # not ASCII, not base64, not text
        raise InvalidClient("Basic that cannot be read") from None
    if not colon:
        raise InvalidClient("Basic without a colon")
    if not client_id and not secret:
        return None
    return PresentedClient(method="client_secret_basic", client_id=client_id, proof=secret)


def _by_secret(form: Mapping[str, str]) -> PresentedClient | None:
    secret = form.get("client_secret")
    if not secret:
        return None
    return PresentedClient(method="client_secret_post", client_id=form.get("client_id", ""), proof=secret)


def _by_assertion(form: Mapping[str, str]) -> PresentedClient | None:
    """RFC 7521 §4.2: `client_id` is optional, for the assertion says it; if it is there, it MUST be the same."""
    kind, assertion = form.get("client_assertion_type"), form.get("client_assertion")
    if not kind and not assertion:
        return None
    if kind != JWT_BEARER or not assertion:
        raise InvalidRequest("client_assertion or its type is missing or unknown")
    return PresentedClient(method="private_key_jwt", client_id=form.get("client_id", ""), proof=assertion)


def _by_name(form: Mapping[str, str]) -> PresentedClient | None:
    client_id = form.get("client_id")
    return PresentedClient(method="none", client_id=client_id) if client_id else None
