"""Decides about Supabase sessions: who they prove, when they are refreshed, and what ends with them."""

import asyncio
import hmac
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core import base64url
from limen.core.admission import Claims
from limen.core.client import NOWHERE, Client
from limen.core.identity import canonical_email
from limen.core.login import Completed, Cookie
from limen.core.opaque import OpaqueToken, matches, new_id, parse_uuid
from limen.core.principal import Principal
from limen.core.revocations import Revocation, Revoked, foreign_session
from limen.core.sealing import SealBroken, Sealer
from limen.errors import (
    EmailTaken,
    Forbidden,
    IncorrectLogin,
    InvalidCredential,
    InvalidRequest,
    Unavailable,
    Unprocessable,
    WeakPassword,
)
from limen.events import LoggedIn, LoginFailed, SessionsEnded
from limen.feature import end_what_is_held
from limen.features.supabase.claims import SupabaseTokens, claims_within
from limen.features.supabase.steps import GoTrue, Refused, Tokens
from limen.features.supabase.store import StoredSession, SupabaseSessionStore
from limen.http.scheme import Carrier, Presented
from limen.kernel import Kernel

PREFIX = "lmp_"
LEASE = timedelta(seconds=6)  # over GoTrue's deadline, under its reuse interval of 10 s
PAUSE = timedelta(seconds=2)
REUSE_SECONDS = 10.0
WAIT_SECONDS = 7.0
LOOK_SECONDS = 0.05
MARGIN_SECONDS = 60.0
FLOW_LIFETIME = timedelta(minutes=10)
MAX_RETURN_TO = 2048

