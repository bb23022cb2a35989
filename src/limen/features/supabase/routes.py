"""HTTP of the feature `supabase`: sign up, in and out at Supabase, the session in this app's cookie."""

from collections.abc import Mapping, Sequence
from secrets import token_hex
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, RedirectResponse, Response

from limen.core.principal import Principal
from limen.core.rules import issued_by
from limen.errors import AuthError, InvalidCredential, InvalidRequest
from limen.features.supabase.service import FLOW_LIFETIME, SupabaseService
from limen.http.cookies import BindingCookies
from limen.http.guards import PrincipalGuard
from limen.http.openapi import refusals
from limen.http.responses import NO_STORE, deliver, log
from limen.http.routing import LimenRoute, ReturnRoute
from limen.http.scheme import Carrier

MAX_PASSWORD = 4096
NO_NUL = r"^[^\x00]*$"
ONLY = "only"
"""The flow of a browser that is at no other; the callback's URL is the plain one then, as the project may list it."""


class CredentialsIn(BaseModel):
    """An e-mail address and its password."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(min_length=3, max_length=254, pattern=NO_NUL)
    password: str = Field(min_length=1, max_length=MAX_PASSWORD, pattern=NO_NUL)


class CodeWanted(BaseModel):
    """Where to mail a one-time code."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(min_length=3, max_length=254, pattern=NO_NUL)


class CodeIn(CodeWanted):
    """A one-time code from a mail."""

    token: str = Field(min_length=4, max_length=64, pattern=r"^[A-Za-z0-9]+$")


class SupabaseSignIn(BaseModel):
    """A finished sign-in, or the confirmation that it waits for."""

    status: Literal["complete", "pending"]
    user: dict[str, object] | None = None
    step: str | None = None


def routes(service: SupabaseService, *, error_page: str) -> Sequence[APIRouter]:
    """The routers of the feature."""
    return (_sign_in_routes(service), _session_routes(service), _oauth_routes(service, error_page=error_page))


def _sign_in_routes(service: SupabaseService) -> APIRouter:
    kernel = service.kernel
    router = _router(service)
    answers = refusals(400, 401, 403, 413, 422, 429, 503)

    @router.post(
        "/sign-up",
        status_code=201,
        response_model=SupabaseSignIn,
        response_model_exclude_none=True,
        responses={202: {"model": SupabaseSignIn, "description": "A mail is on its way"}, **answers, **refusals(409)},
    )
    async def sign_up(body: CredentialsIn, request: Request) -> Response:
        """Make an account at Supabase and sign in; 202 where the address must be confirmed first."""
        kernel.origin.check_not_foreign(request)
        completed = await service.sign_up(body.email, body.password, client=kernel.client(request))
        if completed is None:
            return JSONResponse({"status": "pending", "step": "confirm_email"}, 202, headers=dict(NO_STORE))
        response = deliver(completed, cookie=kernel.cookie)
        response.status_code = 201
        return response

    @router.post("/sign-in", response_model=SupabaseSignIn, response_model_exclude_none=True, responses=answers)
    async def sign_in(body: CredentialsIn, request: Request) -> Response:
        """Sign in at Supabase with an e-mail address and a password."""
        kernel.origin.check_not_foreign(request)
        completed = await service.sign_in(body.email, body.password, client=kernel.client(request))
        return deliver(completed, cookie=kernel.cookie)

    @router.post("/otp", status_code=202, response_class=Response, responses=refusals(400, 413, 422, 429, 503))
    async def send_code(body: CodeWanted, request: Request) -> Response:
        """Let Supabase mail a one-time code; the answer is the same for any address."""
        await service.send_code(body.email, client=kernel.client(request))
        return Response(status_code=202)

    @router.post("/otp/verify", response_model=SupabaseSignIn, response_model_exclude_none=True, responses=answers)
    async def verify_code(body: CodeIn, request: Request) -> Response:
        """Sign in with a code from a mail."""
        kernel.origin.check_not_foreign(request)
        completed = await service.verify_code(body.email, body.token, client=kernel.client(request))
        return deliver(completed, cookie=kernel.cookie)

    return router


