"""Whose page made the browser send this: decided by `Sec-Fetch-Site` and `Origin`, never by `Host` (ASVS 3.5.1).

A cookie comes by itself, whoever asks for it. So what it may do is only done for the app's own pages.
"""

from collections.abc import Collection
from enum import Enum
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from limen.core.return_to import origin_of
from limen.errors import CrossOrigin

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""RFC 9110 §9.2.1, TRACE aside: it would show the cookie."""


class Origin(Enum):
    """Where a request was made."""

    OWN = "own"
    FOREIGN = "foreign"
    UNTOLD = "untold"


class OriginCheck:
    """Tells the app's own pages from foreign ones.

    Args:
        base_url: where browsers reach the app.
        trusted_origins: other origins whose pages may use the cookie (`https://app.example.com`).

    Attributes:
        is_on_loopback: whether browsers reach the app by plain http on this machine: in development.
    """

    def __init__(self, base_url: str, *, trusted_origins: Collection[str] = ()) -> None:
        base = urlsplit(base_url)
        self.is_on_loopback = base.scheme == "http" and _is_loopback(base.hostname)
        self._trusted = frozenset(origin_of(url) for url in (base_url, *trusted_origins))

    def _is_local(self, origin: str, connection: HTTPConnection) -> bool:
        """On a developer's machine the port may be another than the base URL's: origin and `Host` must agree then.

        Only where both are loopback, so that no name that somebody else points at this machine is taken for it.
        """
        parts = urlsplit(origin)
        hosts = connection.headers.getlist("host")
        is_local = self.is_on_loopback and parts.scheme == "http" and _is_loopback(parts.hostname)
        return is_local and hosts == [parts.netloc]

    def check_cookie_use(self, connection: HTTPConnection) -> None:
        """Refuse what changes something, or opens a WebSocket, by cookie unless one of the app's own pages asked.

        Raises:
            CrossOrigin: a foreign page asked, or nothing tells who did.
        """
        method = connection.scope.get("method")  # a WebSocket has none
        if method not in SAFE_METHODS and self.of(connection) is not Origin.OWN:
            raise CrossOrigin("cookie used without proof of the same origin", origin=connection.headers.get("origin"))

    def check_not_foreign(self, connection: HTTPConnection) -> None:
        """Refuse to set a cookie for a foreign page (login CSRF); a client that tells nothing is no browser.

        Raises:
            CrossOrigin: a foreign page asked.
        """
        if self.of(connection) is Origin.FOREIGN:
            raise CrossOrigin("sign-in asked by a foreign page", origin=connection.headers.get("origin"))

    def of(self, connection: HTTPConnection) -> Origin:
        """W3C Fetch Metadata §2.2: browsers set `Sec-Fetch-Site`, pages cannot. Older ones send `Origin` alone."""
        site = connection.headers.getlist("sec-fetch-site")
        origin = connection.headers.getlist("origin")
        if site == ["same-origin"]:
            return Origin.OWN
        if origin:
            is_own = len(origin) == 1 and (origin[0] in self._trusted or self._is_local(origin[0], connection))
            return Origin.OWN if is_own else Origin.FOREIGN
        return Origin.FOREIGN if site else Origin.UNTOLD


def _is_loopback(host: str | None) -> bool:
    return host in ("localhost", "127.0.0.1", "::1")
