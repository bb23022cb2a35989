"""Decides about sign-ins elsewhere: begins and ends them."""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from urllib.parse import urlencode
from uuid import UUID

from limen.core import base64url
from limen.core.client import NOWHERE, Client
from limen.core.login import Completed, Pending, Proof
from limen.core.opaque import digest, matches
from limen.core.return_to import ReturnTo
from limen.core.sealing import SealBroken, Sealer
from limen.db.identities import Identity
from limen.errors import AuthError, InvalidCredential, InvalidGrant, InvalidRequest, NotFound
from limen.events import LoginFailed
from limen.features.oauth_login.providers.provider import Person
from limen.features.oauth_login.providers.recognition import Recognition
from limen.features.oauth_login.providers.upstream import Upstream
from limen.features.oauth_login.providers.vault import ProviderToken, TokenVault
from limen.features.oauth_login.steps import (
    CHECKS,
    STATE,
    STATE_LIFETIME,
    Begun,
    Callback,
    check_nonce,
    check_parties,
    person_of,
)
from limen.kernel import Kernel

CODE = "oauth_code"
CODE_LIFETIME = timedelta(seconds=60)
ID_TOKEN = "oauth_id_token"  # noqa: S105 - a kind of secret

AMR: tuple[str, ...] = ()
"""RFC 8176 registers no word for "somebody else vouches", and how the person proved it there is not ours to repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """Where to send the browser, and what it alone shall keep.

    Attributes:
        url: the provider's, with everything that it must know.
        tag: names the cookie, so that several tabs can begin at once.
        binding: the cookie's value.
    """

    url: str = field(repr=False)
    tag: str
    binding: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Where the browser goes when it is done.

    Attributes:
        outcome: the session in a cookie, or the step that waits; None for a link or when a code is handed out.
        code: to be exchanged for tokens within a minute, by whoever has `binding`.
    """

    return_to: str
    outcome: Pending | Completed | None = None
    code: str | None = field(default=None, repr=False)
    binding: str | None = field(default=None, repr=False)


