"""What happens when a browser comes back from a provider: named checks, in this order, each with the MUST it keeps.

    check_state → check_issuer → exchange_code → verify_id_token → resolve_account → the sign-in pipeline

Each takes what the one before found out and hands on what it finds out itself.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, cast

from limen.core.client import Client
from limen.core.opaque import digest
from limen.errors import (
    AccessDenied,
    InvalidCredential,
    InvalidGrant,
    InvalidState,
    ProviderUnavailable,
)
from limen.features.oauth_login.providers.profiles import name_of, text_or_none
from limen.features.oauth_login.providers.provider import Claims, Person, Provider
from limen.features.oauth_login.providers.recognition import Arrival
from limen.features.oauth_login.providers.upstream import Tokens, Upstream, at_hash_of

if TYPE_CHECKING:
    from limen.features.oauth_login.service import OAuthLoginService

STATE = "oauth_state"
STATE_LIFETIME = timedelta(minutes=10)
MAX_CODE = 4096
MAX_EMAIL = 254

_DECLINED = frozenset(
    {"access_denied", "consent_required", "interaction_required", "login_required", "account_selection_required"}
    | {"user_cancelled_login", "user_cancelled_authorize", "user_denied"}  # LinkedIn's and others' own words
)
_TRY_AGAIN = frozenset({"server_error", "temporarily_unavailable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What was saved when the sign-in began, in one record that is found by `state` and used up once.

    Attributes:
        binding: the digest of what only the browser that began it has, in a cookie.
        verifier: whose S256 challenge the provider was sent (RFC 7636 §4.1).
        return_to: where the browser goes in the end.
        deliver: what it gets then: `cookie` or `token`.
        at: seconds since the epoch.
        subject, session_id: whose account another identity is to be linked to, and by which of their sessions.
    """

    provider: str
    binding: str
    verifier: str = field(repr=False)
    nonce: str = field(repr=False)
    return_to: str
    deliver: str
    at: float
    subject: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """What the provider's redirect brought, and what has been found out since.

    Attributes:
        parameters: of the query or form, each once.
        binding: the value of the cookie that belongs to this `state`, if the browser has one.
        name: the person's name, where only the redirect says it (Apple).
    """

    upstream: Upstream
    parameters: Mapping[str, str] = field(repr=False)
    binding: str | None = field(repr=False)
    client: Client
    name: str | None = field(default=None, repr=False)
    begun: Begun | None = None
    tokens: Tokens | None = None
    person: Person | None = None
    arrival: Arrival | None = None

    @property
    def provider(self) -> Provider:
        """The one whose callback this is."""
        return self.upstream.provider


async def check_state(callback: Callback, login: "OAuthLoginService") -> Callback:
    """RFC 6749 §10.12: the client MUST implement CSRF protection for its redirection URI, by a value that binds the
    request to the user agent. RFC 9700 §2.1: it MUST be one-time use. The cookie's value is not in the `state`, so
    whoever learns one has not the other; the record is used up even if the rest does not fit."""
    state = callback.parameters.get("state", "")
    if not state and callback.parameters.get("error") in _DECLINED:  # some forget the state then; nothing hangs on it
        raise AccessDenied("declined, without a state", provider=callback.provider.name)
    if not state or callback.binding is None:
        raise InvalidState("no state, or begun in another browser", provider=callback.provider.name)
    begun = await login.recall(state)
    if begun is None:
        raise InvalidState("unknown, used or expired state", provider=callback.provider.name)
    if not hmac.compare_digest(begun.binding, digest(callback.binding).hex()):
        raise InvalidState("begun in another browser", provider=callback.provider.name)
    if begun.provider != callback.provider.name:
        raise InvalidState("begun for another provider", provider=callback.provider.name)
    return replace(callback, begun=begun)


async def check_issuer(callback: Callback, _: "OAuthLoginService") -> Callback:
    """RFC 9207 §2.4: clients MUST compare `iss` with the issuer that the request was sent to, and reject the response
    if it does not match; if that issuer promises `iss` and it is missing, they MUST reject it too (mix-up)."""
    endpoints = await callback.upstream.endpoints()
    issuer = callback.parameters.get("iss")
    if issuer is None and endpoints.names_issuer:
        raise InvalidState("iss is missing", provider=callback.provider.name)
    if issuer is not None and issuer not in (endpoints.issuer, *callback.provider.aliases):
        raise InvalidState("iss is another issuer", provider=callback.provider.name)
    return callback


async def exchange_code(callback: Callback, login: "OAuthLoginService") -> Callback:
    """RFC 6749 §4.1.2.1: an `error` ends it. §4.1.3: `redirect_uri` MUST be identical in both requests; RFC 7636 §4.5:
    the verifier goes along, so that a code that was injected or stolen is worth nothing (RFC 9700 §4.5)."""
    begun, parameters = _begun(callback), callback.parameters
    error = parameters.get("error")
    if error in _TRY_AGAIN:
        raise ProviderUnavailable("the provider asks to try again", provider=begun.provider)
    if error is not None:
        declined = error in _DECLINED
        raise AccessDenied("declined") if declined else InvalidGrant("refused by the provider", error=error[:100])
    code = parameters.get("code", "")
    if not 0 < len(code) <= MAX_CODE:
        raise InvalidGrant("no code", provider=begun.provider)
    redirect_uri = login.redirect_uri(begun.provider)
    tokens = await callback.upstream.exchange(code, verifier=begun.verifier, redirect_uri=redirect_uri)
    return replace(callback, tokens=tokens)


