"""HTTP of the feature `accounts`: register, and one's own account."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar, cast

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, create_model
from starlette.responses import Response

from limen.core.passwords import MAX_BYTES
from limen.core.principal import Principal
from limen.core.rules import authenticated, fresh, method
from limen.features.accounts.service import AccountService
from limen.http.openapi import refusals
from limen.http.routing import LimenRoute

M = TypeVar("M", bound=BaseModel)

OWNER = authenticated() & ~method("api_key")
CLOSING = OWNER & fresh(minutes=10)


class Profile(BaseModel):
    """The app's own columns that a person may read and set; the app's model derives from it or any `BaseModel`."""


class RegisterIn(BaseModel):
    """A new account."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(max_length=254)
    password: str = Field(max_length=MAX_BYTES + 1)
    username: str | None = Field(None, max_length=64)


class AccountChange(BaseModel):
    """What a person may change of their account."""

    model_config = ConfigDict(extra="forbid")

    username: str | None = Field(None, max_length=64)


class AccountClose(BaseModel):
    """The password, once more."""

    model_config = ConfigDict(extra="forbid")

    password: str = Field(max_length=MAX_BYTES)


class UserOut(BaseModel):
    """An account as its owner and administrators see it."""

    id: str | int
    email: str
    username: str | None
    is_active: bool
    is_verified: bool
    roles: list[str]
    permissions: list[str]
    created_at: datetime


def routes(service: AccountService, profile: type[BaseModel] | None) -> Sequence[APIRouter]:
    """The routers of the feature; `profile` adds the app's own fields to the bodies."""
    return (_register_route(service, profile), _own_routes(service, profile))


def _register_route(service: AccountService, profile: type[BaseModel] | None) -> APIRouter:
    kernel = service.kernel
    router = APIRouter(prefix=kernel.auth_prefix, tags=["auth"], route_class=LimenRoute)
    if TYPE_CHECKING:
        Register: TypeAlias = RegisterIn
    else:  # known only when the app runs
        Register = _with(RegisterIn, profile)

    @router.post(
        "/register",
        status_code=201,
        response_model=_with(UserOut, profile),
        responses=refusals(400, 409, 413, 422, 429, 503),
    )
    async def register(body: Register, request: Request) -> Mapping[str, object]:
        """Make an account."""
        account = await service.register(
            email=body.email,
            password=body.password,
            username=body.username,
            values=body.model_dump(exclude=set(RegisterIn.model_fields)),
            client=kernel.client(request),
        )
        return kernel.users.describe(account)

    return router


def _own_routes(service: AccountService, profile: type[BaseModel] | None) -> APIRouter:
    kernel = service.kernel
    router = APIRouter(prefix=kernel.users_prefix, tags=["users"], route_class=LimenRoute)
    Anyone = Annotated[Principal, Depends(kernel.require(authenticated()))]
    Owner = Annotated[Principal, Depends(kernel.require(OWNER))]
    Closing = Annotated[Principal, Depends(kernel.require(CLOSING))]
    Out = _with(UserOut, profile)
    if TYPE_CHECKING:
        Change: TypeAlias = AccountChange
    else:  # known only when the app runs
        Change = _with(AccountChange, _all_optional(profile) if profile else None)

    @router.get("/me", response_model=Out)
    async def read_me(principal: Anyone) -> Mapping[str, object]:
        """One's own account."""
        return kernel.users.describe(await service.get_by_subject(principal.subject))

    @router.patch("/me", response_model=Out, responses=refusals(409, 413, 422))
    async def change_me(body: Change, principal: Owner, request: Request) -> Mapping[str, object]:
        """Change one's own account."""
        values = body.model_dump(exclude_unset=True, exclude={"username"})
        user_id = kernel.users.parse_key(principal.subject)
        account = await service.change(user_id, username=body.username, values=values, client=kernel.client(request))
        return kernel.users.describe(account)

    @router.delete("/me", status_code=204, responses=refusals(409, 413, 422))
    async def close_me(body: AccountClose, principal: Closing, request: Request) -> Response:
        """Delete one's own account; needs a sign-in of the last ten minutes and the password."""
        await service.close(principal, body.password, client=kernel.client(request))
        return Response(status_code=204)

    return router


def _with(model: type[M], profile: type[BaseModel] | None) -> type[M]:
    """The model and the app's own fields."""
    return model if profile is None else create_model(model.__name__, __base__=(model, cast("type[M]", profile)))


def _all_optional(model: type[BaseModel]) -> type[BaseModel]:
    """The same fields, none required: what is not sent is not changed."""
    fields = {name: (field.annotation, None) for name, field in model.model_fields.items()}
    return create_model(f"{model.__name__}Change", **fields)  # type: ignore[call-overload,no-any-return]  # pydantic's own signature is Any
