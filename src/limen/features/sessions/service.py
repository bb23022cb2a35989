"""Decides about sessions: lists them, ends them."""

from uuid import UUID

from limen.core.client import NOWHERE, Client
from limen.core.login import Completed, Cookie, Proof
from limen.core.opaque import OpaqueToken, matches, new_id, parse_uuid
from limen.core.principal import Principal
from limen.core.rights import carry
from limen.db.sessions import Session
from limen.errors import Forbidden, IncorrectLogin, InvalidCredential, NotFound
from limen.events import EverybodySignedOut, LoggedIn, SessionsEnded
from limen.feature import end_what_is_held, features_of
from limen.http.scheme import Presented
from limen.kernel import Kernel

CARRIER = "cookie"
PREFIX = "lms_"
_NO_DIGEST = bytes(32)

AT_ONCE = 1000
"""Sessions that are ended in one transaction."""

SIGNED_OUT = "everybody_signed_out"
"""Why a session ended that an operator ended with all others."""


class SessionService:
    """Lists and ends sessions, whatever carries them."""

    kernel: Kernel

    async def issue(self, proof: Proof, client: Client) -> Completed:
        """Open a session that a cookie carries; one that the browser still held is ended.

        Raises:
            IncorrectLogin: the user is gone or disabled.
            InvalidScope: the scope asked for is malformed.
        """
        kernel = self.kernel
        account = await kernel.users.find_by_subject(proof.subject)
        if account is None or not account.held.may_sign_in:
            raise IncorrectLogin("the user is gone, disabled or a service", subject=proof.subject)
        carry(account.held, kernel.roles, scope=proof.scope)  # refuses a malformed scope before there is a session
        now = kernel.clock.now()
        session_id = new_id(now.timestamp())
        token = OpaqueToken.mint(PREFIX, id=str(session_id))
        await kernel.sessions.open(
            account.id,
            carrier=CARRIER,
            amr=proof.amr,
            scope=proof.scope,
            client_id=proof.client_id,
            client=client,
            secret_digest=token.digest,
            session_id=session_id,
        )
        await end_what_is_held(kernel, client)
        event = LoggedIn(at=now, subject=proof.subject, client=client, session_id=token.id, amr=proof.amr)
        await kernel.events.publish(event)
        lifetime = kernel.sessions.lifetimes.absolute  # the idle end moves without writing a cookie
        cookie = Cookie(value=token.text, max_age=int(lifetime.total_seconds()))
        device = kernel.limits.device(account.subject, client)
        return Completed(body={"user": kernel.users.describe(account)}, cookie=cookie, device=device)

    async def verify(self, value: str) -> Session:
        """The live session that a cookie's value proves.

        Raises:
            InvalidCredential: it proves none.
        """
        token = OpaqueToken.parse(value, prefix=PREFIX)
        session_id = parse_uuid(token.id) if token else None
        if token is None or session_id is None:
            raise InvalidCredential("not a session cookie by its form")
        session = await self.kernel.sessions.find(session_id)
        known = session.secret_digest if session else None
        if not matches(token.secret, known or _NO_DIGEST) or session is None:
            raise InvalidCredential("unknown session cookie", session=session_id)
        if not session.is_live(self.kernel.clock.now()) or not session.held.is_active:
            raise InvalidCredential("the session is over", session=session_id)
        return session

    async def end_held(self, cookie: str, *, client: Client) -> None:
        """End the session that a browser still held when it signed in anew (ASVS 7.2.4)."""
        try:
            session = await self.verify(cookie)
        except InvalidCredential:
            return
        await self.end(str(session.user_id), session.id, reason="signed_in_again", client=client, must_exist=False)

    async def logout(
        self, principal: Principal, *, presented: Presented | None = None, client: Client = NOWHERE
    ) -> None:
        """End the session that the credential belongs to.

        Args:
            presented: the credential, where another issuer may vouch for it.

        Raises:
            Forbidden: the credential belongs to no session (an API key): revoke it instead; or to another issuer's, who
                ends it.
        """
        if principal.elsewhere:
            for feature in features_of(self.kernel):
                if presented is not None and await feature.log_out(principal, presented, client=client):
                    return
            raise Forbidden("the session is another issuer's", subject=principal.subject)
        session_id = parse_uuid(principal.session_id or "")
        if session_id is None:
            raise Forbidden("the credential belongs to no session", subject=principal.subject)
        await self.end(principal.subject, session_id, reason="logout", client=client, must_exist=False)

    async def list(self, subject: str) -> tuple[Session, ...]:
        """The user's live sessions, the latest seen first."""
        user_id = self.kernel.users.parse_key(subject)
        return () if user_id is None else await self.kernel.sessions.list_live(user_id)

    async def end(
        self,
        subject: str,
        session_id: UUID,
        *,
        reason: str = "ended_by_owner",
        client: Client = NOWHERE,
        must_exist: bool = True,
    ) -> None:
        """End one session of this user.

        Raises:
            NotFound: no live session of theirs has this id.
        """
        user_id = self.kernel.users.parse_key(subject)
        ended = user_id is not None and await self.kernel.sessions.end(session_id, reason=reason, user_id=user_id)
        if ended:
            await self._report(subject, (str(session_id),), reason, client)
        elif must_exist:
            raise NotFound("no live session of this user", session=session_id)

    async def end_all(
        self, subject: str, *, but: UUID | None = None, reason: str = "ended_by_owner", client: Client = NOWHERE
    ) -> tuple[str, ...]:
        """End every session of this user, or all but one; their ids."""
        user_id = self.kernel.users.parse_key(subject)
        if user_id is None:
            return ()
        ended = await self.kernel.sessions.end_all(user_id, reason=reason, but=but)
        await self._report(subject, ended, reason, client)
        return ended

    async def end_everybodys(self, *, client: Client = NOWHERE) -> int:
        """End every session of everybody, so many in one transaction (ASVS 7.4.5); how many they were.

        This app's own cookies of sessions at Supabase are among them. Tokens of other issuers and API keys go on.

        Raises:
            Unavailable: the database is down; what was ended before stays so.
        """
        kernel, ended = self.kernel, 0
        while True:
            async with kernel.database.transaction() as connection:
                some = await kernel.sessions.end_some(connection, limit=AT_ONCE, reason=SIGNED_OUT)
                event = EverybodySignedOut(at=kernel.clock.now(), client=client, count=len(some))
                if some:
                    await kernel.events.record(connection, event)
            if not some:
                return ended
            kernel.revocation_log.apply(some)
            await kernel.events.publish(event)
            ended += len(some)

    async def _report(self, subject: str, session_ids: tuple[str, ...], reason: str, client: Client) -> None:
        now = self.kernel.clock.now()
        await self.kernel.events.publish(
            SessionsEnded(at=now, subject=subject, client=client, session_ids=session_ids, reason=reason)
        )