async def verify_id_token(callback: Callback, login: "OAuthLoginService") -> Callback:
    """OpenID Connect Core §3.1.3.7: clients MUST validate the `id_token`; each check says which. Where there is none
    the provider's API says who came, asked with the token that the code was exchanged for."""
    begun, tokens, upstream = _begun(callback), callback.tokens, callback.upstream
    assert tokens is not None, "exchange_code came before"
    ask = partial(_ask, upstream, tokens.access_token)
    if callback.provider.profile is not None:
        return replace(callback, person=await _guarded(callback.provider.profile(ask), callback.provider))
    if tokens.id_token is None:
        raise InvalidCredential("no id_token", provider=begun.provider)
    audiences = frozenset({callback.provider.client_id})
    claims = await upstream.claims(tokens.id_token, audiences=audiences)
    check_parties(claims, audiences)
    if callback.provider.echoes_nonce:
        check_nonce(claims, begun.nonce)
    check_issued_at(claims, begun.at, leeway=login.leeway)
    check_access_token(claims, tokens)
    if "email" not in claims:
        claims = {**claims, **await _userinfo(callback, claims, tokens)}
    person = person_of(claims, callback.provider)
    return replace(callback, person=replace(person, name=person.name or callback.name))


async def resolve_account(callback: Callback, login: "OAuthLoginService") -> Callback:
    """OpenID Connect Core §5.7: `iss` and `sub` together are the only claims that a client can rely upon as a stable
    identifier; all other claims carry no such guarantee, and so the address only ever finds an account that both
    sides proved."""
    begun, person = _begun(callback), callback.person
    assert person is not None, "verify_id_token came before"
    if begun.subject is not None:
        arrival = await login.recognition.link(
            begun.provider, person, subject=begun.subject, session_id=begun.session_id, client=callback.client
        )
    else:
        arrival = await login.recognition.recognise(begun.provider, person, client=callback.client)
    return replace(callback, arrival=arrival)


Check = Callable[[Callback, "OAuthLoginService"], Awaitable[Callback]]
CHECKS: tuple[Check, ...] = (check_state, check_issuer, exchange_code, verify_id_token, resolve_account)


# --- what an id_token must say beside what every token must ----------------------------------------------------------


def check_parties(claims: Claims, audiences: frozenset[str]) -> None:
    """Core §3.1.3.7, 3: the token MUST be rejected if it has audiences that the client does not trust. 4 and 5: where
    `azp` is present, or there are several audiences, it SHOULD be this client."""
    audience = claims.get("aud")
    listed = audience if isinstance(audience, list) else [audience]
    party = claims.get("azp")
    if not audiences.issuperset(cast("list[str]", listed)):
        raise InvalidCredential("aud has somebody whom we do not trust")
    is_us = isinstance(party, str) and party in audiences
    if (party is not None or len(listed) > 1) and not is_us:
        raise InvalidCredential("azp is not us")


def check_nonce(claims: Claims, nonce: str) -> None:
    """Core §3.1.3.7, 11: if a nonce was sent, the claim MUST be present and the same: no token of another sign-in."""
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise InvalidCredential("nonce is another sign-in's")


def check_issued_at(claims: Claims, begun_at: float, *, leeway: int) -> None:
    """Core §3.1.3.7, 10: `iat` can be used to reject tokens that were issued too far away from the current time."""
    issued = claims.get("iat")
    if not isinstance(issued, int | float) or issued < begun_at - STATE_LIFETIME.total_seconds() - leeway:
        raise InvalidCredential("issued long before the sign-in began")


def check_access_token(claims: Claims, tokens: Tokens) -> None:
    """Core §3.1.3.8: where `at_hash` is present, its value MUST match the access token."""
    said = claims.get("at_hash")
    if said is not None and said != at_hash_of(tokens.access_token, tokens.id_token or ""):
        raise InvalidCredential("at_hash is another token's")


def person_of(claims: Claims, provider: Provider) -> Person:
    """Who verified claims are about."""
    issuer, email = str(claims["iss"]), claims.get("email")
    return Person(
        issuer=provider.issuer if issuer in provider.aliases else issuer,
        subject=str(claims["sub"]),
        email=email if isinstance(email, str) and len(email) <= MAX_EMAIL else None,
        email_verified=provider.email_verified(claims),
        name=name_of(claims) or text_or_none(claims.get("preferred_username")),
    )


async def _userinfo(callback: Callback, claims: Claims, tokens: Tokens) -> Claims:
    """Core §5.3.2: the `sub` MUST be verified to exactly match the one in the `id_token`; else it MUST NOT be used."""
    url = (await callback.upstream.endpoints()).userinfo
    if url is None:
        return {}
    said = await callback.upstream.ask(url, tokens.access_token)
    if not isinstance(said, dict) or said.get("sub") != claims["sub"]:
        raise InvalidCredential("userinfo is about somebody else", provider=callback.provider.name)
    about_address = ("email", "email_verified", "name", "preferred_username", "hd")
    return {name: said[name] for name in about_address if name in said}


async def _ask(upstream: Upstream, access_token: str, url: str) -> object:
    return await upstream.ask(url, access_token)


async def _guarded(profile: Awaitable[Person], provider: Provider) -> Person:
    try:
        return await profile
    except ProviderUnavailable:
        raise
    except Exception as error:  # a stranger's document
        reason = f"{type(error).__name__}: {error}"[:200]
    raise ProviderUnavailable(reason, provider=provider.name)


def _begun(callback: Callback) -> Begun:
    assert callback.begun is not None, "check_state came first"
    return callback.begun
