"""Hands out token pairs and decides what a refresh token is worth (RFC 6749 §6, RFC 9700 §4.14.2)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from limen.core.client import NOWHERE, Client
from limen.core.jwt import sign
from limen.core.keys import SigningKey
from limen.core.login import Completed, Proof
from limen.core.oauth_client import ProvenClient
from limen.core.opaque import RefreshPair, RefreshTokens, parse_uuid
from limen.core.permissions import format_scope, intersect, parse_scope
from limen.core.principal import Principal
from limen.core.revocations import Revocation, Revoked
from limen.core.rights import Carried, Held, carry
from limen.core.token_pair import SignIn, TokenPair
from limen.db.sessions import Session
from limen.errors import AuthError, InvalidGrant, TooManyRequests
from limen.events import LoggedIn, RefreshReused, SessionsEnded, TokenRevoked, TokensRefreshed
from limen.http.authenticate import Authenticator
from limen.http.scheme import Carrier, Presented
from limen.kernel import Kernel

CARRIER = "token"


class TokenService:
    """Issues, refreshes, revokes and introspects tokens."""

    kernel: Kernel
    refresh_tokens: RefreshTokens
    authenticator: Authenticator

    async def issue(self, proof: Proof, client: Client) -> Completed:
        """Open a session and hand out its first pair.

        Raises:
            InvalidGrant: the user is gone or disabled.
            InvalidScope: the scope asked for is malformed.
        """
        user_id, held = await self._holder(proof)
        carried = carry(held, self.kernel.roles, scope=proof.scope)
        key = await self.kernel.keys.signing_key()
        now = self.kernel.clock.now()
        session_id = await self.kernel.sessions.open(
            user_id, carrier=CARRIER, amr=proof.amr, scope=proof.scope, client_id=proof.client_id, client=client
        )
        sign_in = SignIn(
            subject=proof.subject,
            session_id=session_id,
            amr=proof.amr,
            auth_time=now.timestamp(),
            client_id=proof.client_id,
            epoch=held.epoch,
        )
        await self.kernel.events.publish(
            LoggedIn(at=now, subject=proof.subject, client=client, session_id=str(session_id), amr=proof.amr)
        )
        return Completed(body=self._pair(sign_in, carried, RefreshPair(session_id, 0), key).body())

    async def refresh(self, token: str, *, client: Client = NOWHERE, scope: str | None = None) -> Completed:
        """The next pair for a refresh token; the same next one however often it is asked within the grace.

        Args:
            scope: narrows this access token only (RFC 6749 §6); what the session was not granted drops out.

        Raises:
            InvalidGrant: forged, expired, revoked, or replayed after the grace, which ends the session.
            TooManyRequests: too many bad ones came from this address, or too many replays of this session's.
        """
        arrived = self.kernel.clock.now()  # a wait for a busy database is not the client's
        asked = parse_scope(scope) if scope else None
        with self.kernel.limits.failing("refresh", client=client):
            pair = self.refresh_tokens.read(token)
            key = await self.kernel.keys.signing_key()
            session = await self.kernel.sessions.rotate(pair, grace=self._grace)
            session = session or await self._rotated_before(pair, client, arrived=arrived)
            if not session.held.is_active:
                raise InvalidGrant("the user is disabled", session=session.id)
        carried = carry(session.held, self.kernel.roles, scope=session.scope)
        if asked is not None:
            narrowed = format_scope(intersect(carried.permissions, asked))
            carried = carry(session.held, self.kernel.roles, scope=narrowed) if narrowed else NOTHING
        subject, session_id = str(session.user_id), str(session.id)
        now = self.kernel.clock.now()
        await self.kernel.events.publish(TokensRefreshed(at=now, subject=subject, client=client, session_id=session_id))
        return Completed(body=self._pair(_sign_in(session), carried, pair.successor(), key).body())

    async def issue_to_client(
        self, client: ProvenClient, *, scope: str | None = None, audience: str | None = None
    ) -> Completed:
        """An access token for a client that acts for itself: no session, no refresh token (RFC 6749 §4.4.3).

        Args:
            scope: narrows it; what the client does not hold drops out.
            audience: instead of this app's own.

        Raises:
            InvalidScope: the scope is malformed.
        """
        carried = carry(client.held, self.kernel.roles, scope=scope)
        own = {"sub": client.subject, "client_id": client.client_id, "epoch": client.held.epoch}
        own |= {} if audience is None else {"aud": audience}
        body = {
            "access_token": self._access_token(own, carried, await self.kernel.keys.signing_key()),
            "token_type": "bearer",
            "expires_in": self._lifetime,
            "scope": format_scope(carried.permissions),
        }
        return Completed(body=body)

    async def revoke(self, token: str, *, oauth_client: ProvenClient | None = None, client: Client = NOWHERE) -> None:
        """Take back a token of ours: its session ends, or it alone where it belongs to none (RFC 7009 §2.1).

        A client that proved who it is takes back only what was issued to it.
        """
        pair = self._pair_in(token)
        if pair is not None and oauth_client is None:
            await self._end_session(pair.session_id)
            return
        principal = await self._principal_of(token, client)
        if principal is None or (oauth_client is not None and principal.client_id != oauth_client.client_id):
            return
        session_id = parse_uuid(principal.session_id or "")
        if session_id is not None:
            await self._end_session(session_id)
        elif principal.credential == "access_token":
            await self._revoke_alone(principal)

    async def introspect(self, token: str) -> Mapping[str, object]:
        """What a token is worth now (RFC 7662 §2.2); `{"active": False}` for anything that is worth nothing.

        Raises:
            Unavailable: what decides it is down.
        """
        try:
            if token.startswith("lmr_"):
                return await self._introspect_refresh(token)
            return _introspection(await self.authenticator.prove(Presented(Carrier.BEARER, token)))
        except AuthError as error:
            if error.status >= 500:
                raise
            return {"active": False}

    @property
    def _grace(self) -> timedelta:
        return timedelta(seconds=self.kernel.settings.refresh_grace_seconds)

    async def _end_session(self, session_id: UUID) -> None:
        kernel = self.kernel
        session = await kernel.sessions.find(session_id)
        if session is not None and await kernel.sessions.end(session_id, reason="revoked"):
            now, subject = kernel.clock.now(), str(session.user_id)
            await kernel.events.publish(
                SessionsEnded(at=now, subject=subject, session_ids=(str(session_id),), reason="revoked")
            )

    async def _holder(self, proof: Proof) -> tuple[object, Held]:
        """The user's key and rights: read with the proof, or now if the sign-in waited for a step."""
        user_id = self.kernel.users.parse_key(proof.subject)
        held = proof.held
        if held is None:
            account = None if user_id is None else await self.kernel.users.find(user_id)
            held = account.held if account else None
        if held is None or not held.may_sign_in:
            raise InvalidGrant("the user is gone, disabled or a service", subject=proof.subject)
        return user_id, held

    async def _rotated_before(self, pair: RefreshPair, client: Client, *, arrived: datetime) -> Session:
        """The session whose token `pair` had been rotated away within the grace when the request arrived.

        RFC 9700 §4.14.2: a refresh token that comes back MUST end the tokens of its grant. The end is committed before
        the refusal is raised; the answer is the same as for any bad token.
        """
        now = self.kernel.clock.now()
        session = await self.kernel.sessions.find(pair.session_id)
        if session is None or not session.is_live(now):
            raise InvalidGrant("the session is gone, ended or expired", session=pair.session_id)
        if session.was_rotated_within(pair.generation, self._grace, now=arrived):
            self.kernel.limits.pace("replay", str(session.id))
            return session
        if pair.generation < session.generation:
            await self.kernel.sessions.end(session.id, reason="refresh_reused")
            await self.kernel.events.publish(
                RefreshReused(at=now, subject=str(session.user_id), client=client, session_id=str(session.id))
            )
        raise InvalidGrant("refresh token replayed", session=session.id, generation=pair.generation)

    def _pair(self, sign_in: SignIn, carried: Carried, refresh: RefreshPair, key: SigningKey) -> TokenPair:
        return TokenPair(
            access_token=self._access_token(sign_in.claims(), carried, key),
            refresh_token=self.refresh_tokens.sign(refresh),
            expires_in=self._lifetime,
            scope=format_scope(carried.permissions),
        )

    @property
    def _lifetime(self) -> int:
        return int(self.kernel.settings.access_token_expire_minutes * 60)

    def _access_token(self, own: Mapping[str, object], carried: Carried, key: SigningKey) -> str:
        """RFC 9068 §2.2; `own` says whose it is."""
        settings = self.kernel.settings
        now = int(self.kernel.clock.time())
        claims: dict[str, object] = {
            "iss": settings.issuer,
            "aud": settings.expected_audience,
            "iat": now,
            "exp": now + self._lifetime,
            "jti": uuid4().hex,
            "scope": format_scope(carried.permissions),
            "roles": sorted(carried.roles),
            **own,
        }
        return sign(claims, key=key)

    async def _revoke_alone(self, principal: Principal) -> None:
        if principal.credential_id is None:
            return
        kernel = self.kernel
        expires_at = principal.expires_at + kernel.settings.clock_leeway_seconds
        entry = Revocation(kind=Revoked.CREDENTIAL, target=principal.credential_id, expires_at=expires_at)
        async with kernel.database.transaction() as connection:
            await kernel.revocation_log.append(connection, [entry])
        kernel.revocation_log.apply([entry])
        now, subject = kernel.clock.now(), principal.subject
        await kernel.events.publish(TokenRevoked(at=now, subject=subject, credential_id=principal.credential_id))

    def _pair_in(self, token: str) -> RefreshPair | None:
        try:
            return self.refresh_tokens.read(token)
        except InvalidGrant:
            return None

    async def _principal_of(self, token: str, client: Client) -> Principal | None:
        """Who a token of ours proves; a trusted issuer's is not ours to take back, whatever `sid` it says."""
        try:
            principal = await self.authenticator.prove(Presented(Carrier.BEARER, token, client))
        except AuthError as error:
            if error.status >= 500 or isinstance(error, TooManyRequests):
                raise
            return None
        return principal if principal.issuer == self.kernel.settings.issuer else None

    async def _introspect_refresh(self, token: str) -> Mapping[str, object]:
        pair = self.refresh_tokens.read(token)
        session = await self.kernel.sessions.find(pair.session_id)
        if session is None or session.generation != pair.generation or not session.is_live(self.kernel.clock.now()):
            return {"active": False}
        ends_at = min(session.idle_ends_at, session.ends_at)
        return {
            "active": True,
            "token_type": "refresh_token",
            "sub": str(session.user_id),
            "iss": self.kernel.settings.issuer,
            "sid": str(session.id),
            "scope": format_scope(carry(session.held, self.kernel.roles, scope=session.scope).permissions),
            "exp": int(ends_at.timestamp()),
        }


NOTHING = Carried(permissions=frozenset(), roles=frozenset())


def _sign_in(session: Session) -> SignIn:
    return SignIn(
        subject=str(session.user_id),
        session_id=session.id,
        amr=session.amr,
        auth_time=session.authenticated_at.timestamp(),
        client_id=session.client_id,
        epoch=session.held.epoch,
    )


def _introspection(principal: Principal) -> Mapping[str, object]:
    described = {
        "active": True,
        "token_type": "Bearer",
        "sub": principal.subject,
        "iss": principal.issuer,
        "scope": format_scope(principal.permissions),
        "sid": principal.session_id,
        "client_id": principal.client_id,
        "jti": principal.credential_id,
        **{name: principal.claims[name] for name in ("aud", "exp", "iat") if name in principal.claims},
    }
    return {name: value for name, value in described.items() if value is not None}
