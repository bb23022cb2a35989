"""HTTP of the feature `accounts`: register, and one's own account."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar, cast
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, create_model
from starlette.responses import Response

from limen.core.passwords import MAX_BYTES
from limen.core.policy import permission
from limen.core.principal import Principal
from limen.core.rights import check_may_administer
from limen.core.roles import MAX_ROLE_LENGTH
from limen.core.rules import authenticated, fresh, method
from limen.errors import Unprocessable
from limen.features.accounts.service import AccountService
from limen.http.challenged import Challenged
from limen.http.openapi import refusals
from limen.http.pages import Page, page_route
from limen.http.routing import LimenRoute
from limen.http.user_out import MAX_ONE_TIME_TOKEN, Accepted, UserOut

M = TypeVar("M", bound=BaseModel)

OWNER = authenticated() & ~method("api_key")
CLOSING = OWNER & fresh(minutes=10)
ADMINISTRATION = permission("users:read"), permission("users:write"), permission("users:delete")
SIGN_OUT = permission("users:write") & ~method("api_key")
"""An API key ends nobody's sessions."""

MAX_PAGE = 200
NO_NUL = r"^[^\x00]*$"  # PostgreSQL's text cannot hold it

RESTORE_PAGE = Page(
    title="Keep your account",
    words="Your account is closed and waits for its deletion.",
    button="Keep the account",
    done="The account stays. You can sign in again.",
)

Users: TypeAlias = list[dict[str, object]]


class Profile(BaseModel):
    """The app's own columns that a person may read and set; the app's model derives from it or any `BaseModel`."""


class RegisterIn(Challenged):
    """A new account."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(max_length=254)
    password: str = Field(max_length=MAX_BYTES + 1)
    username: str | None = Field(None, max_length=64)


class AccountChange(BaseModel):
    """What a person may change of their account."""

    model_config = ConfigDict(extra="forbid")

    username: str | None = Field(None, max_length=64)


class AccountClose(Challenged):
    """The password, once more."""

    model_config = ConfigDict(extra="forbid")

    password: str = Field(max_length=MAX_BYTES)


class RestoreIn(BaseModel):
    """The token of the mail that told of the deletion."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=MAX_ONE_TIME_TOKEN)


class UsersPage(BaseModel):
    """Which accounts, and from where on."""

    model_config = ConfigDict(extra="forbid")

    q: str | None = Field(None, max_length=254, pattern=NO_NUL, description="how the e-mail or username begins")
    role: str | None = Field(None, max_length=MAX_ROLE_LENGTH, pattern=NO_NUL, description="only who holds it")
    limit: int = Field(50, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(None, max_length=255, description="from the header `Link` of the page before")


class AccountState(BaseModel):
    """What an administrator may change of an account; what is not sent stays."""

    model_config = ConfigDict(extra="forbid")

    is_active: bool | None = None
    is_verified: bool | None = None


def routes(service: AccountService, profile: type[BaseModel] | None, *, own_page: bool) -> Sequence[APIRouter]:
    """The routers of the feature; `profile` adds the app's own fields to the bodies."""
    hides = service.greeter is not None and service.greeter.is_required
    register = _discreet_register_route if hides else _register_route
    own = (register(service, profile), _own_routes(service, profile), _administration(service, profile))
    return (*own, _restore_route(service, own_page=own_page)) if service.grace else own


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
        responses=refusals(400, 403, 409, 413, 422, 429, 503),
    )
    async def register(body: Register, request: Request) -> Mapping[str, object]:
        """Make an account."""
        account = await service.register(
            email=body.email,
            password=body.password,
            username=body.username,
            values=body.model_dump(exclude=set(RegisterIn.model_fields)),
            client=body.answered_by(kernel.client(request)),
        )
        return kernel.users.describe(account)

    return router


def _discreet_register_route(service: AccountService, profile: type[BaseModel] | None) -> APIRouter:
    kernel = service.kernel
    router = APIRouter(prefix=kernel.auth_prefix, tags=["auth"], route_class=LimenRoute)
    if TYPE_CHECKING:
        Register: TypeAlias = RegisterIn
    else:  # known only when the app runs
        Register = _with(RegisterIn, profile)

    @router.post("/register", status_code=202, responses=refusals(400, 403, 413, 422, 429, 503))
    async def register(body: Register, request: Request) -> Accepted:
        """Make an account, which a mail asks to be confirmed; the answer does not tell whether there was one."""
        await service.sign_up(
            email=body.email,
            password=body.password,
            username=body.username,
            values=body.model_dump(exclude=set(RegisterIn.model_fields)),
            client=body.answered_by(kernel.client(request)),
        )
        return Accepted()

    return router


def _restore_route(service: AccountService, *, own_page: bool) -> APIRouter:
    kernel = service.kernel
    router = APIRouter(prefix=kernel.auth_prefix, tags=["auth"], route_class=LimenRoute)

    @router.post("/account/restore", status_code=204, responses=refusals(400, 413, 422, 429, 503))
    async def restore_account(body: RestoreIn, request: Request) -> Response:
        """Let an account that waits for its deletion stay; its owner signs in anew."""
        await service.restore(body.token, client=kernel.client(request))
        return Response(status_code=204)

    if own_page:
        page_route(router, "/account/restore", RESTORE_PAGE)
    return router