class OAuthLoginService:
    """Signs people in, up and together by accounts that they have elsewhere."""

    kernel: Kernel
    sealer: Sealer
    recognition: Recognition
    vault: TokenVault
    places: ReturnTo
    error_page: str
    upstreams: Mapping[str, Upstream]
    keeps_tokens: bool

    # --- begin and end

    async def begin(
        self,
        provider: str,
        *,
        return_to: str = "/",
        deliver: str = "cookie",
        subject: str | None = None,
        session_id: str | None = None,
        client: Client = NOWHERE,
    ) -> Beginning:
        """Save what the callback will need and say where to send the browser.

        Args:
            subject, session_id: link the identity to this user, as long as this session of theirs lives.

        Raises:
            NotFound: no such provider.
            InvalidRequest: `return_to` is not one of the app's places.
            ProviderUnavailable: it does not say where to go.
        """
        upstream = self.upstream(provider)
        place = self.places.check(return_to)
        await self.kernel.limits.take("oauth_begin", client=client)
        endpoints = await upstream.endpoints()
        binding = token_urlsafe(32)
        begun = Begun(
            provider=provider,
            binding=digest(binding).hex(),
            verifier=token_urlsafe(48),
            nonce=token_urlsafe(32),
            return_to=place,
            deliver=deliver,
            at=self.kernel.clock.time(),
            subject=subject,
            session_id=session_id,
        )
        state = await self._save(begun)
        url = endpoints.authorization + ("&" if "?" in endpoints.authorization else "?")
        return Beginning(url=url + urlencode(self._asked(begun, state)), tag=tag_of(state), binding=binding)

    async def finish(
        self,
        provider: str,
        parameters: Mapping[str, str],
        *,
        binding: str | None,
        name: str | None = None,
        client: Client = NOWHERE,
    ) -> Ending:
        """What becomes of a browser that comes back; `CHECKS` are what decides.

        Args:
            binding: the cookie that `tag_of(state)` names.
            name: of the person, where only the redirect says it.

        Raises:
            AuthError: the sign-in is refused, or something is down.
        """
        callback = Callback(
            upstream=self.upstream(provider), parameters=parameters, binding=binding, client=client, name=name
        )
        await self.kernel.limits.take("oauth_callback", client=client)
        try:
            for check in CHECKS:
                callback = await check(callback, self)
            return await self._end(callback)
        except AuthError as error:
            await self._report(provider, error, client)
            raise

    async def exchange(self, code: str, *, binding: str | None, client: Client = NOWHERE) -> Pending | Completed:
        """Tokens for the code that a callback handed out, once.

        Args:
            binding: what the browser has, if it is one that must.

        Raises:
            InvalidGrant: unknown, used, expired, another browser's, or the identity is not the user's any more.
        """
        await self.kernel.limits.take("oauth_exchange", client=client)
        found = await self.kernel.one_time.consume(CODE, code)
        if found is None:
            raise InvalidGrant("no sign-in waits behind this code")
        saved = found.payload
        if binding is not None and not matches(binding, bytes.fromhex(str(saved["binding"]))):
            raise InvalidGrant("the code is another browser's")
        identity = await self.kernel.identities.find(str(saved["issuer"]), str(saved["subject"]))
        if identity is None or str(identity.user_id) != saved["user"]:
            raise InvalidGrant("the identity is not this user's any more")
        return await self.kernel.login.complete(Proof(subject=str(saved["user"]), amr=AMR), client)

    async def sign_in_with_id_token(
        self,
        provider: str,
        id_token: str,
        *,
        nonce: str | None = None,
        deliver: str = "token",
        client: Client = NOWHERE,
    ) -> Pending | Completed:
        """Sign in by a token that the provider gave to the app's own page or phone app (One Tap, native SDKs).

        Args:
            nonce: what the app let the provider put into it; its SHA-256 in hex there is as good (Apple's SDKs).

        Raises:
            InvalidCredential: not genuine, for somebody else, used before, or of another nonce.
            InvalidRequest: this provider gives none.
            AuthError: as `finish`.
        """
        upstream = self.upstream(provider)
        await self.kernel.limits.take("oauth_id_token", client=client)
        try:
            person = await self._person_in(upstream, id_token, nonce)
            arrival = await self.recognition.recognise(provider, person, client=client)
            return await self.kernel.login.complete(Proof(subject=arrival.subject, amr=AMR, deliver=deliver), client)
        except AuthError as error:
            await self._report(provider, error, client)
            raise

    # --- the accounts elsewhere

    async def identities_of(self, subject: str) -> Sequence[Identity]:
        """The accounts elsewhere that let this user in; not those of other features, or of a provider that is gone."""
        user_id = self.kernel.users.parse_key(subject)
        found = () if user_id is None else await self.kernel.identities.list_of(user_id)
        return tuple(each for each in found if self.is_offered(each.issuer))

    async def unlink(self, subject: str, identity_id: UUID, *, client: Client = NOWHERE) -> None:
        """Let an account elsewhere let this user in no more.

        Raises:
            NotFound: it is not theirs.
            LastCredential: nothing else would.
        """
        await self.recognition.unlink(subject, identity_id, is_offered=self.is_offered, client=client)

    async def readmit(self, *, issuer: str, subject: str) -> bool:
        """Let an account elsewhere whose account here was deleted have a new one; False if there was no such."""
        return await self.kernel.identities.readmit(issuer, subject)

    # --- what a provider lets the app do

    async def token(self, user: object, provider: str) -> ProviderToken:
        """A token for the provider's API in this user's name, refreshed if it is about to end, by one at a time.

        Args:
            user: a row of the app's class, an `Account`, the key or its text.

        Raises:
            NotFound: the user has no account there, or it gave no token.
            InvalidGrant: the token ended and the provider gives no other: the person must sign in there again.
            ProviderUnavailable: it cannot be asked.
        """
        identity = await self._identity_of(user, provider)
        return await self.vault.token(identity.id, self.upstream(provider))

    # --- what the steps ask for

    @property
    def leeway(self) -> int:
        """Seconds by which two clocks may differ."""
        return self.kernel.settings.clock_leeway_seconds

    def upstream(self, provider: str) -> Upstream:
        """The provider of this name.

        Raises:
            NotFound: there is none.
        """
        found = self.upstreams.get(provider)
        if found is None:
            raise NotFound("no such provider", provider=provider)
        return found

    def is_offered(self, issuer: str) -> bool:
        """Whether somebody with an account at this issuer can sign in by it now."""
        return any(upstream.vouches_as(issuer) for upstream in self.upstreams.values())

    def redirect_uri(self, provider: str) -> str:
        """Where the provider sends people back: by the configured base URL, whatever the request says."""
        base = self.kernel.settings.base_url.rstrip("/")
        return f"{base}{self.kernel.auth_prefix}/oauth/{provider}/callback"

    def sealed_name(self, name: str | None, *, state: str) -> str | None:
        """A person's name, to travel through the browser without being read there or moved to another sign-in."""
        return None if name is None else base64url.encode(self.sealer.seal(name.encode(), bound_to=f"name {state}"))

    def opened_name(self, sealed: str | None, *, state: str) -> str | None:
        """The name that was sealed for this sign-in."""
        if sealed is None:
            return None
        try:
            return self.sealer.unseal(base64url.decode(sealed), bound_to=f"name {state}").decode()
        except (SealBroken, ValueError):
            return None

    async def recall(self, state: str) -> Begun | None:
        """What was saved under this `state`, to the first who asks in time."""
        found = await self.kernel.one_time.consume(STATE, state)
        if found is None:
            return None
        saved = dict(found.payload)
        try:
            opened = self.sealer.unseal(b64decode(str(saved.pop("sealed"))), bound_to=str(saved["binding"]))
        except SealBroken:  # the root secret was replaced meanwhile
            return None
        return Begun(**{**saved, **json.loads(opened)})

    # --- inside

    async def _save(self, begun: Begun) -> str:
        saved = asdict(begun)
        hidden = json.dumps({name: saved.pop(name) for name in ("verifier", "nonce")}).encode()
        saved["sealed"] = b64encode(self.sealer.seal(hidden, bound_to=begun.binding)).decode()
        return await self.kernel.one_time.issue(STATE, subject=None, payload=saved, lifetime=STATE_LIFETIME)

    def _asked(self, begun: Begun, state: str) -> Mapping[str, str]:
        """The authorization request (RFC 6749 §4.1.1, RFC 7636 §4.3, OpenID Connect Core §3.1.2.1)."""
        provider = self.upstream(begun.provider).provider
        challenge = base64url.encode(sha256(begun.verifier.encode()).digest())
        pkce = {"code_challenge": challenge, "code_challenge_method": "S256"} if provider.takes_pkce else {}
        nonce = {"nonce": begun.nonce} if provider.profile is None and provider.echoes_nonce else {}
        return {
            **provider.parameters,
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": self.redirect_uri(begun.provider),
            "scope": " ".join(provider.scopes),
            "state": state,
            **nonce,
            **pkce,
        }

    async def _end(self, callback: Callback) -> Ending:
        begun, arrival, person, tokens = callback.begun, callback.arrival, callback.person, callback.tokens
        assert begun is not None, "the checks have run"
        assert arrival is not None, "the checks have run"
        assert person is not None, "the checks have run"
        assert tokens is not None, "the checks have run"
        if self.keeps_tokens:
            await self.vault.keep(arrival.identity_id, tokens)
        if begun.subject is not None:
            return Ending(return_to=begun.return_to)
        if begun.deliver == "cookie":
            proof = Proof(subject=arrival.subject, amr=AMR, deliver="cookie")
            return Ending(return_to=begun.return_to, outcome=await self.kernel.login.complete(proof, callback.client))
        binding = token_urlsafe(32)
        payload = {
            "user": arrival.subject,
            "issuer": person.issuer,
            "subject": person.subject,
            "binding": digest(binding).hex(),
        }
        code = await self.kernel.one_time.issue(CODE, subject=None, payload=payload, lifetime=CODE_LIFETIME)
        return Ending(return_to=begun.return_to, code=code, binding=binding)

    async def _person_in(self, upstream: Upstream, id_token: str, nonce: str | None) -> Person:
        provider = upstream.provider
        if (await upstream.endpoints()).keys is None:
            raise InvalidRequest("this provider gives no id_token", provider=provider.name)
        audiences = frozenset({provider.client_id, *provider.audiences})
        claims = await upstream.claims(id_token, audiences=audiences)
        check_parties(claims, audiences)
        if nonce is not None:
            hashed = sha256(nonce.encode()).hexdigest()
            check_nonce(claims, hashed if claims.get("nonce") == hashed else nonce)
        elif "nonce" in claims:
            raise InvalidCredential("the token is of a nonce that was not brought along", provider=provider.name)
        until = datetime.fromtimestamp(float(str(claims["exp"])), self.kernel.clock.now().tzinfo)
        signed = id_token.rpartition(".")[0]  # without the signature, of which ECDSA lets anybody make a second one
        if not await self.kernel.one_time.spend(ID_TOKEN, signed, until=until + timedelta(seconds=self.leeway)):
            raise InvalidCredential("the token was used before", provider=provider.name)
        return person_of(claims, provider)

    async def _report(self, provider: str, error: AuthError, client: Client) -> None:
        now = self.kernel.clock.now()
        await self.kernel.events.publish(
            LoginFailed(at=now, client=client, reason=f"{error.code}: {error.reason}", identifier=provider)
        )

    async def _identity_of(self, user: object, provider: str) -> Identity:
        user_id = self.kernel.users.key_of(user)
        found = [] if user_id is None else await self.kernel.identities.list_of(user_id)
        theirs = [each for each in found if each.provider == provider]
        if not theirs:
            raise NotFound("the user has no account there", provider=provider)
        return max(theirs, key=lambda each: each.last_used_at)


def tag_of(secret: str) -> str:
    """What names the cookie that belongs to a `state` or code; it tells nothing of either."""
    return digest(f"tag {secret}").hex()[:16]
