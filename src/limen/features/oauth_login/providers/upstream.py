"""A provider, asked: its metadata, its keys, its tokens, its API. Whatever it answers is a stranger's document."""

import asyncio
import logging
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256, sha512
from math import inf
from typing import TypeVar
from urllib.parse import quote

from limen.core import base64url
from limen.core.clock import Clock
from limen.core.discovery import lifetime, metadata_urls
from limen.core.jwt import MAX_TOKEN, Expected, sign, verify
from limen.core.keys import KeyRing
from limen.core.strict_json import parse_object
from limen.errors import InvalidCredential, InvalidGrant, ProviderUnavailable, Unavailable, UnknownKey
from limen.features.oauth_login.providers.provider import TENANT, Claims, Endpoints, Provider
from limen.http.outgoing import FETCH_SECONDS, Answer, DocumentRefused, Outgoing
from limen.http.published_keys import RETRY_SECONDS, PublishedKeys, usable_keys

T = TypeVar("T")

_log = logging.getLogger("limen.oauth_login")

METADATA_SECONDS = 3600.0
MINTED_SECRET_SECONDS = 300
MAX_STORED = 16 * 1024  # characters of one provider token
OURS = frozenset(
    {"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}
    | {"incorrect_client_credentials", "redirect_uri_mismatch", "bad_client_secret", "bad_redirect_uri"}
)
"""What a token endpoint says when the fault is in how this app is set up: RFC 6749 §5.2, GitHub's and Slack's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a token endpoint handed out (RFC 6749 §5.1)."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)
    scope: str | None = None
    expires_in: float | None = None


class Upstream:
    """One provider.

    Args:
        outgoing: how it is reached.
        leeway: seconds by which its clock and ours may differ.
    """

    def __init__(self, provider: Provider, *, outgoing: Outgoing, clock: Clock, leeway: int) -> None:
        self.provider = provider
        self.issuer = provider.issuer
        self.keys = PublishedKeys(self, clock=clock)
        self._outgoing = outgoing
        self._clock = clock
        self._leeway = leeway
        self._known: Endpoints | None = provider.endpoints
        self._due_at = inf if provider.endpoints else -inf
        self._looking = asyncio.Lock()

    async def endpoints(self) -> Endpoints:
        """Where it answers; its metadata is asked once an hour, by one at a time, and kept when that fails.

        Raises:
            ProviderUnavailable: it is not known and cannot be asked.
        """
        if self._known is None or self._clock.monotonic() >= self._due_at:
            async with self._looking:
                if self._clock.monotonic() >= self._due_at:
                    await self._look()
        if self._known is None:
            raise ProviderUnavailable("the metadata is not known", provider=self.provider.name)
        return self._known

    async def exchange(self, code: str, *, verifier: str, redirect_uri: str) -> Tokens:
        """The tokens for a code (RFC 6749 §4.1.3, RFC 7636 §4.5).

        Raises:
            InvalidGrant: the provider refuses the code.
            ProviderUnavailable: it cannot be asked, or answers nonsense, or does not know this app.
        """
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        return await self._token({**form, **({"code_verifier": verifier} if self.provider.takes_pkce else {})})

    async def refresh(self, refresh_token: str) -> Tokens:
        """Fresh tokens (RFC 6749 §6).

        Raises:
            InvalidGrant: the provider refuses: the person took the permission back, or it ran out.
            ProviderUnavailable: as above.
        """
        return await self._token({"grant_type": "refresh_token", "refresh_token": refresh_token})

    async def claims(self, id_token: str, *, audiences: frozenset[str]) -> Claims:
        """What a genuine `id_token` for one of these audiences says (OpenID Connect Core §3.1.3.7, 1 to 9).

        Raises:
            InvalidCredential: it is not one.
            ProviderUnavailable: the keys are not known and cannot be asked for.
        """
        endpoints = await self.endpoints()
        said = _peek(id_token)
        issuer = self._issuer_in(said, endpoints)
        audience = next((each for each in _texts(said.get("aud")) if each in audiences), "")
        if not audience:
            raise InvalidCredential("aud is not us", provider=self.provider.name)
        expected = Expected(issuer=issuer, audience=audience, typ="JWT", leeway=self._leeway)
        try:
            await self.keys.keep_up()
            try:
                return verify(id_token, keys=self.keys.ring, expected=expected, now=self._clock.time())
            except UnknownKey:
                if not await self.keys.look_again():
                    raise
            return verify(id_token, keys=self.keys.ring, expected=expected, now=self._clock.time())
        except Unavailable as error:
            raise ProviderUnavailable(error.reason, provider=self.provider.name) from None

    async def ask(self, url: str, access_token: str) -> object:
        """What its API answers for this access token.

        Raises:
            ProviderUnavailable: nothing, or nonsense.
        """
        headers = {"Authorization": f"Bearer {access_token}"}
        return await self._guarded(self._outgoing.get(url, headers=headers), Answer.value)

    async def fetch(self) -> tuple[KeyRing, float]:
        """Its keys, for `PublishedKeys`."""
        url = (await self.endpoints()).keys
        if url is None:
            raise DocumentRefused("it publishes no keys")
        answer = await self._outgoing.get(url)
        return usable_keys(answer.document(), algorithms=self.provider.algorithms), lifetime(answer.cache_control)

    async def stop(self) -> None:
        """End what is under way."""
        await self.keys.stop()

    async def _look(self) -> None:
        try:
            self._known = await self._discovered()
        except Exception as error:  # whatever a network or a stranger's document brings; what is known stays good
            _log.warning("the metadata of %s cannot be fetched: %s: %s", self.issuer, type(error).__name__, error)
            self._due_at = self._clock.monotonic() + RETRY_SECONDS
        else:
            self._due_at = self._clock.monotonic() + METADATA_SECONDS

    async def _discovered(self) -> Endpoints:
        refusals: list[str] = []
        async with asyncio.timeout(FETCH_SECONDS):
            for url in reversed(metadata_urls(self.issuer)):
                try:
                    return self._endpoints_in((await self._outgoing.get(url)).document())
                except (DocumentRefused, ValueError) as error:
                    refusals.append(f"{url}: {error}")
        raise DocumentRefused("; ".join(refusals))

    def _endpoints_in(self, metadata: Mapping[str, object]) -> Endpoints:
        """OpenID Connect Discovery §4.3: `issuer` MUST exactly match the one that the URL was made from."""
        issuer = metadata.get("issuer")
        if not isinstance(issuer, str) or not (issuer == self.issuer or self._is_tenant(issuer)):
            raise DocumentRefused("the metadata is another issuer's")
        urls = {name: metadata.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
        for name, url in urls.items():
            if not self.provider.may_ask(url):
                raise DocumentRefused(f"{name} is missing or on an origin that is not listed: add it to origins")
        userinfo = metadata.get("userinfo_endpoint")
        return Endpoints(
            issuer=issuer,
            authorization=str(urls["authorization_endpoint"]),
            token=str(urls["token_endpoint"]),
            keys=str(urls["jwks_uri"]),
            userinfo=userinfo if isinstance(userinfo, str) and self.provider.may_ask(userinfo) else None,
            names_issuer=metadata.get("authorization_response_iss_parameter_supported") is True,
            client_auth=_texts(metadata.get("token_endpoint_auth_methods_supported")),
        )

    def vouches_as(self, issuer: str) -> bool:
        """Whether this provider's people are known here under this issuer."""
        own, template = self.provider.issuer, self.provider.tenant_issuer
        if template is None or _tenant_of(own, template) is not None:  # one issuer, or one tenant
            return issuer == own
        return _tenant_of(issuer, template) is not None

    def _is_tenant(self, issuer: str) -> bool:
        """Whether it is the template of the tenants' issuers, or one tenant's."""
        template = self.provider.tenant_issuer
        return template is not None and (issuer == template or _tenant_of(issuer, template) is not None)

    def _issuer_in(self, said: Claims, endpoints: Endpoints) -> str:
        """The `iss` that this token must have. A templated one is made from the token's own `tid`, which is verified
        with the rest: the tenant that signs in is the tenant that signed (Microsoft, *Validate the issuer*)."""
        issuer = said.get("iss")
        if not isinstance(issuer, str):
            raise InvalidCredential("iss missing", provider=self.provider.name)
        if TENANT in endpoints.issuer:
            tenant = _tenant_of(issuer, endpoints.issuer)
            if tenant is None or said.get("tid") != tenant:
                raise InvalidCredential("iss is not the tenant's", provider=self.provider.name)
            return issuer
        return issuer if issuer in self.provider.aliases else endpoints.issuer

    async def _token(self, form: Mapping[str, str]) -> Tokens:
        endpoints = await self.endpoints()
        proof, headers = self._client_proof(endpoints)
        return await self._guarded(
            self._outgoing.post(endpoints.token, {**form, **proof}, headers=headers), self._tokens
        )

    def _client_proof(self, endpoints: Endpoints) -> tuple[dict[str, str], dict[str, str]]:
        """RFC 6749 §2.3.1: the client's password, in the header or the form; OpenID Connect's default is the header."""
        provider = self.provider
        secret = provider.client_secret if provider.client_key is None else self._minted_secret()
        if secret is None:
            return {"client_id": provider.client_id}, {}
        listed = endpoints.client_auth
        posts = "client_secret_post" in listed and "client_secret_basic" not in listed
        if (provider.client_auth or ("post" if posts else "basic")) == "post":
            return {"client_id": provider.client_id, "client_secret": secret}, {}
        pair = f"{quote(provider.client_id, safe='')}:{quote(secret, safe='')}"
        return {}, {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}

    def _minted_secret(self) -> str:
        """Apple, *Creating a client secret*: a JWT under the team's key, at most six months old; ours lives minutes."""
        key, now = self.provider.client_key, int(self._clock.time())
        assert key is not None, "asked for a key"
        claims = {"iss": key.team_id, "iat": now, "exp": now + MINTED_SECRET_SECONDS, "aud": self.issuer}
        return sign({**claims, "sub": self.provider.client_id}, key=key.key, typ="JWT")

    def _tokens(self, answer: Answer) -> Tokens:
        """RFC 6749 §5.1 and §5.2; some (GitHub, Slack) say `error` with a 200."""
        if answer.status >= 500 or answer.status == 429:
            raise DocumentRefused(f"answered {answer.status}")
        members = parse_object(answer.body)
        error = members.get("error")
        if answer.status != 200 or error is not None:
            if error in OURS or answer.status not in (200, 400, 401):
                raise DocumentRefused(f"answered {answer.status} {str(error)[:100]!a}: check the client id and secret")
            raise InvalidGrant("the provider refuses the grant", provider=self.provider.name)
        kind = members.get("token_type", "bearer")
        token = _token_or_none(members.get("access_token"))
        if token is None or not isinstance(kind, str) or kind.lower() != "bearer":
            raise DocumentRefused("no bearer token")
        lasts = members.get("expires_in")
        return Tokens(
            access_token=token,
            refresh_token=_token_or_none(members.get("refresh_token")),
            id_token=_token_or_none(members.get("id_token")),
            scope=_token_or_none(members.get("scope")),
            expires_in=float(lasts) if isinstance(lasts, int | float) and 0 < lasts < 10**9 else None,
        )

    async def _guarded(self, asked: Awaitable[Answer], read: Callable[[Answer], T]) -> T:
        try:
            return read(await asked)
        except InvalidGrant:
            raise
        except Exception as error:  # whatever a network or a stranger's document brings
            reason = f"{type(error).__name__}: {error}"[:500]
        _log.warning("%s: %s", self.provider.name, reason)
        raise ProviderUnavailable(reason, provider=self.provider.name)


def at_hash_of(access_token: str, id_token: str) -> str:
    """OpenID Connect Core §3.1.3.6: the left half of the hash that the `alg` of the `id_token` names, base64url."""
    header = parse_object(base64url.decode(id_token.partition(".")[0]))
    digest = (sha512 if header.get("alg") == "EdDSA" else sha256)(access_token.encode()).digest()
    return base64url.encode(digest[: len(digest) // 2])


def _peek(token: str) -> Claims:
    """What a token says before anything is verified: to choose what it is compared with, and for nothing else."""
    if len(token) > MAX_TOKEN or token.count(".") != 2:
        raise InvalidCredential("not a token by its form")
    try:
        return parse_object(base64url.decode(token.split(".")[1]))
    except ValueError as error:
        reason = str(error)
    raise InvalidCredential(f"token unreadable: {reason}")


def _tenant_of(issuer: str, template: str) -> str | None:
    """The tenant's id in an issuer of this form."""
    before, _, after = template.partition(TENANT)
    tenant = issuer.removeprefix(before).removesuffix(after)
    is_one = re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", tenant) is not None
    return tenant if is_one and issuer == before + tenant + after else None


def _texts(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(each for each in values if isinstance(each, str))


def _token_or_none(value: object) -> str | None:
    """RFC 6749 appendix A.12: printable ASCII."""
    is_one = isinstance(value, str) and 0 < len(value) <= MAX_STORED and value.isascii() and value.isprintable()
    return str(value) if is_one else None
