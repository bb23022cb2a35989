"""Decides about sign-ins elsewhere: begins and ends them, knows whose an identity is, keeps what providers hand out."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from urllib.parse import urlencode
from uuid import UUID
from weakref import WeakValueDictionary

from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core import base64url
from limen.core.client import NOWHERE, Client
from limen.core.identity import Identity as Name
from limen.core.identity import canonical_email
from limen.core.login import Completed, Pending, Proof
from limen.core.opaque import digest, matches, parse_uuid
from limen.core.return_to import ReturnTo
from limen.core.revocations import Revocation, Revoked
from limen.core.sealing import SealBroken, Sealer
from limen.db.accounts import Account
from limen.db.database import UniqueViolation
from limen.db.identities import Identity
from limen.errors import (
    AccessDenied,
    AccountExists,
    AuthError,
    Conflict,
    EmailMissing,
    IdentityTaken,
    InvalidCredential,
    InvalidGrant,
    InvalidRequest,
    InvalidState,
    LastCredential,
    NotFound,
    ProviderUnavailable,
    SignUpClosed,
)
from limen.events import (
    AccountDisowned,
    IdentityLinked,
    IdentityUnlinked,
    LoginFailed,
    Registered,
    SessionsEnded,
)
from limen.feature import Feature
from limen.features.oauth_login.providers.provider import Person
from limen.features.oauth_login.providers.upstream import Tokens, Upstream
from limen.features.oauth_login.steps import (
    CHECKS,
    STATE,
    STATE_LIFETIME,
    Arrival,
    Begun,
    Callback,
    check_nonce,
    check_parties,
    person_of,
)
from limen.features.oauth_login.store import OAuthLoginStore, SealedTokens
from limen.kernel import Kernel

CODE = "oauth_code"
CODE_LIFETIME = timedelta(seconds=60)
ID_TOKEN = "oauth_id_token"  # noqa: S105 - a kind of secret

AMR: tuple[str, ...] = ()
"""RFC 8176 registers no word for "somebody else vouches", and how the person proved it there is not ours to repeat."""

FRESH_ENOUGH = timedelta(seconds=60)  # a provider token that ends within this is refreshed before it is handed out
REFRESH_LASTS = timedelta(seconds=15)  # longer than a provider may take to answer
LOOK_AGAIN_SECONDS = 0.1
TRIES = 3  # of two sign-ups by one identity or address at once, the later looks again

SignUpValues = Callable[[Person], Mapping[str, object]]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderToken:
    """What a provider lets this app do for the person."""

    access_token: str = field(repr=False)
    scope: str | None
    expires_at: datetime | None


class OAuthLoginService:
    """Signs people in, up and together by accounts that they have elsewhere."""

    kernel: Kernel
    store: OAuthLoginStore
    sealer: Sealer
    places: ReturnTo
    error_page: str
    upstreams: Mapping[str, Upstream]
    may_sign_up: bool
    may_link_by_email: bool
    keeps_tokens: bool
    sign_up_values: SignUpValues | None
    _refreshing: WeakValueDictionary[UUID, asyncio.Lock]

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
            arrival = await self.recognise(provider, person, client=client)
            return await self.kernel.login.complete(Proof(subject=arrival.subject, amr=AMR, deliver=deliver), client)
        except AuthError as error:
            await self._report(provider, error, client)
            raise

    # --- whose an identity is

    async def recognise(self, provider: str, person: Person, *, client: Client = NOWHERE) -> Arrival:
        """Whose account the person comes in by: the identity's, one that both sides proved, or a new one.

        Raises:
            AccountExists: somebody has the address, and nothing proves that it is the same person.
            EmailMissing, SignUpClosed: there is no account, and none can or may be made.
            AccessDenied: the account is disabled.
        """
        for _ in range(TRIES):
            known = await self.kernel.identities.find(person.issuer, person.subject)
            try:
                if known is not None:
                    return await self._welcome(known, person)
                arrival = await self._admit(provider, person, client)
            except UniqueViolation:
                continue  # somebody was faster with this identity or address
            if arrival is not None:
                return arrival
        raise Conflict("the account changed while somebody signed in to it", provider=provider)

    async def link(self, begun: Begun, person: Person, *, client: Client = NOWHERE) -> Arrival:
        """Let the identity be the account's whose owner began this.

        Raises:
            InvalidState: the session that it was begun in is over.
            IdentityTaken: it lets somebody else in.
        """
        kernel = self.kernel
        session_id = parse_uuid(begun.session_id or "")
        session = None if session_id is None else await kernel.sessions.find(session_id)
        if session is None or str(session.user_id) != begun.subject or not session.is_live(kernel.clock.now()):
            raise InvalidState("the session that began the link is over", subject=begun.subject)
        known = await kernel.identities.find(person.issuer, person.subject)
        if known is None:
            try:
                async with kernel.database.transaction() as connection:
                    identity_id = await self._link(connection, session.user_id, begun.provider, person)
            except UniqueViolation:
                raise IdentityTaken("linked meanwhile", provider=begun.provider) from None
            await self._tell_linked(session.user_id, begun.provider, client)
            return Arrival(user_id=session.user_id, identity_id=identity_id)
        if known.user_id != session.user_id:
            raise IdentityTaken("the identity is another account's", provider=begun.provider)
        return Arrival(user_id=known.user_id, identity_id=known.id)

    async def identities_of(self, subject: str) -> Sequence[Identity]:
        """The accounts elsewhere that let this user in."""
        user_id = self.kernel.users.parse_key(subject)
        return () if user_id is None else await self.kernel.identities.list_of(user_id)

    async def unlink(self, subject: str, identity_id: UUID, *, client: Client = NOWHERE) -> None:
        """Let an account elsewhere let this user in no more.

        Raises:
            NotFound: it is not theirs.
            LastCredential: nothing else would.
        """
        kernel = self.kernel
        user_id = kernel.users.parse_key(subject)
        async with kernel.database.transaction() as connection:
            if user_id is None or not await self.store.lock_user(connection, user_id):
                raise NotFound("no such user", subject=subject)
            gone = await kernel.identities.unlink(connection, identity_id, user_id=user_id)
            if gone is None:
                raise NotFound("not an identity of this user's", identity=identity_id)
            if not await self._has_way_in(connection, user_id):
                raise LastCredential("nothing else lets this user in", subject=subject)
        now = kernel.clock.now()
        event = IdentityUnlinked(at=now, subject=subject, client=client, provider=gone.provider)
        await kernel.events.publish(event)

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
        lock = self._refreshing.setdefault(identity.id, asyncio.Lock())
        async with lock:
            for _ in range(int(REFRESH_LASTS.total_seconds() / LOOK_AGAIN_SECONDS)):
                kept = await self.store.find(identity.id)
                if kept is None:
                    raise NotFound("no token is kept", provider=provider)
                now = self.kernel.clock.now()
                if kept.expires_at is None or kept.expires_at > now + FRESH_ENOUGH:
                    return self._shown(kept)
                if await self.store.lease(kept, now=now, lasts=REFRESH_LASTS):
                    await self._refresh(kept, self.upstream(provider))
                else:
                    await asyncio.sleep(LOOK_AGAIN_SECONDS)  # another process refreshes it
        raise ProviderUnavailable("the token is being refreshed elsewhere", provider=provider)

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

    def redirect_uri(self, provider: str) -> str:
        """Where the provider sends people back: by the configured base URL, whatever the request says."""
        base = self.kernel.settings.base_url.rstrip("/")
        return f"{base}{self.kernel.auth_prefix}/oauth/{provider}/callback"

    def sealed_name(self, name: str | None, *, state: str) -> str | None:
        """A person's name, to travel through the browser without being read there or moved to another sign-in."""
        return None if name is None else base64url.encode(self.sealer.seal(name.encode(), bound_to=f"name {state}"))

    def opened_name(self, sealed: str | None, *, state: str) -> str | None:
        """The name that was sealed for this sign-in."""
        try:
            return (
                None
                if sealed is None
                else self.sealer.unseal(base64url.decode(sealed), bound_to=f"name {state}").decode()
            )
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
            await self._keep(arrival.identity_id, tokens)
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

    async def _welcome(self, known: Identity, person: Person) -> Arrival:
        account = await self.kernel.users.find(known.user_id)
        if account is None or not account.held.may_sign_in:
            raise AccessDenied("the account is disabled", user=known.user_id)
        await self.kernel.identities.touch(known.id, email=_address(person))
        return Arrival(user_id=known.user_id, identity_id=known.id)

    async def _admit(self, provider: str, person: Person, client: Client) -> Arrival | None:
        """The arrival of somebody whose identity is new here; None where the account changed meanwhile."""
        email = _address(person)
        canonical = None if email is None else canonical_email(email)
        if email is None or canonical is None:
            raise EmailMissing("no address, or none that can be one", provider=provider)
        account = await self.kernel.users.find_by_identifier(canonical)
        if account is None:
            return await self._sign_up(provider, person, Name(email, canonical), client)
        if not (person.email_verified and self.may_link_by_email) or not account.held.may_sign_in:
            raise AccountExists("the address is an account's", provider=provider, user=account.id)
        if account.columns["is_verified"]:
            return await self._join(provider, person, account, canonical, client)
        return await self._claim(provider, person, account, canonical, client)

    async def _sign_up(self, provider: str, person: Person, email: Name, client: Client) -> Arrival:
        if not self.may_sign_up:
            raise SignUpClosed("accounts are not made by this", provider=provider)
        kernel = self.kernel
        own = {} if self.sign_up_values is None else dict(self.sign_up_values(person))
        roles = tuple(sorted(role.name for role in kernel.roles.values() if role.default))
        async with kernel.database.transaction() as connection:
            user_id = await kernel.users.add(
                connection,
                email=email,
                username=None,
                created_at=kernel.clock.now(),
                values={**own, "is_verified": person.email_verified},
            )
            await kernel.rights.grant(connection, user_id, roles=roles)
            identity_id = await self._link(connection, user_id, provider, person)
        await kernel.events.publish(Registered(at=kernel.clock.now(), subject=str(user_id), client=client))
        await self._tell_linked(user_id, provider, client)
        return Arrival(user_id=user_id, identity_id=identity_id)

    async def _join(
        self, provider: str, person: Person, account: Account, canonical: str, client: Client
    ) -> Arrival | None:
        """Both sides proved the address."""
        async with self.kernel.database.transaction() as connection:
            if not await self.store.lock_verified(connection, account.id, canonical=canonical):
                return None
            identity_id = await self._link(connection, account.id, provider, person)
        await self._tell_linked(account.id, provider, client)
        return Arrival(user_id=account.id, identity_id=identity_id)

    async def _claim(
        self, provider: str, person: Person, account: Account, canonical: str, client: Client
    ) -> Arrival | None:
        """The owner of an address comes to an account that somebody made with it and never proved it.

        Whoever that was may have set the password to wait for this moment (pre-hijacking): every way in that the
        account has, and every session, ends in the transaction that lets its owner in.
        """
        kernel = self.kernel
        async with kernel.database.transaction() as connection:
            if not await self.store.claim(connection, account.id, canonical=canonical):
                return None
            entries = await self._disown(connection, account.id)
            identity_id = await self._link(connection, account.id, provider, person)
        kernel.revocation_log.apply(entries)
        now, subject = kernel.clock.now(), account.subject
        reason = "address_proved"
        await kernel.events.publish(AccountDisowned(at=now, subject=subject, client=client, reason=reason))
        ids = tuple(entry.target for entry in entries if entry.kind is Revoked.SESSION)
        await kernel.events.publish(
            SessionsEnded(at=now, subject=subject, client=client, session_ids=ids, reason=reason)
        )
        await self._tell_linked(account.id, provider, client)
        return Arrival(user_id=account.id, identity_id=identity_id)

    async def _disown(self, connection: AsyncConnection, user_id: object) -> Sequence[Revocation]:
        kernel = self.kernel
        entries: list[Revocation] = []
        for feature in self._features():
            entries += await feature.disown(connection, user_id)
        await self.store.disown(connection, user_id)
        entries += await kernel.sessions.end_all_within(connection, user_id, reason="address_proved")
        epoch = await kernel.rights.count(connection, user_id)
        if epoch is None:
            raise NotFound("no such user", user=user_id)
        lockout = kernel.users.lockout(user_id, epoch=epoch)
        await kernel.revocation_log.append(connection, [lockout])
        return (*entries, lockout)

    async def _has_way_in(self, connection: AsyncConnection, user_id: object) -> bool:
        if await self.store.count_identities(connection, user_id):
            return True
        for feature in self._features():
            if await feature.has_way_in(connection, user_id):
                return True
        return False

    def _features(self) -> Sequence[Feature]:
        return [each for each in self.kernel.features.values() if isinstance(each, Feature)]

    async def _link(self, connection: AsyncConnection, user_id: object, provider: str, person: Person) -> UUID:
        return await self.kernel.identities.link(
            connection,
            user_id,
            provider=provider,
            issuer=person.issuer,
            subject=person.subject,
            email=_address(person),
        )

    async def _tell_linked(self, user_id: object, provider: str, client: Client) -> None:
        now = self.kernel.clock.now()
        event = IdentityLinked(at=now, subject=str(user_id), client=client, provider=provider)
        await self.kernel.events.publish(event)

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

    async def _keep(self, identity_id: UUID, tokens: Tokens) -> None:
        """Keep what came; a refresh token that came before is good until another comes (RFC 6749 §6)."""
        if tokens.refresh_token is None:
            earlier = await self.store.find(identity_id)
            tokens = replace(tokens, refresh_token=self._unsealed(earlier).get("refresh_token") if earlier else None)
        await self.store.keep(identity_id, sealed=self._sealed(identity_id, tokens), expires_at=self._end_of(tokens))

    async def _refresh(self, kept: SealedTokens, upstream: Upstream) -> None:
        refresh_token = self._unsealed(kept).get("refresh_token")
        if refresh_token is None:
            await self.store.release(kept)
            raise InvalidGrant("the token ended and there is none to refresh it", identity=kept.identity_id)
        try:
            fresh = await upstream.refresh(refresh_token)
        except InvalidGrant:
            await self.store.drop(kept)
            raise
        except ProviderUnavailable:
            await self.store.release(kept)
            raise
        fresh = replace(fresh, refresh_token=fresh.refresh_token or refresh_token)
        sealed = self._sealed(kept.identity_id, fresh)
        await self.store.replace(kept, sealed=sealed, expires_at=self._end_of(fresh))

    def _end_of(self, tokens: Tokens) -> datetime | None:
        if tokens.expires_in is None:
            return None
        return self.kernel.clock.now() + timedelta(seconds=tokens.expires_in)

    def _sealed(self, identity_id: UUID, tokens: Tokens) -> bytes:
        kept = {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token, "scope": tokens.scope}
        return self.sealer.seal(json.dumps(kept).encode(), bound_to=_bond(identity_id))

    def _unsealed(self, kept: SealedTokens) -> dict[str, str | None]:
        try:
            opened = self.sealer.unseal(kept.sealed, bound_to=_bond(kept.identity_id))
        except SealBroken:  # sealed under a root secret that is gone
            return {}
        members: dict[str, str | None] = json.loads(opened)
        return members

    def _shown(self, kept: SealedTokens) -> ProviderToken:
        opened = self._unsealed(kept)
        token = opened.get("access_token")
        if token is None:
            raise NotFound("the token was sealed under a secret that is gone", identity=kept.identity_id)
        return ProviderToken(access_token=token, scope=opened.get("scope"), expires_at=kept.expires_at)


def tag_of(secret: str) -> str:
    """What names the cookie that belongs to a `state` or code; it tells nothing of either."""
    return digest(f"tag {secret}").hex()[:16]


def _bond(identity_id: UUID) -> str:
    return f"provider tokens of {identity_id}"


def _address(person: Person) -> str | None:
    """The address, if it can be one."""
    return person.email if person.email is not None and canonical_email(person.email) is not None else None
