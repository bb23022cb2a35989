"""Decides about sessions: lists them, ends them."""

from uuid import UUID

from limen.core.client import NOWHERE, Client
from limen.core.opaque import parse_uuid
from limen.core.principal import Principal
from limen.db.sessions import Session
from limen.errors import Forbidden, NotFound
from limen.events import SessionsEnded
from limen.kernel import Kernel


class SessionService:
    """Lists and ends sessions, whatever carries them."""

    kernel: Kernel

    async def logout(self, principal: Principal, *, client: Client = NOWHERE) -> None:
        """End the session that the credential belongs to.

        Raises:
            Forbidden: the credential belongs to no session (an API key): revoke it instead.
        """
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

    async def _report(self, subject: str, session_ids: tuple[str, ...], reason: str, client: Client) -> None:
        now = self.kernel.clock.now()
        await self.kernel.events.publish(
            SessionsEnded(at=now, subject=subject, client=client, session_ids=session_ids, reason=reason)
        )
