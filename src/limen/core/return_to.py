"""Where a browser may be sent after a sign-in elsewhere: the app's own origins, in one closed spelling."""

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from limen.errors import InvalidRequest

MAX_RETURN_TO = 2048

# RFC 3986 §3.3 to §3.5, and nothing that URL parsers read in two ways: no backslash, no control character, no space,
# and in the path no empty segment, no dot segment, and none of these spelled with escapes.
_SEGMENT = r"(?!\.{1,2}(?:[/?#]|\Z))(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%(?!2[eEfF]|5[cC]|[01])[0-9A-Fa-f]{2})+"
_REST = r"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*"
_PATH = re.compile(rf"(?:/|(?:/{_SEGMENT})+/?)(?:\?{_REST})?(?:#{_REST})?")


class ReturnTo:
    """The places to return to.

    Args:
        base_url: where browsers reach the app; paths are on its origin.
        trusted_origins: other origins of the app's pages.
    """

    def __init__(self, base_url: str, *, trusted_origins: Collection[str] = ()) -> None:
        self._own = origin_of(base_url)
        self._origins = frozenset({self._own, *map(origin_of, trusted_origins)})

    def check(self, place: str) -> str:
        """The absolute URL of a path, or of a URL on one of the origins.

        CWE-601, RFC 9700 §4.11.2: clients MUST NOT expose URLs that forward the browser to arbitrary URIs.

        Raises:
            InvalidRequest: another origin, or a spelling that is not of the closed form.
        """
        origin = next((each for each in self._origins if place.startswith((f"{each}/", f"{each}?"))), None)
        if place in self._origins:
            return f"{place}/"
        path = place if origin is None else place[len(origin) :]
        path = f"/{path}" if origin is not None and path.startswith("?") else path
        if len(place) > MAX_RETURN_TO or _PATH.fullmatch(path) is None:
            raise InvalidRequest("return_to is not a path or a URL on one of the app's origins")
        return (origin or self._own) + path


def with_fragment(url: str, fragment: str) -> str:
    """The URL with this fragment, in the place of its own."""
    return f"{url.partition('#')[0]}#{fragment}"


def origin_of(url: str) -> str:
    """The origin of a URL as browsers write it (RFC 6454 §6.1): lower-case, without a default port."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}.get(parts.scheme)
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"
