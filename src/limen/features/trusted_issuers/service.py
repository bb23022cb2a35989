"""Decides what tokens of other issuers are worth, by keys that are fetched from these and from nowhere else."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from limen.core.admission import Admission, Links, Rights, Users, verified_address
from limen.core.claims import principal_of
from limen.core.clock import Clock
from limen.core.discovery import check_issuer, check_url, keys_url, lifetime, metadata_urls
from limen.core.jwt import Expected, verify
from limen.core.keys import KeyRing
from limen.core.permissions import minimal
from limen.core.principal import Principal
from limen.errors import ConfigurationError, InvalidCredential, UnknownKey
from limen.http.outgoing import DocumentRefused, Outgoing, get
from limen.http.published_keys import PublishedKeys, usable_keys

if TYPE_CHECKING:
    from httpx2 import AsyncClient

_log = logging.getLogger("limen.trusted_issuers")

METADATA_SECONDS = 3600.0
MAX_PROVIDER = 64

Claims = Mapping[str, object]
ClaimRule = str | Callable[[Claims], Iterable[str]]


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """Whose tokens are accepted, and what of them is believed: `TrustedIssuer("https://id.example.com/auth")`.

    Attributes:
        issuer: `iss`, compared exactly; its metadata says where its keys are.
        audience: must be `aud` or among it; the issuer itself by default, as limen's own tokens say.
        algorithms: any of ES256, EdDSA and RS256.
        typ: the header's type; None for issuers that write `JWT` or nothing.
        jwks_url: where the keys are, instead of what the metadata says; the only way to another origin.
        permissions: the claim that holds them, as text or list, or a function of the claims; None for none.
        roles: the same for roles.
        audience_claim: where the audience stands, for issuers that write no `aud` (Cognito: `client_id`).
        requires: other claims, and the one text that each must be (Cognito: `token_use` is `access`).
        untyped: claims to which this issuer gives a form of its own (Supabase's `amr` is a list of objects).
        users: `make` a row for each subject at first sight, or give one only to those who are `known`: linked by
            `auth[TrustedIssuers].link(…)`; None for no rows, so that only principals come in.
        rights: what counts for somebody with a row: what the `token` says, what the `account` holds here, or `both`.
        links: `verified` takes somebody for the account whose address is theirs, if both sides verified it; or `never`.
        values: the app's own columns of a new row, from the verified claims.

    Raises:
        ConfigurationError: an issuer or URL that cannot be fetched from, or an algorithm without public keys.
    """

    issuer: str
    _: KW_ONLY
    audience: str | None = None
    algorithms: Sequence[str] = ("ES256", "EdDSA", "RS256")
    typ: str | None = "at+jwt"
    jwks_url: str | None = None
    permissions: ClaimRule | None = "scope"
    roles: ClaimRule | None = "roles"
    audience_claim: str = "aud"
    requires: Mapping[str, str] = field(default_factory=dict, hash=False)
    untyped: frozenset[str] = frozenset()
    users: Users | None = None
    rights: Rights = "token"
    links: Links = "never"
    values: Callable[[Claims], Mapping[str, object]] | None = None

    def __post_init__(self) -> None:
        check_issuer(self.issuer)
        self.expected(leeway=0)
        if self.jwks_url is not None:
            check_url(self.jwks_url, of="TrustedIssuer(jwks_url=…)")
        if not self.algorithms or not {"ES256", "EdDSA", "RS256"}.issuperset(self.algorithms):
            raise ConfigurationError(
                f"TrustedIssuer(algorithms={self.algorithms!r}): give a list of ES256, EdDSA and RS256; a token of "
                "another issuer is never verified with a shared secret"
            )
        if self.users not in (None, "make", "known") or self.rights not in ("token", "account", "both"):
            raise ConfigurationError("TrustedIssuer(…): users is make or known, rights are token, account or both")
        if self.users is None and (self.rights, self.links, self.values) != ("token", "never", None):
            raise ConfigurationError(
                'TrustedIssuer(rights=…, links=…, values=…): without users="make" there are no rows'
            )

    @property
    def keys_from(self) -> str:
        """The URL on whose word the keys are believed."""
        return self.jwks_url or self.issuer

    @property
    def admission(self) -> Admission | None:
        """How its people get a row here, if they do."""
        if self.users is None:
            return None
        return Admission(
            provider=(urlsplit(self.issuer).hostname or self.issuer)[:MAX_PROVIDER],
            users=self.users,
            rights=self.rights,
            links=self.links,
            address=verified_address,
            values=self.values,
        )

    def expected(self, *, leeway: int) -> Expected:
        """What its tokens must say."""
        audience = self.issuer if self.audience is None else self.audience
        return Expected(
            issuer=self.issuer,
            audience=audience,
            typ=self.typ,
            leeway=leeway,
            audience_claim=self.audience_claim,
            requires=tuple(self.requires.items()),
            untyped=self.untyped,
        )


class IssuerTokens:
    """Verifies the tokens of one issuer; no I/O as long as its keys are known."""

    def __init__(self, trusted: TrustedIssuer, *, clock: Clock, leeway: int) -> None:
        self.issuer = trusted.issuer
        self.admission = trusted.admission
        self.keys = PublishedKeys(IssuerDocuments(trusted, clock=clock), clock=clock)
        self._trusted = trusted
        self._expected = trusted.expected(leeway=leeway)
        self._clock = clock

    async def prove(self, token: str) -> Principal:
        """Who a token proves.

        Raises:
            InvalidCredential: nobody.
            Unavailable: the issuer's keys are not known and it cannot be reached.
        """
        await self.keys.keep_up()
        try:
            return self._prove(token)
        except UnknownKey:
            if not await self.keys.look_again():
                raise
        return self._prove(token)

    def _prove(self, token: str) -> Principal:
        claims = verify(token, keys=self.keys.ring, expected=self._expected, now=self._clock.time())
        return replace(
            principal_of(claims),
            permissions=minimal(_said(claims, self._trusted.permissions)),
            roles=_said(claims, self._trusted.roles),
        )


class IssuerDocuments:
    """Fetches the keys of one issuer from where the operator or the issuer's own metadata says."""

    def __init__(self, trusted: TrustedIssuer, *, clock: Clock) -> None:
        self.issuer = trusted.issuer
        self._configured = trusted.jwks_url
        self._algorithms = frozenset(trusted.algorithms)
        self._clock = clock
        self._found: tuple[str, float] = ("", -inf)
        self._outgoing = Outgoing()

    async def fetch(self) -> tuple[KeyRing, float]:
        async with self._outgoing.open("application/jwk-set+json, application/json") as client:
            found, self._found = self._found, ("", -inf)  # where a fetch fails, the next one asks the metadata anew
            if self._clock.monotonic() >= found[1]:
                found = await self._locate(client), self._clock.monotonic() + METADATA_SECONDS
            answer = await get(client, found[0])
        ring = usable_keys(answer.document(), algorithms=self._algorithms)
        self._found = found
        return ring, lifetime(answer.cache_control)

    async def _locate(self, client: "AsyncClient") -> str:
        if self._configured is not None:
            return self._configured
        refusals: list[str] = []
        for url in metadata_urls(self.issuer):
            try:
                return keys_url((await get(client, url)).document(), issuer=self.issuer)
            except (DocumentRefused, ValueError) as error:
                refusals.append(f"{url}: {error}")
        raise DocumentRefused("; ".join(refusals))


def _said(claims: Claims, rule: ClaimRule | None) -> frozenset[str]:
    if rule is None:
        return frozenset()
    try:
        said: object = claims.get(rule) if isinstance(rule, str) else rule(claims)
    except Exception:
        _log.exception("a function of the claims failed")
        raise InvalidCredential("the claims cannot be read by the app's own function") from None
    words = said.split() if isinstance(said, str) else said
    return frozenset(word for word in words if isinstance(word, str)) if isinstance(words, Iterable) else frozenset()
