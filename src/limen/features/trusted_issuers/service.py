"""Decides what tokens of other issuers are worth, by keys that are fetched from these and from nowhere else."""

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from math import ceil, inf
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from limen.core.admission import Admission, Links, Rights, Users, verified_address
from limen.core.claims import principal_of
from limen.core.clock import Clock
from limen.core.discovery import check_issuer, check_url, keys_url, lifetime, metadata_urls
from limen.core.jwt import Expected, verify
from limen.core.keys import KeyRing, Keys
from limen.core.permissions import minimal
from limen.core.principal import Principal
from limen.core.revocations import Revocation, Revoked
from limen.core.strict_json import parse_object
from limen.errors import ConfigurationError, InvalidCredential, Unavailable, UnknownKey

if TYPE_CHECKING:
    from httpx2 import AsyncClient

_log = logging.getLogger("limen.trusted_issuers")

FETCH_SECONDS = 5.0  # for the metadata and the keys together
MAX_DOCUMENT = 64 * 1024
COOLDOWN_SECONDS = 30.0  # between fetches for unknown keys, and after a failed one while there are keys
RETRY_SECONDS = 5.0  # after a failed fetch while there are none
METADATA_SECONDS = 3600.0
MAX_PROVIDER = 64

Claims = Mapping[str, object]
ClaimRule = str | Callable[[Claims], Iterable[str]]


class DocumentRefused(Exception):
    """What an issuer answered is not the document that was asked for."""


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
        self.keys = IssuerKeys(trusted, clock=clock)
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


class IssuerKeys(Keys):
    """The keys of another issuer: fetched when first needed, refreshed on use, kept when that fails."""

    def __init__(self, trusted: TrustedIssuer, *, clock: Clock) -> None:
        super().__init__(KeyRing(None, ()))
        self._source = KeySource(trusted, clock=clock)
        self._clock = clock
        self._due_at = self._may_look_at = -inf
        self._is_failing = False
        self._refused: set[str] = set()
        self._flight: asyncio.Task[None] | None = None

    async def keep_up(self) -> None:
        """Begin a refresh that is due, and wait for it only where no key is known yet.

        Raises:
            Unavailable: no key is known and the issuer cannot be asked.
        """
        if self._clock.monotonic() >= self._due_at:
            self._begin()
        if not self.ring.verifying:
            await self._landed()
        if not self.ring.verifying:
            raise self._unavailable(until=self._due_at)

    async def look_again(self) -> bool:
        if not self._is_flying:
            now = self._clock.monotonic()
            if now < self._may_look_at and not self._is_failing:
                return False
            if now < self._may_look_at:
                raise self._unavailable(until=self._may_look_at)
            self._may_look_at = now + COOLDOWN_SECONDS
            self._begin()
        await self._landed()
        if self._is_failing:
            raise self._unavailable(until=self._may_look_at)
        return True

    def hear(self, revocation: Revocation) -> None:
        """Take in what the issuer says of a key: a refusal at once, the rest at the next use."""
        if revocation.kind is Revoked.KEY:
            self._due_at = -inf
            if revocation.refuses_a_key:
                self._refused.add(revocation.target)
                self._use(self.ring)

    async def start(self) -> None:
        """Begin to fetch; whoever needs the keys waits for them, the start of the app does not."""
        self._begin()

    async def stop(self) -> None:
        """End a fetch that is under way."""
        if self._flight is not None:
            self._flight.cancel()
            await self._landed()

    @property
    def _is_flying(self) -> bool:
        return self._flight is not None and not self._flight.done()

    def _begin(self) -> None:
        """One fetch at a time, however many ask."""
        if not self._is_flying:
            self._flight = asyncio.create_task(self._fetch())

    async def _landed(self) -> None:
        if self._flight is not None:
            await asyncio.wait({self._flight})  # who gives up waiting does not end it for the others

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                ring, fresh_for = await self._source.fetch()
        except Exception as error:  # whatever a network or a stranger's document brings; what is known stays good
            if not self._is_failing:
                _log.warning("the keys of %s cannot be fetched: %s", self._source.issuer, _told(error))
            self._is_failing = True
            self._due_at = self._clock.monotonic() + (COOLDOWN_SECONDS if self.ring.verifying else RETRY_SECONDS)
        else:
            self._is_failing = False
            self._due_at = self._clock.monotonic() + fresh_for
            self._use(ring)

    def _use(self, ring: KeyRing) -> None:
        self._ring = KeyRing(None, tuple(key for key in ring.verifying if key.kid not in self._refused))

    def _unavailable(self, *, until: float) -> Unavailable:
        seconds = max(1, ceil(min(until - self._clock.monotonic(), COOLDOWN_SECONDS)))
        return Unavailable("an issuer's keys cannot be fetched", retry_after=seconds, issuer=self._source.issuer)


class KeySource:
    """Fetches the keys of one issuer from where the operator or the issuer's own metadata says."""

    def __init__(self, trusted: TrustedIssuer, *, clock: Clock) -> None:
        self.issuer = trusted.issuer
        self._configured = trusted.jwks_url
        self._algorithms = frozenset(trusted.algorithms)
        self._clock = clock
        self._found: tuple[str, float] = ("", -inf)
        self._tls: ssl.SSLContext | None = None

    async def fetch(self) -> tuple[KeyRing, float]:
        """The keys, and for how many seconds they are fresh.

        Raises:
            DocumentRefused, ValueError: an answer that is not what was asked for.
            httpx2.HTTPError: no answer.
        """
        if self._tls is None:
            self._tls = await asyncio.to_thread(_trust)
        import httpx2

        headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
        async with httpx2.AsyncClient(verify=self._tls, headers=headers, timeout=FETCH_SECONDS) as client:
            found, self._found = self._found, ("", -inf)  # where a fetch fails, the next one asks the metadata anew
            if self._clock.monotonic() >= found[1]:
                found = await self._locate(client), self._clock.monotonic() + METADATA_SECONDS
            jwks, fresh_for = await _get(client, found[0])
        ring = KeyRing.from_jwks(jwks)
        usable = tuple(key for key in ring.verifying if key.algorithm in self._algorithms)
        if not usable:
            raise DocumentRefused("no key is of an allowed algorithm")
        self._found = found
        return KeyRing(None, usable), fresh_for

    async def _locate(self, client: "AsyncClient") -> str:
        if self._configured is not None:
            return self._configured
        refusals: list[str] = []
        for url in metadata_urls(self.issuer):
            try:
                metadata, _ = await _get(client, url)
                return keys_url(metadata, issuer=self.issuer)
            except (DocumentRefused, ValueError) as error:
                refusals.append(f"{url}: {error}")
        raise DocumentRefused("; ".join(refusals))


async def _get(client: "AsyncClient", url: str) -> tuple[dict[str, object], float]:
    """One document: no redirect is followed, no compression undone, no more read than a document has."""
    async with client.stream("GET", url) as response:
        if response.status_code != 200:
            raise DocumentRefused(f"answered {response.status_code}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise DocumentRefused("compressed, though that was not asked for")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_DOCUMENT:
                raise DocumentRefused("over 64 KB")
        return parse_object(bytes(body)), lifetime(response.headers.get_list("cache-control"))


def _trust() -> ssl.SSLContext:
    """The certificates that are trusted; reading them takes longer than the event loop should wait."""
    from httpx2 import create_ssl_context

    return create_ssl_context()


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]


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
