"""HTTP of the feature `sessions`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from limen.core.device import device_name
from limen.core.opaque import parse_uuid
from limen.core.principal import Principal
from limen.core.rules import authenticated, method
from limen.db.sessions import Session
from limen.features.sessions.service import SessionService
from limen.http.guards import PrincipalGuard
from limen.http.openapi import refusals
from limen.http.routing import LimenRoute

OWNER = authenticated() & ~method("api_key")


class SessionOut(BaseModel):
    """One sign-in on one device."""

    id: UUID
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    ip: str | None
    user_agent: str | None
    device: str
    method: str
    current: bool


def routes(service: SessionService) -> Sequence[APIRouter]:
    """The routers of the feature."""
    kernel = service.kernel
    router = APIRouter(prefix=kernel.auth_prefix, tags=["sessions"], route_class=LimenRoute)
    Owner = Annotated[Principal, Depends(kernel.require(OWNER))]
    Anyone = Annotated[Principal, Depends(PrincipalGuard(kernel.authenticator, kernel.clock, OWNER))]

    @router.post("/logout", status_code=204, responses=refusals(503))
    async def logout(principal: Anyone, request: Request) -> Response:
        """End the session that this request came with, whoever vouches for it."""
        presented = kernel.presented(request) if principal.elsewhere else None
        await service.logout(principal, presented=presented, client=kernel.client(request))
        response = Response(status_code=204)
        if principal.credential == "session_cookie":
            kernel.cookie.clear(response)
        return response

    @router.get("/sessions")
    async def list_sessions(principal: Owner) -> list[SessionOut]:
        """Everything that is signed in."""
        return [_shown(session, principal) for session in await service.list(principal.subject)]

    @router.delete("/sessions/{session_id}", status_code=204, responses=refusals(404, 422))
    async def end_session(session_id: UUID, principal: Owner, request: Request) -> Response:
        """End one."""
        await service.end(principal.subject, session_id, client=kernel.client(request))
        return Response(status_code=204)

    @router.delete("/sessions", status_code=204, responses=refusals(422))
    async def end_sessions(
        principal: Owner,
        request: Request,
        everything: Annotated[bool, Query(alias="all", description="this one too")] = False,
    ) -> Response:
        """End all others."""
        current = None if everything else parse_uuid(principal.session_id or "")
        await service.end_all(principal.subject, but=current, client=kernel.client(request))
        return Response(status_code=204)

    return (router,)


def _shown(session: Session, principal: Principal) -> SessionOut:
    return SessionOut(
        id=session.id,
        created_at=session.created_at,
        last_seen_at=session.last_seen_at,
        expires_at=min(session.idle_ends_at, session.ends_at),
        ip=session.ip,
        user_agent=session.user_agent,
        device=device_name(session.user_agent),
        method="password" if "pwd" in session.amr else " ".join(session.amr) or "provider",
        current=str(session.id) == principal.session_id,
    )
