"""What is known of a provider before anything is asked of it: data, and the small functions that its quirks need."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from limen.core.discovery import check_url, is_exposed, origin
from limen.core.keys import SigningKey
from limen.errors import ConfigurationError

Claims: TypeAlias = Mapping[str, object]
ClientAuth: TypeAlias = Literal["basic", "post"]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_NOTHING: Mapping[str, str] = MappingProxyType({})
TENANT = "{tenantid}"
MAX_NAME = 200  # characters of a person's name that are believed


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who somebody is at a provider, as the provider proved it.

    Attributes:
        issuer, subject: the identity; nothing else decides whose it is.
        email: what the provider calls their address, if it names one.
        email_verified: whether the provider vouches that they read mail there now.
        name: for display, if the provider names it.
    """

    issuer: str
    subject: str
    email: str | None = field(default=None, repr=False)
    email_verified: bool = False
    name: str | None = field(default=None, repr=False)


Ask: TypeAlias = Callable[[str], Awaitable[object]]
"""Asks a URL of the provider's API with the person's access token; the JSON that it answers."""

Profile: TypeAlias = Callable[[Ask], Awaitable[Person]]
"""How a provider without OpenID Connect says who came."""

EmailVerified: TypeAlias = Callable[[Claims], bool]


def said_verified(claims: Claims) -> bool:
    """OpenID Connect Core §5.1: `email_verified` is a JSON boolean. The text "true" is not true."""
    return claims.get("email_verified") is True


def never_verified(_: Claims) -> bool:
    """For providers whose address may be whatever an administrator typed."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where a provider answers.

    Attributes:
        issuer: what its metadata calls it, which for tenants is a template.
        names_issuer: whether it promises `iss` in every authorization response (RFC 9207 §3).
        client_auth: the methods that its token endpoint takes, if it says.
    """

    issuer: str
    authorization: str
    token: str
    userinfo: str | None = None
    keys: str | None = None
    names_issuer: bool = False
    client_auth: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKey:
    """What client secrets are minted from, for providers that take a signed one (Apple).

    Attributes:
        team_id: the `iss` of the secret.
        key: an ES256 key whose `kid` the provider gave.
    """

    team_id: str
    key: SigningKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider as this app knows it; by itself, any that speaks OpenID Connect.

    Attributes:
        name: the word in the routes and settings.
        issuer: `iss`, compared exactly; its metadata says where the rest is, unless `endpoints` do.
        client_id, client_secret: what the provider calls this app; no secret for a public client.
        client_key: instead of a secret.
        scopes: what is asked for.
        audiences: further client ids of the same app, whose tokens a phone or One Tap may bring.
        origins: other origins that its metadata may send us to.
        parameters: what else its authorization endpoint is told.
        aliases: other spellings of its `iss`.
        tenant_issuer: `iss` of its tenants, with `{tenantid}` where each has its own id.
        endpoints: instead of metadata.
        profile: asks its API who came, where there is no `id_token`.
        email_verified: whether its claims vouch for the address.
        client_auth: how it wants the secret; by its metadata where None.
        echoes_nonce, takes_pkce: False for those that know no better.

    Raises:
        ConfigurationError: a name or URL that cannot be one.
    """

    name: str
    issuer: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    client_key: ClientKey | None = field(default=None, repr=False)
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    audiences: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    aliases: tuple[str, ...] = ()
    tenant_issuer: str | None = None
    endpoints: Endpoints | None = None
    profile: Profile | None = None
    email_verified: EmailVerified = said_verified
    client_auth: ClientAuth | None = None
    algorithms: frozenset[str] = frozenset({"ES256", "EdDSA", "RS256"})
    echoes_nonce: bool = True
    takes_pkce: bool = True

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise ConfigurationError(f"A provider's name is 1 to 32 of a-z 0-9 _ -, not {self.name!a}")
        for url in (self.issuer, *self.origins):
            check_url(url, of=f"The provider {self.name}")
        if is_exposed(self.issuer):
            raise ConfigurationError(
                f"The provider {self.name}: {self.issuer} is plain http to another machine, where anybody on the way "
                "could sign in as anybody; use https"
            )
        if not self.client_id:
            raise ConfigurationError(f"The provider {self.name} has no client id")

    @property
    def is_on_loopback(self) -> bool:
        """Whether it is a program on this machine: for development."""
        return origin(self.issuer)[0] == "http"

    def may_ask(self, url: object) -> bool:
        """Whether its metadata may send us to this URL: on its own origin, or on one that is listed."""
        try:
            return origin(url) in {origin(each) for each in (self.issuer, *self.origins)}
        except ValueError:
            return False
