"""From where a request came, as far as that can be believed."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.requests import HTTPConnection
from starlette.types import Scope

from limen.core.client import Client
from limen.http.cookies import device_cookie_name

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

FORWARDED = b"x-forwarded-for"
MAX_USER_AGENT = 256
MAX_HOPS = 32
MAX_ADDRESS = 64  # characters: no spelling of an address is longer, and what is remembered stays small


def client_of(
    connection: HTTPConnection, *, trusted_proxies: Sequence[Network] = (), cookie_name: str | None = None
) -> Client:
    """The client's canonical address and user agent."""
    headers = connection.headers
    agent = "".join(character for character in headers.get("user-agent", "") if character.isprintable())
    address = address_of(connection.scope, trusted_proxies=trusted_proxies)
    return Client(
        ip=str(address) if address else None,
        user_agent=agent[:MAX_USER_AGENT] or None,
        session_cookie=connection.cookies.get(cookie_name) if cookie_name else None,
        device_cookie=connection.cookies.get(device_cookie_name(cookie_name)) if cookie_name else None,
        is_browser="sec-fetch-dest" in headers,
    )


def address_of(scope: Scope, *, trusted_proxies: Sequence[Network] = ()) -> Address | None:
    """The client's canonical address, None where it is not known.

    `X-Forwarded-For` counts only when the peer is a configured proxy; the right-most hop that is not one is the client.
    """
    peer = scope.get("client")
    address = _address(peer[0]) if peer else None
    if not trusted_proxies or address is None or not _is_trusted(address, trusted_proxies):
        return address
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name == FORWARDED]
    return _forwarded(lines, trusted_proxies) or address


def _forwarded(lines: Sequence[str], trusted_proxies: Sequence[Network]) -> Address | None:
    hops = ",".join(lines).split(",")[-MAX_HOPS:]
    for hop in reversed(hops):
        address = _address(hop.strip()[:MAX_ADDRESS])
        if address is None or not _is_trusted(address, trusted_proxies):
            return address
    return None


@lru_cache(maxsize=4096)
def _address(text: str) -> Address | None:
    """The address in `text`, an IPv4-mapped one unwrapped, so that one client has one spelling."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_trusted(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
