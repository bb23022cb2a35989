"""Where an issuer publishes its keys (OpenID Connect Discovery 1.0, RFC 8414): the decisions, without the fetching."""

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from limen.errors import ConfigurationError

MAX_URL = 2048
KEYS_LIFETIME = (60.0, 300.0, 600.0)
"""Seconds for which fetched keys are fresh: at least, where the answer does not say, at most."""

# A closed alphabet: no user name, backslash, space or control character, over which URL parsers disagree.
_URL = re.compile(
    r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:[/?][A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)
_MAX_AGE = re.compile(r"max-age=([0-9]{1,9})")

Origin = tuple[str, str, int]


def origin(url: object) -> Origin:
    """Scheme, host and port (RFC 6454 §4).

    Raises:
        ValueError: not an http or https URL that every parser reads alike.
    """
    if not isinstance(url, str) or len(url) > MAX_URL or _URL.fullmatch(url) is None:
        raise ValueError("not an http or https URL")
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def check_url(url: str, *, of: str) -> str:
    """The URL, as it was configured.

    Raises:
        ConfigurationError: not an http or https URL; `of` says where it was given.
    """
    try:
        origin(url)
    except ValueError:
        raise ConfigurationError(f"{of}: {url!a} is not a URL such as https://id.example.com/keys") from None
    return url


def check_issuer(issuer: str) -> str:
    """The issuer, as it was configured. RFC 8414 §2: a URL without query or fragment components.

    Raises:
        ConfigurationError: it is not such a URL.
    """
    if "?" in check_url(issuer, of="TrustedIssuer(…)"):
        raise ConfigurationError(f"TrustedIssuer(…): the issuer {issuer!a} has a query, which no issuer has")
    return issuer


def is_exposed(url: str) -> bool:
    """Whether the URL is plain http to another machine, so that whoever is on the way can change the answer."""
    scheme, host, _ = origin(url)
    if scheme == "https" or host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return True


def metadata_urls(issuer: str) -> tuple[str, str]:
    """RFC 8414 §3.1: the well-known path goes between host and path. OpenID Connect Discovery §4: after the path."""
    scheme, _, rest = issuer.partition("://")
    host, slash, path = rest.rstrip("/").partition("/")
    return (
        f"{scheme}://{host}/.well-known/oauth-authorization-server{slash}{path}",
        f"{issuer.rstrip('/')}/.well-known/openid-configuration",
    )


def keys_url(metadata: Mapping[str, object], *, issuer: str) -> str:
    """The `jwks_uri` of an issuer's metadata.

    RFC 8414 §3.3: `issuer` MUST be identical to the one that the URL was made from, else the data MUST NOT be used. A
    document cannot send us to another origin; whoever needs that configures it.

    Raises:
        ValueError: another issuer's metadata, or keys on another origin.
    """
    if metadata.get("issuer") != issuer:
        raise ValueError("the metadata is another issuer's")
    url = metadata.get("jwks_uri")
    if not isinstance(url, str) or origin(url) != origin(issuer):
        raise ValueError("jwks_uri is missing or on another origin than the issuer: configure jwks_url to allow that")
    return url


def lifetime(cache_control: Iterable[str]) -> float:
    """For how many seconds fetched keys are fresh (RFC 9111 §5.2.2), within bounds of our own."""
    shortest, usual, longest = KEYS_LIFETIME
    directives = [part.strip().lower() for line in cache_control for part in line.split(",")]
    if not {"no-store", "no-cache"}.isdisjoint(directives):
        return shortest
    said = [int(found[1]) for found in map(_MAX_AGE.fullmatch, directives) if found]
    return min(max(shortest, min(said, default=usual)), longest)