_FLOW = "supabase_oauth"
_NO_DIGEST = bytes(32)
_PROVIDER = re.compile(r"[a-zA-Z0-9_]{1,40}")
_CODE = re.compile(r"[A-Za-z0-9-]{1,128}")
# A closed alphabet: no backslash, control character or fragment, and never two slashes at the beginning.
_LOCAL_PATH = re.compile(r"/(?!/)[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")
_TAKEN = frozenset({"user_already_exists", "email_exists", "identity_already_exists"})
_CLOSED = frozenset({"signup_disabled", "email_provider_disabled", "email_address_not_authorized"})
_REASONS = {
    "length": "Use more characters.",
    "characters": "Use more kinds of characters.",
    "pwned": "This password has been found in a data breach.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A sign-in elsewhere that has begun.

    Attributes:
        secret: for this browser's cookie; whoever comes back without it is somebody else.
        url: where the browser goes.
    """

    secret: str = field(repr=False)
    url: str = field(repr=False)


class SupabaseService:
    """Signs people up, in and out at Supabase; their tokens stay on the server."""

    kernel: Kernel
    people: SupabaseTokens
    gotrue: GoTrue
    store: SupabaseSessionStore
    sealer: Sealer
    scopes: str
    url: str
    _flights: dict[UUID, "asyncio.Task[StoredSession]"]

    # --- ways in

    async def sign_up(self, email: str, password: str, *, client: Client = NOWHERE) -> Completed | None:
        """A new Supabase user and the session; None where the address must be confirmed by mail first.

        Raises:
            EmailTaken: the project confirms no addresses and says that this one is known.
            WeakPassword, Unprocessable, Forbidden: Supabase refuses the password, the rest, or everybody.
            TooManyRequests, Unavailable: not now.
        """
        await self.kernel.limits.take("register", client=client, account=_account(email))
        try:
            tokens = await self.gotrue.sign_up(email, password)
        except Refused as refused:
            raise _sign_up_refused(refused) from None
        return None if tokens is None else await self._open(tokens, client)

    async def sign_in(self, email: str, password: str, *, client: Client = NOWHERE) -> Completed:
        """The session of an address and a password.

        Raises:
            IncorrectLogin: whatever was wrong.
            TooManyRequests, Unavailable: not now.
        """
        async with await self.kernel.limits.take("login", client=client, account=_account(email)) as attempt:
            try:
                tokens = await self.gotrue.sign_in(email, password)
            except Refused as refused:
                raise await self._incorrect(refused, email, client) from None
            await attempt.give_back()
        return await self._open(tokens, client)

    async def send_code(self, email: str, *, client: Client = NOWHERE) -> None:
        """Mail a one-time code; the caller learns nothing about the address.

        Raises:
            TooManyRequests, Unavailable: not now.
        """
        await self.kernel.limits.take("forgot", client=client, account=_account(email))
        try:
            await self.gotrue.send_code(email)
        except Refused:
            return

    async def verify_code(self, email: str, code: str, *, client: Client = NOWHERE) -> Completed:
        """The session of an address and the code that was mailed to it.

        Raises:
            IncorrectLogin: the code is wrong, used or expired.
            TooManyRequests, Unavailable: not now.
        """
        async with await self.kernel.limits.take("login", client=client, account=_account(email)) as attempt:
            try:
                tokens = await self.gotrue.verify_code(email, code)
            except Refused as refused:
                raise await self._incorrect(refused, email, client) from None
            await attempt.give_back()
        return await self._open(tokens, client)

    async def begin(
        self,
        provider: str,
        *,
        return_to: str = "/",
        scopes: str | None = None,
        name: str | None = None,
        client: Client = NOWHERE,
    ) -> Flow:
        """Begin a sign-in at one of the project's providers.

        Args:
            name: tells this flow from another one in the same browser; the callback brings it back as `flow`.

        Raises:
            InvalidRequest: no provider's name, or `return_to` is no path of this app.
            TooManyRequests: not now.
        """
        if _PROVIDER.fullmatch(provider) is None or not is_local_path(return_to):
            raise InvalidRequest("not a provider's name or not a local path", provider=provider)
        await self.kernel.limits.take("authorize", client=client)
        payload = {"provider": provider, "return_to": return_to}
        secret = await self.kernel.one_time.issue(_FLOW, subject=None, payload=payload, lifetime=FLOW_LIFETIME)
        challenge = base64url.encode(sha256(self._verifier(secret).encode()).digest())
        redirect_to = f"{self.url_here}/oauth/{provider}/callback" + ("" if name is None else f"?flow={name}")
        wanted = scopes or self.scopes
        url = self.gotrue.authorize_url(provider, redirect_to=redirect_to, challenge=challenge, scopes=wanted)
        return Flow(secret=secret, url=url)

    async def finish(
        self, provider: str, *, secret: str | None, code: str | None, client: Client = NOWHERE
    ) -> tuple[Completed, str]:
        """The session of somebody who comes back from a provider, and the path to go on at.

        The verifier follows from this browser's own secret (RFC 7636 §4.6), so a code of another sign-in, whoever
        began it, is refused by Supabase.

        Raises:
            InvalidRequest: this browser began no such sign-in, or it is over.
            IncorrectLogin: Supabase refuses the code.
            Unavailable: Supabase cannot be asked.
        """
        flow = await self.kernel.one_time.consume(_FLOW, secret) if secret else None
        if secret is None or flow is None or flow.payload.get("provider") != provider:
            raise InvalidRequest("this browser began no such sign-in", provider=provider)
        if code is None or _CODE.fullmatch(code) is None:
            raise IncorrectLogin("no code came back")
        try:
            tokens = await self.gotrue.exchange(code, self._verifier(secret))
        except Refused as refused:
            raise IncorrectLogin(f"Supabase refused the code: {refused.code}") from None
        return await self._open(tokens, client), str(flow.payload["return_to"])

    async def give_up(self, secret: str | None) -> None:
        """The provider said no: what was begun is over."""
        if secret:
            await self.kernel.one_time.consume(_FLOW, secret)

    # --- sessions

    async def prove(self, token: str) -> Principal:
        """Whom an access token of the project proves, with the row that they have here.

        Raises:
            InvalidCredential: nobody.
            Unavailable: the project's keys or the database cannot be asked.
        """
        return await self.people.prove(token)

    async def prove_cookie(self, value: str) -> Principal:
        """Whom a session cookie proves; tokens that are due are refreshed first, once for all who ask.

        Raises:
            InvalidCredential: nobody: unknown, signed out, or ended at Supabase.
            Unavailable: they are due and Supabase cannot be asked.
        """
        session = await self.find(value)
        if self.kernel.clock.now() < session.refresh_due_at:
            return await self._principal(session)
        try:
            return await self._principal(await self._refreshed(session))
        except Unavailable as outage:
            try:
                principal = await self._principal(session)  # it may be good for another moment
            except InvalidCredential:
                raise outage from None
            return replace(
                principal, expires_at=min(principal.expires_at, (self.kernel.clock.now() + PAUSE).timestamp())
            )

    async def find(self, value: str) -> StoredSession:
        """The live session that a cookie's value proves.

        Raises:
            InvalidCredential: it proves none.
        """
        token = OpaqueToken.parse(value, prefix=PREFIX)
        session_id = parse_uuid(token.id) if token else None
        if token is None or session_id is None:
            raise InvalidCredential("not a Supabase session cookie by its form")
        session = await self.store.find(session_id)
        known = session.secret_digest if session else _NO_DIGEST
        if not matches(token.secret, known) or session is None or session.ends_at <= self.kernel.clock.now():
            raise InvalidCredential("unknown Supabase session cookie, or it is over", session=session_id)
        return session

    async def refresh(self, value: str) -> Principal:
        """Refresh a session's tokens now, unless that was done within Supabase's reuse interval; who it proves then.

        Raises:
            InvalidCredential: it is over.
            Unavailable: Supabase cannot be asked.
        """
        session = await self.find(value)
        age = self.kernel.clock.now() - session.refreshed_at
        if age.total_seconds() >= REUSE_SECONDS or self.kernel.clock.now() >= session.refresh_due_at:
            session = await self._refreshed(session)
        return await self._principal(session)

    async def sign_out(
        self, principal: Principal, *, token: str | None = None, cookie: str | None = None, client: Client = NOWHERE
    ) -> None:
        """End a session here, at once and for every worker, and at Supabase.

        Args:
            token, cookie: what carried it.

        Raises:
            Unavailable: it is ended here, and Supabase could not be told; a client that has the refresh token must
                try again.
        """
        session = None if cookie is None else await self.find(cookie)
        tokens = None if session is None else self._unsealed(session)
        entry = self._entry(principal.claims)
        await self._end(entry, session)
        await self._report_end(principal.session_id, principal.account, client)
        access = token if tokens is None else tokens.access_token
        if access is None:
            return
        try:
            await self.gotrue.sign_out(access)
        except Refused:
            return  # it was over there
        except Unavailable:
            if tokens is None:  # else nobody has its refresh token any more
                raise

    async def log_out(self, principal: Principal, presented: Presented, *, client: Client = NOWHERE) -> bool:
        """End the session of a credential, if it is one of Supabase's.

        Raises:
            Unavailable: as `sign_out`.
        """
        if principal.issuer != self.people.issuer:
            return False
        if presented.carrier is Carrier.COOKIE:
            await self.sign_out(principal, cookie=presented.value, client=client)
        else:
            await self.sign_out(principal, token=presented.value, client=client)
        return True

    async def end_held(self, cookie: str, *, client: Client = NOWHERE) -> None:
        """End the session that a browser still held when it signed in anew (ASVS 7.2.4)."""
        try:
            session = await self.find(cookie)
            claims = claims_within(self._unsealed(session).access_token)
        except InvalidCredential:
            return
        await self._end(self._entry(claims), session)
        ended = str(claims["session_id"])
        await self._report_end(ended, str(session.user_id), client, reason="signed_in_again")

    async def end_all_within(self, connection: AsyncConnection, user_id: object) -> Sequence[Revocation]:
        """Forget every session of a user inside a caller's transaction: nobody has their tokens any more."""
        return self._entries(await self.store.end_all(connection, user_id))

    async def end_some_within(self, connection: AsyncConnection, *, limit: int) -> Sequence[Revocation]:
        """Forget so many, whoever's, likewise; those that nobody can read any more go on the way."""
        while ended := await self.store.end_some(connection, limit=limit):
            if entries := self._entries(ended):
                return entries
        return ()

    # --- inside

    @property
    def url_here(self) -> str:
        """Where this feature's routes are."""
        return f"{self.kernel.settings.base_url.rstrip('/')}{self.kernel.auth_prefix}/supabase"

    async def _open(self, tokens: Tokens, client: Client) -> Completed:
        principal = await self._proved(tokens)
        await end_what_is_held(self.kernel, client)
        kernel, now = self.kernel, self.kernel.clock.now()
        token = OpaqueToken.mint(PREFIX, id=str(new_id(now.timestamp())))
        session_id = UUID(token.id)
        account = await kernel.users.find_by_subject(principal.account or "")
        if account is None:
            raise InvalidCredential("the account of this identity is gone", account=principal.account)
        session = StoredSession(
            id=session_id,
            user_id=account.id,
            secret_digest=token.digest,
            sealed=self._sealed(session_id, tokens),
            generation=0,
            refresh_due_at=_due(principal, now),
            refresh_begun_at=None,
            refresh_failed_at=None,
            created_at=now,
            refreshed_at=now,
            ends_at=self._end_of(now, now),
        )
        await self.store.add(session)
        session_name = principal.session_id or ""
        event = LoggedIn(at=now, subject=account.subject, client=client, session_id=session_name, amr=principal.amr)
        await kernel.events.publish(event)
        cookie = Cookie(value=token.text, max_age=int(kernel.sessions.lifetimes.absolute.total_seconds()))
        return Completed(body={"user": kernel.users.describe(account)}, cookie=cookie)

    async def _proved(self, tokens: Tokens, *, of: StoredSession | None = None) -> Principal:
        """Whom fresh tokens prove: what GoTrue answers is believed for its signature, as anybody's.

        Raises:
            InvalidCredential: the person's account here is disabled, was deleted, or cannot be made.
            Unavailable: nobody, or somebody else.
        """
        try:
            verified = await self.people.verify(tokens.access_token)
        except InvalidCredential as refused:
            raise Unavailable(f"Supabase answered a token that is not good: {refused.reason}") from None
        principal = await self.people.admit(verified)
        if of is not None and principal.account != str(of.user_id):
            raise Unavailable("Supabase answered another person's session", session=of.id)
        return principal

    async def _principal(self, session: StoredSession) -> Principal:
        principal = await self.prove(self._unsealed(session).access_token)
        if principal.account != str(session.user_id):
            raise InvalidCredential("the session is another account's", session=session.id)
        until = min(principal.expires_at, session.ends_at.timestamp())
        due = session.refresh_due_at.timestamp()
        is_due = due <= self.kernel.clock.time()
        return replace(principal, credential="session_cookie", expires_at=until if is_due else min(until, due))

    async def _refreshed(self, session: StoredSession) -> StoredSession:
        """The session with fresh tokens: one flight in this process, and one among the workers."""
        flight = self._flights.get(session.id)
        if flight is None:
            flight = self._flights[session.id] = asyncio.create_task(self._refresh(session))
            flight.add_done_callback(lambda done: self._land(session.id, done))
        await asyncio.wait({flight})  # who gives up waiting does not end it for the others
        return flight.result()

    def _land(self, session_id: UUID, flight: "asyncio.Task[StoredSession]") -> None:
        del self._flights[session_id]
        if not flight.cancelled():
            flight.exception()  # seen, even where nobody waits any more

    async def _refresh(self, session: StoredSession) -> StoredSession:
        deadline = self.kernel.clock.monotonic() + WAIT_SECONDS
        while not await self.store.begin_refresh(session, lease=LEASE, pause=PAUSE):
            found = await self.store.find(session.id)
            if found is None:
                raise InvalidCredential("signed out while it was refreshed", session=session.id)
            if found.generation != session.generation:
                return found
            if found.refresh_failed_at is not None or self.kernel.clock.monotonic() >= deadline:
                raise Unavailable("another worker could not refresh the session", session=session.id)
            await asyncio.sleep(LOOK_SECONDS)
        try:
            tokens = await self.gotrue.refresh(self._unsealed(session).refresh_token)
            principal = await self._proved(tokens, of=session)
        except Refused as refused:
            await self._forget(session)
            raise InvalidCredential(f"Supabase ended the session: {refused.code}", session=session.id) from None
        except InvalidCredential:  # the account here is disabled, or the secret of the seal is gone
            await self._forget(session)
            raise
        except Exception:
            await self.store.fail_refresh(session)
            raise
        return await self._keep(session, tokens, principal)

    async def _keep(self, session: StoredSession, tokens: Tokens, principal: Principal) -> StoredSession:
        now = self.kernel.clock.now()
        kept = await self.store.complete_refresh(
            session,
            sealed=self._sealed(session.id, tokens),
            due_at=_due(principal, now),
            ends_at=self._end_of(session.created_at, now),
        )
        if kept is None:
            raise InvalidCredential("signed out while it was refreshed", session=session.id)
        return kept

    async def _forget(self, session: StoredSession) -> None:
        async with self.kernel.database.transaction() as connection:
            await self.store.end(connection, session.id)

    def _entry(self, claims: Claims) -> Revocation:
        """What takes the session of these verified claims back, for as long as its last token could live."""
        kernel = self.kernel
        lifetime = _number(claims.get("exp")) - _number(claims.get("iat"))
        return Revocation(
            kind=Revoked.SESSION,
            target=foreign_session(self.people.issuer, str(claims["session_id"])),
            expires_at=kernel.clock.time() + max(lifetime, 0) + kernel.settings.clock_leeway_seconds,
        )

    def _entries(self, ended: Sequence[StoredSession]) -> Sequence[Revocation]:
        entries = []
        for session in ended:
            with suppress(InvalidCredential):  # sealed under a secret that is gone: nobody is let in by it
                entries.append(self._entry(claims_within(self._unsealed(session).access_token)))
        return entries

    async def _end(self, entry: Revocation, session: StoredSession | None) -> None:
        """Committed before anybody is told, so that nothing undoes it."""
        kernel = self.kernel
        async with kernel.database.transaction() as connection:
            if session is not None:
                await self.store.end(connection, session.id)
            await kernel.revocation_log.append(connection, [entry])
        kernel.revocation_log.apply([entry])

    async def _report_end(
        self, session_id: str | None, account: str | None, client: Client, *, reason: str = "logout"
    ) -> None:
        ids, now = (session_id or "",), self.kernel.clock.now()
        await self.kernel.events.publish(
            SessionsEnded(at=now, subject=account, client=client, session_ids=ids, reason=reason)
        )

    async def _incorrect(self, refused: Refused, email: str, client: Client) -> IncorrectLogin:
        reason = f"Supabase refused: {refused.code}"
        now, name = self.kernel.clock.now(), email[:100]
        await self.kernel.events.publish(LoginFailed(at=now, client=client, reason=reason, identifier=name))
        return IncorrectLogin(reason)

    def _sealed(self, session_id: UUID, tokens: Tokens) -> bytes:
        text = json.dumps({"access_token": tokens.access_token, "refresh_token": tokens.refresh_token})
        return self.sealer.seal(text.encode(), bound_to=_place(session_id))

    def _unsealed(self, session: StoredSession) -> Tokens:
        try:
            return Tokens(**json.loads(self.sealer.unseal(session.sealed, bound_to=_place(session.id))))
        except SealBroken:
            raise InvalidCredential("sealed under a secret that is gone", session=session.id) from None

    def _verifier(self, secret: str) -> str:
        """RFC 7636 §4.1: 43 characters of the unreserved set; it follows from the cookie, so that it is not stored."""
        return base64url.encode(hmac.digest(self._flow_keys[0], secret.encode(), "sha256"))

    @property
    def _flow_keys(self) -> Sequence[bytes]:
        return self.kernel.derived_keys("supabase pkce")

    def _end_of(self, began: datetime, used: datetime) -> datetime:
        lifetimes = self.kernel.sessions.lifetimes
        return min(began + lifetimes.absolute, used + lifetimes.idle)


def is_local_path(path: str) -> bool:
    """Whether this is a path of this app: whatever a browser makes of it, it stays on the base URL."""
    return len(path) <= MAX_RETURN_TO and _LOCAL_PATH.fullmatch(path) is not None


def _due(principal: Principal, now: datetime) -> datetime:
    """A minute before the access token ends, or a tenth of what it lives if that is less."""
    left = max(0.0, _number(principal.claims.get("exp")) - now.timestamp())
    return now + timedelta(seconds=left - min(MARGIN_SECONDS, left / 10))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _place(session_id: UUID) -> str:
    return f"supabase session {session_id}"


def _account(email: str) -> str:
    return canonical_email(email) or email[:320].lower()


def _sign_up_refused(refused: Refused) -> Exception:
    reason = f"Supabase refused the sign-up: {refused.code}"
    if refused.code in _TAKEN:
        return EmailTaken(reason)
    if refused.code in _CLOSED:
        return Forbidden(reason)
    if refused.code == "weak_password":
        errors = [
            {"loc": ["body", "password"], "msg": _REASONS[word], "type": f"password_{word}"} for word in refused.reasons
        ]
        return WeakPassword(reason, errors=errors)
    errors = [{"loc": ["body", "email"], "msg": "Supabase refuses this sign-up.", "type": "supabase"}]
    return Unprocessable(reason, errors=errors)
