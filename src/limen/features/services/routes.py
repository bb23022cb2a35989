"""HTTP of the feature `services`: the grant, and what administrators do with service accounts."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from limen.core.key_terms import MAX_OVERLAP
from limen.core.login import Completed, TokenRequest
from limen.core.policy import permission
from limen.core.principal import Principal
from limen.core.rules import method
from limen.db.accounts import Account
from limen.errors import InvalidClient, InvalidRequest
from limen.features.services.service import GRANT, MAX_PUBLIC_KEY, ServiceAccounts
from limen.features.services.store import ServiceCredential
from limen.http.openapi import refusals
from limen.http.routing import LimenRoute

SEE = permission("users:read")
MANAGE = permission("users:write") & ~method("api_key")
"""An API key makes no credentials, whatever its owner may do."""


class ClientCredentialsGrant:
    """`grant_type=client_credentials` (RFC 6749 §4.4)."""

    grant_type = GRANT

    def __init__(self, service: ServiceAccounts) -> None:
        self._service = service

    async def redeem(self, request: TokenRequest) -> Completed:
        """§4.4: this grant MUST only be used by clients that can prove who they are."""
        if request.oauth_client is None:
            raise InvalidClient("client_credentials without a client")
        form = request.form
        if "resource" in form and "audience" in form:
            raise InvalidRequest("a resource and an audience in one request")
        return await self._service.issue(
            request.oauth_client,
            scope=form.get("scope"),
            audience=form.get("resource") or form.get("audience") or None,
            client=request.client,
        )


class ServiceIn(BaseModel):
    """A new service account; it holds nothing until roles or permissions are assigned to it."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64)


class ServiceOut(BaseModel):
    """A service account; its `id` is its `client_id` and what `/users/{id}/roles` takes."""

    id: str
    name: str
    is_active: bool
    roles: list[str]
    permissions: list[str]
    created_at: datetime


class SecretIn(BaseModel):
    """A new secret; with `overlap_seconds`, the present ones end after so long."""

    model_config = ConfigDict(extra="forbid")

    expires_in_days: int | None = Field(None, ge=1, le=36_500)
    overlap_seconds: int | None = Field(None, ge=0, le=int(MAX_OVERLAP.total_seconds()))


class PublicKeyIn(BaseModel):
    """The public half of a key for signed assertions, as PEM text or as a JWK."""

    model_config = ConfigDict(extra="forbid")

    public_key: Annotated[str, Field(max_length=MAX_PUBLIC_KEY)] | dict[str, object]


class CredentialOut(BaseModel):
    """A secret or key without what proves it; `kid` names a key."""

    id: str
    method: str
    kid: str | None
    created_at: datetime
    expires_at: datetime | None


class NewSecretOut(CredentialOut):
    """A secret that was just made: `client_secret` is shown this once."""

    client_id: str
    client_secret: str


def routes(service: ServiceAccounts) -> Sequence[APIRouter]:
    """The routers of the feature."""
    return (_account_routes(service), _credential_routes(service))


def _account_routes(service: ServiceAccounts) -> APIRouter:
    kernel = service.kernel
    router = APIRouter(prefix=f"{kernel.auth_prefix}/services", tags=["services"], route_class=LimenRoute)

    @router.post("", status_code=201, dependencies=[Depends(kernel.require(MANAGE))], responses=refusals(409, 413, 422))
    async def create_service(body: ServiceIn, request: Request) -> ServiceOut:
        """Make a service account."""
        return _described(await service.create(body.name, client=kernel.client(request)))

    @router.get("", dependencies=[Depends(kernel.require(SEE))])
    async def list_services() -> list[ServiceOut]:
        """Every service account."""
        return [_described(account) for account in await service.list()]

    return router


def _credential_routes(service: ServiceAccounts) -> APIRouter:
    kernel = service.kernel
    prefix = f"{kernel.auth_prefix}/services/{{service_id}}"
    router = APIRouter(prefix=prefix, tags=["services"], route_class=LimenRoute)
    Manager = Annotated[Principal, Depends(kernel.require(MANAGE))]

    @router.get("/credentials", dependencies=[Depends(kernel.require(SEE))], responses=refusals(404))
    async def list_credentials(service_id: str) -> list[CredentialOut]:
        """The secrets and keys that a service account can use."""
        return [_shown(each) for each in await service.credentials(await service.get(service_id))]

    @router.post("/secrets", status_code=201, responses=refusals(404, 409, 413, 422))
    async def add_secret(
        service_id: str, manager: Manager, request: Request, body: SecretIn | None = None
    ) -> NewSecretOut:
        """Give it another secret; who does so must hold whatever it holds."""
        wanted = body or SecretIn(expires_in_days=None, overlap_seconds=None)
        new = await service.add_secret(
            await service.get(service_id),
            expires_in=None if wanted.expires_in_days is None else timedelta(days=wanted.expires_in_days),
            overlap=None if wanted.overlap_seconds is None else timedelta(seconds=wanted.overlap_seconds),
            by=manager,
            client=kernel.client(request),
        )
        shown = _shown(new.credential).model_dump()
        return NewSecretOut(**shown, client_id=new.credential.subject, client_secret=new.text)

    @router.post("/keys", status_code=201, responses=refusals(404, 409, 413, 422))
    async def add_key(service_id: str, body: PublicKeyIn, manager: Manager, request: Request) -> CredentialOut:
        """Let it prove itself by assertions that it signs (RFC 7523)."""
        given = body.public_key
        text = given if isinstance(given, str) else json.dumps(given)
        account = await service.get(service_id)
        return _shown(await service.add_key(account, text, by=manager, client=kernel.client(request)))

    @router.delete(
        "/credentials/{credential_id}",
        status_code=204,
        dependencies=[Depends(kernel.require(MANAGE))],
        responses=refusals(404),
    )
    async def revoke_credential(service_id: str, credential_id: str, request: Request) -> Response:
        """Take a secret or key back; the tokens that the service has are refused."""
        account = await service.get(service_id)
        await service.revoke_credential(account, credential_id, client=kernel.client(request))
        return Response(status_code=204)

    return router


def _described(account: Account) -> ServiceOut:
    columns = account.columns
    return ServiceOut(
        id=account.subject,
        name=str(columns["username"]),
        is_active=account.held.is_active,
        roles=sorted(account.held.roles),
        permissions=sorted(account.held.permissions),
        created_at=cast("datetime", columns["created_at"]),
    )


def _shown(credential: ServiceCredential) -> CredentialOut:
    return CredentialOut(
        id=credential.id,
        method=credential.method,
        kid=json.loads(credential.public_key)["kid"] if credential.public_key else None,
        created_at=credential.created_at,
        expires_at=credential.expires_at,
    )
