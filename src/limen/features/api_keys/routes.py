"""HTTP of the feature `api_keys`: one's own keys."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from limen.core.key_terms import MAX_NAME, MAX_OVERLAP
from limen.core.policy import permission
from limen.core.principal import Principal
from limen.core.rules import method, rule
from limen.features.api_keys.service import ApiKeyService, NewApiKey, Terms
from limen.features.api_keys.store import ApiKey
from limen.http.openapi import refusals
from limen.http.routing import LimenRoute


def _is_signed_in(principal: Principal) -> bool:
    return principal.session_id is not None


OWNER = method("access_token", "session_cookie") & rule(_is_signed_in, name="signed in")
"""People's own affairs: neither an API key nor a service's token makes keys, or it would outlive what it is."""


SEE = permission("users:read")
MANAGE = permission("users:write") & ~method("api_key")


class ApiKeyIn(BaseModel):
    """A new key."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=MAX_NAME)
    scopes: list[str] | None = Field(None, description="permissions; everything that the owner holds, if left out")
    expires_in_days: int | None = Field(None, ge=1, le=36_500)
    allowed_networks: list[str] = Field([], description="CIDRs that it may come from")
    rate_limit: str | None = Field(None, max_length=64, description="such as `100/minute`, in each process")

    def terms(self) -> Terms:
        """The same as the service takes it."""
        return {
            "name": self.name,
            "scopes": self.scopes,
            "expires_in": None if self.expires_in_days is None else timedelta(days=self.expires_in_days),
            "allowed_networks": self.allowed_networks,
            "rate_limit": self.rate_limit,
        }


class RotateIn(BaseModel):
    """How long the old key lives on."""

    model_config = ConfigDict(extra="forbid")

    overlap_seconds: int | None = Field(None, ge=0, le=int(MAX_OVERLAP.total_seconds()))


class ApiKeyOut(BaseModel):
    """A key without its secret; `prefix` is how it begins, `allowed_networks` and `rate_limit` are left out if none."""

    id: str
    name: str
    prefix: str
    scopes: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    allowed_networks: list[str] = []
    rate_limit: str | None = None


class ListedApiKeyOut(ApiKeyOut):
    """The same, with its last use to the minute."""

    last_used_at: datetime | None


class NewApiKeyOut(ApiKeyOut):
    """A key that was just made: `key` is shown this once."""

    key: str


def routes(service: ApiKeyService) -> Sequence[APIRouter]:
    """The routers of the feature."""
    return (_own_routes(service), _admin_routes(service))


def _own_routes(service: ApiKeyService) -> APIRouter:
    kernel = service.kernel
    router = APIRouter(prefix=f"{kernel.auth_prefix}/api-keys", tags=["api keys"], route_class=LimenRoute)
    Owner = Annotated[Principal, Depends(kernel.require(OWNER))]

    @router.post("", status_code=201, response_model_exclude_unset=True, responses=refusals(409, 413, 422))
    async def create_api_key(body: ApiKeyIn, principal: Owner, request: Request) -> NewApiKeyOut:
        """Make a key; what it may do is what its scopes and its owner's permissions both cover, at every request."""
        terms = body.terms()
        new = await service.create(
            principal.subject, **terms, within=await service.narrowing(principal), client=kernel.client(request)
        )
        return _new_out(service, new)

    @router.get("", response_model_exclude_unset=True)
    async def list_api_keys(principal: Owner) -> list[ListedApiKeyOut]:
        """One's own keys, the newest first."""
        return [_listed_out(service, key) for key in await service.list(principal.subject)]

    @router.delete("/{key_id}", status_code=204, responses=refusals(404, 422))
    async def revoke_api_key(key_id: str, principal: Owner, request: Request) -> Response:
        """Take a key back."""
        await service.revoke(key_id, user=principal.subject, client=kernel.client(request))
        return Response(status_code=204)

    @router.post(
        "/{key_id}/rotate",
        status_code=201,
        response_model_exclude_unset=True,
        responses=refusals(404, 409, 413, 422),
    )
    async def rotate_api_key(
        key_id: str, principal: Owner, request: Request, body: RotateIn | None = None
    ) -> NewApiKeyOut:
        """Replace a key; the old one lives on for the overlap, so that nothing stands still meanwhile."""
        overlap = body.overlap_seconds if body else None
        new = await service.rotate(
            key_id,
            user=principal.subject,
            overlap=None if overlap is None else timedelta(seconds=overlap),
            within=await service.narrowing(principal),
            client=kernel.client(request),
        )
        return _new_out(service, new)

    return router


def _admin_routes(service: ApiKeyService) -> APIRouter:
    """Other people's keys can be seen and taken back; they are made only for service accounts, which cannot sign in."""
    kernel = service.kernel
    prefix = f"{kernel.users_prefix}/{{user_id}}/api-keys"
    router = APIRouter(prefix=prefix, tags=["api keys"], route_class=LimenRoute)
    Manager = Annotated[Principal, Depends(kernel.require(MANAGE))]
    UserId = Annotated[str, Path(max_length=255)]

    @router.post("", status_code=201, response_model_exclude_unset=True, responses=refusals(404, 409, 413, 422))
    async def create_service_api_key(
        user_id: UserId, body: ApiKeyIn, manager: Manager, request: Request
    ) -> NewApiKeyOut:
        """Make a key for a service account; who does so must hold whatever it holds."""
        terms = body.terms()
        new = await service.create_for_service(user_id, **terms, by=manager, client=kernel.client(request))
        return _new_out(service, new)

    @router.get(
        "", dependencies=[Depends(kernel.require(SEE))], response_model_exclude_unset=True, responses=refusals(422)
    )
    async def list_api_keys_of(user_id: UserId) -> list[ListedApiKeyOut]:
        """A user's keys, the newest first."""
        return [_listed_out(service, key) for key in await service.list(user_id)]

    @router.delete(
        "/{key_id}", status_code=204, dependencies=[Depends(kernel.require(MANAGE))], responses=refusals(404, 422)
    )
    async def revoke_api_key_of(user_id: UserId, key_id: str, request: Request) -> Response:
        """Take a user's key back."""
        await service.revoke(key_id, user=user_id, reason="revoked_by_admin", client=kernel.client(request))
        return Response(status_code=204)

    return router


def _new_out(service: ApiKeyService, new: NewApiKey) -> NewApiKeyOut:
    """The answer that shows a key, this once."""
    return NewApiKeyOut.model_validate({**_described(service, new.key), "key": new.text})


def _listed_out(service: ApiKeyService, key: ApiKey) -> ListedApiKeyOut:
    """The answer that lists a key."""
    return ListedApiKeyOut.model_validate({**_described(service, key), "last_used_at": key.last_used_at})


def _described(service: ApiKeyService, key: ApiKey) -> dict[str, object]:
    limits = {"allowed_networks": list(key.allowed_networks), "rate_limit": key.rate_limit}
    return {
        "id": key.id,
        "name": key.name,
        "prefix": service.shown(key),
        "scopes": None if key.scopes is None else list(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        **{name: value for name, value in limits.items() if value},
    }
