"""HTTP of the feature `roles`: what administrators give and take."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from limen.core.permissions import MAX_PERMISSION_LENGTH
from limen.core.policy import permission
from limen.core.principal import Principal
from limen.core.roles import MAX_ROLE_LENGTH
from limen.core.rules import method
from limen.features.roles.service import RoleService
from limen.http.openapi import refusals
from limen.http.routing import LimenRoute
from limen.http.user_out import UserOut

ASSIGN = permission("users:write") & ~method("api_key")
"""An API key changes nobody's rights, whatever its owner may do."""

MAX_NAMES = 100


class RolesIn(BaseModel):
    """All the roles that the user shall have."""

    model_config = ConfigDict(extra="forbid")

    roles: list[Annotated[str, StringConstraints(max_length=MAX_ROLE_LENGTH)]] = Field(max_length=MAX_NAMES)


class PermissionsIn(BaseModel):
    """All the permissions that the user shall have beside those of their roles."""

    model_config = ConfigDict(extra="forbid")

    permissions: list[Annotated[str, StringConstraints(max_length=MAX_PERMISSION_LENGTH)]] = Field(max_length=MAX_NAMES)


class AssignedOut(UserOut):
    """The user as they are now; the app's own fields come as they are."""

    model_config = ConfigDict(extra="allow")


def routes(service: RoleService) -> APIRouter:
    """The router of the feature."""
    kernel = service.kernel
    router = APIRouter(prefix=kernel.users_prefix, tags=["users"], route_class=LimenRoute)
    Assigner = Annotated[Principal, Depends(kernel.require(ASSIGN))]
    UserId = Annotated[str, Path(max_length=255)]
    answers = refusals(404, 409, 413, 422)

    @router.put("/{user_id}/roles", response_model=AssignedOut, responses=answers)
    async def put_roles(user_id: UserId, body: RolesIn, assigner: Assigner, request: Request) -> Mapping[str, object]:
        """Replace the roles of a user; nobody grants what they do not hold."""
        client = kernel.client(request)
        account = await service.assign(user_id, by=assigner, roles=body.roles, client=client)
        return kernel.users.describe(account)

    @router.put("/{user_id}/permissions", response_model=AssignedOut, responses=answers)
    async def put_permissions(
        user_id: UserId, body: PermissionsIn, assigner: Assigner, request: Request
    ) -> Mapping[str, object]:
        """Replace the direct permissions of a user; nobody grants what they do not hold."""
        client = kernel.client(request)
        account = await service.assign(user_id, by=assigner, permissions=body.permissions, client=client)
        return kernel.users.describe(account)

    return router
