"""Hands out token pairs and decides what a refresh token is worth (RFC 6749 §6, RFC 9700 §4.14.2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

from limen.core.client import NOWHERE, Client
from limen.core.jwt import sign
from limen.core.keys import SigningKey
from limen.core.login import Completed, Proof
from limen.core.opaque import RefreshPair, RefreshTokens, parse_uuid
from limen.core.permissions import format_scope, intersect, parse_scope
from limen.core.principal import Principal
from limen.core.rights import Carried, Held, carry
from limen.db.sessions import Session
from limen.errors import AuthError, InvalidGrant
from limen.events import LoggedIn, RefreshReused, TokensRefreshed
from limen.http.authenticate import Authenticator
from limen.http.scheme import Carrier, Presented
from limen.kernel import Kernel

CARRIER = "token"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """What an access token says of the sign-in behind it."""

    subject: str
    session_id: UUID
    amr: tuple[str, ...]
    auth_time: float
    client_id: str | None
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """What the client gets (RFC 6749 §5.1): `expires_in` in seconds, `scope` as it was granted."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    scope: str

    def body(self) -> dict[str, object]:
        """The members of the answer."""
        return {
            "access_token": self.access_token,
            "refresh_token": self.refresh_token,
            "token_type": "bearer",
            "expires_in": self.expires_in,
            "scope": self.scope,
        }


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
        """
        asked = parse_scope(scope) if scope else None
        pair = self.refresh_tokens.read(token)
        key = await self.kernel.keys.signing_key()
        session = await self.kernel.sessions.rotate(pair, grace=self._grace) or await self._rotated_before(pair, client)
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

    async def revoke(self, token: str) -> None:
        """End the session that a token belongs to, if it is one of ours and live (RFC 7009 §2.1)."""
        session_id = await self._session_of(token)
        if session_id is not None:
            await self.kernel.sessions.end(session_id, reason="revoked")

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

    async def _holder(self, proof: Proof) -> tuple[object, Held]:
        """The user's key and rights: read with the proof, or now if the sign-in waited for a step."""
        user_id = self.kernel.users.parse_key(proof.subject)
        held = proof.held
        if held is None:
            account = None if user_id is None else await self.kernel.users.find(user_id)
            held = account.held if account else None
        if held is None or not held.is_active:
            raise InvalidGrant("the user is gone or disabled", subject=proof.subject)
        return user_id, held

    async def _rotated_before(self, pair: RefreshPair, client: Client) -> Session:
        """The session whose token `pair` was rotated away within the grace.

        RFC 9700 §4.14.2: a refresh token that comes back MUST end the tokens of its grant. The end is committed before
        the refusal is raised; the answer is the same as for any bad token.
        """
        now = self.kernel.clock.now()
        session = await self.kernel.sessions.find(pair.session_id)
        if session is None or not session.is_live(now):
            raise InvalidGrant("the session is gone, ended or expired", session=pair.session_id)
        if session.was_rotated_within(pair.generation, self._grace, now=now):
            return session
        if pair.generation < session.generation:
            await self.kernel.sessions.end(session.id, reason="refresh_reused")
            await self.kernel.events.publish(
                RefreshReused(at=now, subject=str(session.user_id), client=client, session_id=str(session.id))
            )
        raise InvalidGrant("refresh token replayed", session=session.id, generation=pair.generation)

    def _pair(self, sign_in: SignIn, carried: Carried, refresh: RefreshPair, key: SigningKey) -> TokenPair:
        lifetime = int(self.kernel.settings.access_token_expire_minutes * 60)
        return TokenPair(
            access_token=self._access_token(sign_in, carried, lifetime, key),
            refresh_token=self.refresh_tokens.sign(refresh),
            expires_in=lifetime,
            scope=format_scope(carried.permissions),
        )

    def _access_token(self, sign_in: SignIn, carried: Carried, lifetime: int, key: SigningKey) -> str:
        """RFC 9068 §2.2, with the sign-in's session (`sid`) and the version of the user's rights (`epoch`)."""
        settings = self.kernel.settings
        now = int(self.kernel.clock.time())
        claims: dict[str, object] = {
            "iss": settings.issuer,
            "sub": sign_in.subject,
            "aud": settings.expected_audience,
            "iat": now,
            "exp": now + lifetime,
            "jti": uuid4().hex,
            "sid": str(sign_in.session_id),
            "scope": format_scope(carried.permissions),
            "roles": sorted(carried.roles),
            "auth_time": int(sign_in.auth_time),
            "amr": list(sign_in.amr),
            "epoch": sign_in.epoch,
        }
        if sign_in.client_id is not None:
            claims["client_id"] = sign_in.client_id
        return sign(claims, key=key)

    async def _session_of(self, token: str) -> UUID | None:
        try:
            if token.startswith("lmr_"):
                return self.refresh_tokens.read(token).session_id
            principal = await self.authenticator.prove(Presented(Carrier.BEARER, token))
        except AuthError as error:
            if error.status >= 500:
                raise
            return None
        return parse_uuid(principal.session_id or "")

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
