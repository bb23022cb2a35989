"""HTTP of the feature `audit`: the record, for those who may read it."""

import json
from datetime import datetime
from typing import Annotated, TypeAlias
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from limen.core.audit_chain import Entry
from limen.core.policy import permission
from limen.features.audit.service import AuditService
from limen.http.openapi import refusals
from limen.http.routing import LimenRoute

READ = permission("audit:read")

MAX_PAGE = 200
NO_NUL = r"^[^\x00]*$"  # PostgreSQL's text cannot hold it
NAME_OF_EVENT = r"^[a-z][a-z0-9_]*$"
NUMBER = r"^(0|[1-9][0-9]{0,17})$"


class AuditPage(BaseModel):
    """Which entries, and from where on."""

    model_config = ConfigDict(extra="forbid")

    user: str | None = Field(None, max_length=255, pattern=NO_NUL, description="whom it concerns, or who did it")
    event: str | None = Field(None, max_length=64, pattern=NAME_OF_EVENT, description="such as `logged_in`")
    name: str | None = Field(
        None, max_length=320, pattern=NO_NUL, description="failed sign-ins under this e-mail or username"
    )
    limit: int = Field(50, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(None, pattern=NUMBER, description="from the header `Link` of the page before")


class ActorOut(BaseModel):
    """Who did it: `user`, `anonymous`, `operator` (the command line) or `app`."""

    kind: str
    subject: str | None
    credential_id: str | None


class AuditEntryOut(BaseModel):
    """One entry; `seq` is its place in the chain, which it gets a moment after it was written."""

    id: int
    seq: int | None
    at: datetime
    event: str
    result: str
    subject: str | None
    actor: ActorOut
    method: str | None
    ip: str | None
    user_agent: str | None
    count: int
    details: dict[str, object]


Entries: TypeAlias = list[AuditEntryOut]


def routes(service: AuditService) -> APIRouter:
    """The router of the feature."""
    kernel = service.kernel
    router = APIRouter(prefix=kernel.auth_prefix, tags=["audit"], route_class=LimenRoute)

    @router.get("/audit", dependencies=[Depends(kernel.require(READ))], responses=refusals(422))
    async def list_audit(page: Annotated[AuditPage, Query()], request: Request, response: Response) -> Entries:
        """The latest entries first; the header `Link` names the next page while there is one (RFC 8288)."""
        before = None if page.cursor is None else int(page.cursor)
        found = await service.list(user=page.user, event=page.event, name=page.name, limit=page.limit, before=before)
        if len(found) == page.limit:
            query = {**request.query_params, "cursor": str(found[-1].id)}
            response.headers["Link"] = f'<?{urlencode(query)}>; rel="next"'
        return [_described(entry) for entry in found]

    return router


def _described(entry: Entry) -> AuditEntryOut:
    return AuditEntryOut(
        id=entry.id or 0,
        seq=entry.seq,
        at=entry.at,
        event=entry.event,
        result=entry.result,
        subject=entry.subject,
        actor=ActorOut(kind=entry.actor_kind, subject=entry.actor, credential_id=entry.credential_id),
        method=entry.method,
        ip=entry.ip,
        user_agent=entry.user_agent,
        count=entry.count,
        details=json.loads(entry.details),
    )