def _own_routes(service: AccountService, profile: type[BaseModel] | None) -> APIRouter:
    kernel = service.kernel
    router = APIRouter(prefix=kernel.users_prefix, tags=["users"], route_class=LimenRoute)
    Anyone = Annotated[Principal, Depends(kernel.require_account(authenticated()))]
    Owner = Annotated[Principal, Depends(kernel.require_account(OWNER))]
    Closing = Annotated[Principal, Depends(kernel.require(CLOSING))]
    Out = _with(UserOut, profile)
    if TYPE_CHECKING:
        Change: TypeAlias = AccountChange
    else:  # known only when the app runs
        Change = _with(AccountChange, _all_optional(profile) if profile else None)

    @router.get("/me", response_model=Out)
    async def read_me(principal: Anyone) -> Mapping[str, object]:
        """One's own account."""
        return kernel.users.describe(await service.get_own(principal))

    @router.patch("/me", response_model=Out, responses=refusals(409, 413, 422))
    async def change_me(body: Change, principal: Owner, request: Request) -> Mapping[str, object]:
        """Change one's own account."""
        values = body.model_dump(exclude_unset=True, exclude={"username"})
        user_id = kernel.users.parse_key(kernel.account_of(principal))
        account = await service.change(user_id, username=body.username, values=values, client=kernel.client(request))
        return kernel.users.describe(account)

    @router.get("/me/export")
    async def export_me(principal: Owner, request: Request) -> Mapping[str, object]:
        """Whatever limen holds of the person who asks, to take along; no secrets."""
        user_id = kernel.users.parse_key(principal.subject)
        return await service.export(user_id, client=kernel.client(request))

    @router.delete("/me", status_code=204, responses=refusals(409, 413, 422, 429, 503))
    async def close_me(body: AccountClose, principal: Closing, request: Request) -> Response:
        """Delete one's own account; needs a sign-in of the last ten minutes and the password."""
        await service.close(principal, body.password, client=body.answered_by(kernel.client(request)))
        return Response(status_code=204)

    return router


def _administration(service: AccountService, profile: type[BaseModel] | None) -> APIRouter:
    kernel = service.kernel
    router = APIRouter(prefix=kernel.users_prefix, tags=["users"], route_class=LimenRoute)
    may_read, may_write, may_delete = (Depends(kernel.require(policy)) for policy in ADMINISTRATION)
    Writer = Annotated[Principal, may_write]
    Deleter = Annotated[Principal, may_delete]
    Out = _with(UserOut, profile)
    UserId = Annotated[str, Path(max_length=255)]

    @router.get("", response_model=list[Out], dependencies=[may_read], responses=refusals(422))  # type: ignore[valid-type]  # known only when the app runs
    async def list_users(page: Annotated[UsersPage, Query()], request: Request, response: Response) -> Users:
        """Accounts in the order of their ids; the header `Link` names the next page while there is one (RFC 8288)."""
        if page.cursor is not None and kernel.users.parse_key(page.cursor) is None:
            error = {"loc": ["query", "cursor"], "msg": "This is no cursor of this list.", "type": "cursor"}
            raise Unprocessable("not a cursor", errors=[error])
        found = await service.list(search=page.q, role=page.role, limit=page.limit, after=page.cursor)
        if len(found) == page.limit:
            query = {**request.query_params, "cursor": found[-1].subject}
            response.headers["Link"] = f'<?{urlencode(query)}>; rel="next"'
        return [kernel.users.describe(account) for account in found]

    @router.get("/{user_id}", response_model=Out, dependencies=[may_read], responses=refusals(404, 422))
    async def read_user(user_id: UserId) -> Mapping[str, object]:
        """One account."""
        return kernel.users.describe(await service.get_by_subject(user_id))

    @router.patch("/{user_id}", response_model=Out, responses=refusals(404, 409, 413, 422))
    async def change_user(user_id: UserId, body: AccountState, by: Writer, request: Request) -> Mapping[str, object]:
        """Shut an account out or let it in again, vouch for its address or not."""
        account, client = await service.get_by_subject(user_id), kernel.client(request)
        check_may_administer(by, account.held, kernel.roles)
        if body.is_active is not None:
            account = await service.set_active(account.id, body.is_active, client=client)
        if body.is_verified is not None:
            account = await service.set_verified(account.id, body.is_verified, client=client)
        return kernel.users.describe(account)

    @router.delete("/{user_id}", status_code=204, responses=refusals(404, 409, 422))
    async def delete_user(user_id: UserId, by: Deleter, request: Request) -> Response:
        """Delete an account and whatever hangs on it."""
        account = await service.get_by_subject(user_id)
        check_may_administer(by, account.held, kernel.roles)
        await service.remove(account.id, client=kernel.client(request))
        return Response(status_code=204)

    SignerOut = Annotated[Principal, Depends(kernel.require(SIGN_OUT))]

    @router.post("/{user_id}/sign-out", status_code=204, responses=refusals(404, 422))
    async def sign_out_user(user_id: UserId, by: SignerOut, request: Request) -> Response:
        """End every session of an account."""
        account = await service.get_by_subject(user_id)
        check_may_administer(by, account.held, kernel.roles)
        await service.sign_out(account.id, client=kernel.client(request))
        return Response(status_code=204)

    return router


def _with(model: type[M], profile: type[BaseModel] | None) -> type[M]:
    """The model and the app's own fields; the model is the last base, whose config decides about unknown fields."""
    return model if profile is None else create_model(model.__name__, __base__=(cast("type[M]", profile), model))


def _all_optional(model: type[BaseModel]) -> type[BaseModel]:
    """The same fields with the same limits, none required: what is not sent is not changed."""
    fields = {
        name: (Annotated[field.annotation, *field.metadata, Field()], None)
        for name, field in model.model_fields.items()
    }
    return create_model(f"{model.__name__}Change", __base__=model, **fields)  # type: ignore[call-overload,no-any-return]  # pydantic's own signature is Any