def _session_routes(service: SupabaseService) -> APIRouter:
    kernel = service.kernel
    router = _router(service)
    guard = PrincipalGuard(kernel.authenticator, kernel.clock, issued_by(service.people.issuer))
    Person = Annotated[Principal, Depends(guard)]

    @router.post(
        "/refresh", response_model=SupabaseSignIn, response_model_exclude_none=True, responses=refusals(400, 503)
    )
    async def refresh(principal: Person, request: Request) -> Mapping[str, object]:
        """Fetch fresh tokens for this cookie's session now; otherwise that happens by itself when they are due."""
        presented = kernel.presented(request)
        if presented.carrier is not Carrier.COOKIE:
            raise InvalidRequest("whoever has the tokens refreshes them at Supabase", subject=principal.subject)
        fresh = await service.refresh(presented.value)
        account = await kernel.users.find_by_subject(fresh.account or "")
        if account is None:
            raise InvalidCredential("the account of this session is gone", account=fresh.account)
        return {"status": "complete", "user": kernel.users.describe(account)}

    @router.post("/sign-out", status_code=204)
    async def sign_out(principal: Person, request: Request) -> Response:
        """End the session that this request came with, here and at Supabase."""
        presented = kernel.presented(request)
        await service.log_out(principal, presented, client=kernel.client(request))
        response = Response(status_code=204)
        if presented.carrier is Carrier.COOKIE:
            kernel.cookie.clear(response)
        return response

    return router


def _oauth_routes(service: SupabaseService, *, error_page: str) -> APIRouter:
    kernel = service.kernel
    router = _router(service, route_class=ReturnRoute)
    base = kernel.settings.base_url.rstrip("/")
    cookies = BindingCookies("supabase", secure=kernel.cookie.secure)
    Provider = Annotated[str, Path(max_length=40, description="as the project names it: `github`, `google`, …")]
    Text = Annotated[str | None, Query(max_length=2048)]
    Flow = Annotated[str, Query(pattern=f"^({ONLY}|[0-9a-f]{{16}})$", description="which, if the browser has several")]

    @router.get(
        "/oauth/{provider}/authorize",
        status_code=303,
        response_class=RedirectResponse,
        responses=refusals(400, 422, 429, 503),
    )
    async def authorize(
        provider: Provider,
        request: Request,
        return_to: Annotated[str, Query(max_length=2048, description="a path of this app")] = "/",
        scopes: Annotated[str | None, Query(max_length=500, pattern=r"^[^\s\x00-\x1f]+( [^\s\x00-\x1f]+)*$")] = None,
    ) -> Response:
        """Go and sign in at one of the project's providers."""
        name = token_hex(8) if cookies.is_waiting(request) else None  # a second tab: neither takes the other's cookie
        begun = await service.begin(
            provider, return_to=return_to, scopes=scopes, name=name, client=kernel.client(request)
        )
        response = RedirectResponse(begun.url, 303, headers=dict(NO_STORE))
        cookies.keep(response, request, name or ONLY, begun.secret, seconds=int(FLOW_LIFETIME.total_seconds()))
        return response

    @router.get(
        "/oauth/{provider}/callback", status_code=303, response_class=RedirectResponse, responses=refusals(422, 503)
    )
    async def callback(
        provider: Provider, request: Request, code: Text = None, error: Text = None, flow: Flow = ONLY
    ) -> Response:
        """Come back signed in, or with `#error=` and what went wrong."""
        secret = cookies.read(request, flow)
        try:
            if error is not None:
                await service.give_up(secret)
                said = "access_denied" if error == "access_denied" else "server_error"
                return _gone(f"{base}{error_page}#error={said}", flow)
            completed, path = await service.finish(provider, secret=secret, code=code, client=kernel.client(request))
        except AuthError as refused:
            log(refused)
            return _gone(f"{base}{error_page}#error={quote(refused.code)}", flow)
        response = _gone(f"{base}{path}", flow)
        if completed.cookie is not None:
            kernel.cookie.set(response, completed.cookie)
        return response

    def _gone(url: str, flow: str) -> Response:
        response = RedirectResponse(url, 303, headers=dict(NO_STORE))
        cookies.clear(response, flow)
        return response

    return router


def _router(service: SupabaseService, *, route_class: type[LimenRoute] = LimenRoute) -> APIRouter:
    return APIRouter(prefix=f"{service.kernel.auth_prefix}/supabase", tags=["supabase"], route_class=route_class)
