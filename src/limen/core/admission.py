"""Which people of another issuer have a row here, and what that row is worth."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, TypeAlias, TypeGuard

from limen.core.identity import Identity, canonical_email
from limen.core.permissions import minimal
from limen.core.principal import Principal
from limen.core.rights import Carried

Claims: TypeAlias = Mapping[str, object]
Users: TypeAlias = Literal["make", "known"]
Rights: TypeAlias = Literal["token", "account", "both"]
Links: TypeAlias = Literal["never", "verified"]

PLACEHOLDER_DOMAIN = "identity.invalid"
"""RFC 2606 §2: no mail ever goes to `.invalid`, and nobody can prove to have such an address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """What an issuer says of somebody's e-mail address.

    Attributes:
        is_verified: whether it vouches for it.
    """

    email: str = field(repr=False)
    is_verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """How one issuer's people are let in.

    Attributes:
        provider: the name by which the app knows the issuer, for display.
        users: `make` a row at first sight, or let only those have one who are `known`: linked already.
        rights: what counts: what the `token` says, what the `account` holds here, or `both`.
        links: whether somebody may be taken for an account that is here already: `never`, or when both sides
            `verified` the address.
        address: reads the address out of verified claims; None where they say none that may be used.
        values: the app's own columns of a new row, from verified claims.
    """

    provider: str
    users: Users
    rights: Rights
    links: Links = "never"
    address: Callable[[Claims], Address | None]
    values: Callable[[Claims], Mapping[str, object]] | None = None


def verified_address(claims: Claims) -> Address | None:
    """The address (OpenID Connect Core §5.1) if the issuer vouches for it; `email_verified` as text is no vouching."""
    email = claims.get("email")
    is_verified = claims.get("email_verified") is True
    return Address(email=email, is_verified=True) if is_verified and is_address(email) else None


def is_address(value: object) -> TypeGuard[str]:
    """Whether this can be an account's e-mail address."""
    return isinstance(value, str) and canonical_email(value) is not None


def placeholder_of(issuer: str, subject: str) -> str:
    """The address of an account that has none: always the same for one identity."""
    return f"{sha256(f'{issuer} {subject}'.encode()).hexdigest()[:32]}@{PLACEHOLDER_DOMAIN}"


def shown(email: str, *, issuer: str, subject: str) -> Identity:
    """An address that nobody vouches for, as the name of the identity's account: to be seen, not to be had.

    The placeholder is what decides who is who, so the address stays free for whoever reads its mail.
    """
    return Identity(email, placeholder_of(issuer, subject))


def is_placeholder(email: str) -> bool:
    """Whether this is such an address, which nobody reads."""
    return email.endswith(f"@{PLACEHOLDER_DOMAIN}")


def rights_of(principal: Principal, carried: Carried, *, rights: Rights) -> Carried:
    """What a principal carries whose row carries this."""
    if rights == "account":
        return carried
    if rights == "token":
        return Carried(permissions=principal.permissions, roles=principal.roles)
    return Carried(
        permissions=minimal(_union(principal.permissions, carried.permissions)),
        roles=_union(principal.roles, carried.roles),
    )


def _union(*names: Iterable[str]) -> frozenset[str]:
    return frozenset().union(*names)
