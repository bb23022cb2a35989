"""The one place that takes credentials out of a request: from the raw ASGI header list, for HTTP and WebSocket alike.

It never looks at the URL or the Host. Two explicit credentials, or one twice, are refused rather than chosen between.
"""

import re
from collections.abc import Iterable, Sequence, Set

from starlette.types import Scope

from limen.errors import InvalidCredential, InvalidRequest
from limen.http.scheme import AMBIENT, Carrier, Presented

MAX_CREDENTIAL_BYTES = 8192
_TOKEN68 = re.compile(rb"[A-Za-z0-9\-._~+/]+=*")
_COOKIE_VALUE = re.compile(rb"[\x21\x23-\x2B\x2D-\x3A\x3C-\x5B\x5D-\x7E]+")

Headers = Iterable[tuple[bytes, bytes]]

API_KEY = b"api_key"
"""How the query parameter and the cookie are called, where an app takes keys from them."""

BEARER, HEADER, COOKIE = (carrier.value.encode() for carrier in (Carrier.BEARER, Carrier.HEADER, Carrier.COOKIE))


def read_credential(headers: Headers, *, cookie_name: bytes | None) -> Presented | None:
    """The credential that a request presents, or None. An explicit one goes before the cookie, which comes by itself.

    Raises:
        InvalidRequest: two explicit credentials (RFC 6750 §2: clients MUST NOT use more than one method).
        InvalidCredential: one that no scheme could read.
    """
    authorization = api_key = None
    cookies: list[bytes] = []
    for name, value in headers:
        if name == b"authorization":
            authorization = _once(authorization, value)
        elif name == b"x-api-key":
            api_key = _once(api_key, value)
        elif name == b"cookie" and cookie_name is not None:
            cookies.append(value)
    token = None if authorization is None else _bearer_token(authorization)
    if token is not None and api_key is not None:
        raise InvalidRequest("an Authorization header and an API key in one request")
    if token is not None:
        return Presented(Carrier.BEARER, _text(token, _TOKEN68))
    if api_key is not None:
        return Presented(Carrier.HEADER, _text(api_key.strip(b" \t"), _TOKEN68))
    return _cookie(cookies, cookie_name) if cookie_name is not None and cookies else None


def find_credential(headers: Sequence[tuple[bytes, bytes]], cookie_start: bytes | None) -> tuple[bytes, bytes] | None:
    """The carrier and the bytes of the one plain credential in a request, believed by nobody yet.

    None for whatever is not plain: nothing, more than one, an unusual spelling, any header twice. `read_credential`
    decides about those.

    Args:
        cookie_start: the cookie's name and the `=` after it.
    """
    found = dict(headers)
    if len(found) < len(headers):
        return None
    authorization, api_key = found.get(b"authorization"), found.get(b"x-api-key")
    if authorization is not None:
        is_plain = api_key is None and authorization[:7] == b"Bearer "
        return (BEARER, authorization[7:]) if is_plain else None
    if api_key is not None:
        return HEADER, api_key
    cookies = found.get(b"cookie")
    return None if cookies is None or cookie_start is None else _plain_cookie(cookies, cookie_start)


def find_elsewhere(scope: Scope, carriers: Set[Carrier]) -> tuple[bytes, ...]:
    """The places outside the usual headers that a request puts a key in, among these carriers, as they come."""
    query: bytes = scope.get("query_string", b"") if Carrier.QUERY in carriers else b""
    cookies = (value for name, value in scope["headers"] if name == b"cookie") if Carrier.KEY_COOKIE in carriers else ()
    return tuple(part for part in (query, *cookies) if API_KEY in part)


def read_elsewhere(scope: Scope, presented: Presented | None, *, carriers: Set[Carrier]) -> Presented | None:
    """The credential of a request whose app also takes keys from these unsafe carriers; `presented` is the usual one.

    Raises:
        InvalidRequest: two explicit credentials, or two cookies that are both one.
        InvalidCredential: one that no scheme could read.
    """
    in_query = _in_query(scope.get("query_string", b"")) if Carrier.QUERY in carriers else None
    usual = None if presented is None or presented.carrier in AMBIENT else presented
    if in_query is not None and usual is not None:
        raise InvalidRequest("a key in the query and another credential in one request")
    if in_query is not None or usual is not None or Carrier.KEY_COOKIE not in carriers:
        return in_query or presented
    lines = [value for name, value in scope["headers"] if name == b"cookie"]
    in_cookie = _cookie(lines, API_KEY, carrier=Carrier.KEY_COOKIE)
    if in_cookie is not None and presented is not None:
        raise InvalidRequest("a session cookie and a key cookie in one request")
    return in_cookie or presented


def _in_query(query: bytes) -> Presented | None:
    found = None
    for pair in query.split(b"&") if API_KEY in query else ():
        name, _, value = pair.partition(b"=")
        if name == API_KEY:
            found = _once(found, value)
    return None if found is None else Presented(Carrier.QUERY, _text(found, _TOKEN68))


def _plain_cookie(cookies: bytes, start: bytes) -> tuple[bytes, bytes] | None:
    at = cookies.find(start)
    if at < 0 or cookies.find(start, at + 1) >= 0:
        return None
    if at > 0 and cookies[at - 2 : at] != b"; ":  # inside another cookie's value, or spelled otherwise
        return None
    end = cookies.find(b";", at)
    return COOKIE, cookies[at + len(start) :] if end < 0 else cookies[at + len(start) : end]


def _once(seen: bytes | None, value: bytes) -> bytes:
    if seen is not None:
        raise InvalidRequest("a credential header came twice")
    return value


def _bearer_token(authorization: bytes) -> bytes | None:
    """The token, or None for another scheme (`Basic` is a proxy's or a client's own affair)."""
    scheme, _, token = authorization.strip(b" \t").partition(b" ")
    return token.strip(b" ") if scheme.lower() == b"bearer" else None


def _text(value: bytes, form: re.Pattern[bytes]) -> str:
    """RFC 6750 §2.1: a bearer token is a b64token; anything else, or over 8 KB, is refused before any work."""
    if len(value) > MAX_CREDENTIAL_BYTES or form.fullmatch(value) is None:
        raise InvalidCredential("credential empty, over 8 KB or not of the form")
    return value.decode("ascii")


def _cookie(lines: list[bytes], wanted: bytes, *, carrier: Carrier = Carrier.COOKIE) -> Presented | None:
    """RFC 6265 §4.2.1. A second cookie of the name was planted by someone (ASVS 3.3.3), so neither is taken."""
    found = None
    for line in lines:
        for pair in line.split(b";"):
            name, _, value = pair.strip(b" \t").partition(b"=")
            if name == wanted:
                found = _once(found, value)
    return None if not found else Presented(carrier, _text(found, _COOKIE_VALUE))
