"""Reads cookie sessions: `__Host-limen=lms_<session>.<secret>`."""

from collections.abc import Mapping
from datetime import timedelta

from limen.core.principal import Principal
from limen.core.rights import carry
from limen.features.sessions.service import PREFIX, SessionService
from limen.http.scheme import Carrier, Presented


class CookieSessions:
    """Verifies session cookies; one read, then remembered for as long as revocations are."""

    name = "SessionCookie"
    carriers: tuple[Carrier, ...] = (Carrier.COOKIE,)

    def __init__(self, service: SessionService, *, cookie_name: str) -> None:
        self._service = service
        self._cookie_name = cookie_name

    def openapi(self) -> Mapping[str, object]:
        return {"type": "apiKey", "in": "cookie", "name": self._cookie_name}

    def reads(self, presented: Presented) -> bool:
        return presented.value.startswith(PREFIX)

    async def verify(self, presented: Presented) -> Principal:
        session = await self._service.verify(presented.value)
        kernel = self._service.kernel
        carried = carry(session.held, kernel.roles, scope=session.scope)
        remembered_until = kernel.clock.now() + timedelta(minutes=kernel.settings.access_token_expire_minutes)
        return Principal(
            subject=str(session.user_id),
            issuer=kernel.settings.issuer,
            credential="session_cookie",
            permissions=carried.permissions,
            roles=carried.roles,
            session_id=str(session.id),
            client_id=session.client_id,
            auth_time=session.authenticated_at,
            amr=session.amr,
            expires_at=min(session.idle_ends_at, session.ends_at, remembered_until).timestamp(),
            epoch=session.held.epoch,
        )
