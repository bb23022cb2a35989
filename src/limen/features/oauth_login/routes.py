"""HTTP of the feature `oauth_login`: off to a provider and back, and the accounts elsewhere that one has."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.security import SecurityScopes
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import RedirectResponse, Response

from limen.core.jwt import MAX_TOKEN
from limen.core.login import Completed, Pending
from limen.core.principal import Principal
from limen.core.return_to import MAX_RETURN_TO, with_fragment
from limen.core.rules import authenticated, fresh, method
from limen.db.identities import Identity
from limen.errors import (
    AccessDenied,
    AccountExists,
    AuthError,
    CrossOrigin,
    EmailMissing,
    Forbidden,
    IdentityTaken,
    InvalidRequest,
    InvalidState,
    ProviderUnavailable,
    SignUpClosed,
    TooManyRequests,
)
from limen.features.oauth_login.providers.profiles import text_or_none
from limen.features.oauth_login.service import CODE_LIFETIME, Ending, OAuthLoginService, tag_of
from limen.features.oauth_login.steps import STATE_LIFETIME
from limen.http.cookies import BindingCookies
from limen.http.error_page import error_page
from limen.http.openapi import refusals
from limen.http.origin import Origin
from limen.http.responses import deliver, log
from limen.http.routing import FormFields, LimenRoute, ReturnRoute, form_schema
from limen.http.sign_in_out import SignInOut

OWNER = authenticated() & ~method("api_key")
CHANGING = OWNER & fresh(minutes=10)
"""ASVS 7.5.1: whoever changes how an account is signed in to has just signed in."""

STATE_SECONDS, CODE_SECONDS = int(STATE_LIFETIME.total_seconds()), int(CODE_LIFETIME.total_seconds())
MAX_NAMES = 1024  # characters of what Apple says of a person
SHOWN = (
    *(InvalidState, AccessDenied, EmailMissing, SignUpClosed, AccountExists, IdentityTaken),
    *(ProviderUnavailable, TooManyRequests),
)
_PASSED_ON = ("state", "code", "iss", "error")
_REDIRECT: dict[int | str, dict[str, object]] = {303: {"description": "Off to where the browser must go next"}}


class IdentityOut(BaseModel):
    """An account elsewhere that lets one in."""

    id: UUID
    provider: str
    issuer: str
    email: str | None
    created_at: datetime
    last_used_at: datetime


class LinkIn(BaseModel):
    """Where to return to."""

    model_config = ConfigDict(extra="forbid")

    return_to: str = Field("/", max_length=MAX_RETURN_TO)


class LinkOut(BaseModel):
    """Where to send the browser."""

    url: str


class CodeIn(BaseModel):
    """The code in the fragment of `return_to`."""

    model_config = ConfigDict(extra="forbid")

    code: str = Field(min_length=1, max_length=128)


class IdTokenIn(BaseModel):
    """What a provider gave to the app's own page or phone app."""

    model_config = ConfigDict(extra="forbid")

    id_token: str = Field(max_length=MAX_TOKEN)
    nonce: str | None = Field(None, max_length=256)
    deliver: Literal["cookie", "token"] = "token"


Name = Annotated[str, Path(max_length=32, description="the provider's name in the settings")]


def routes(service: OAuthLoginService) -> Sequence[APIRouter]:
    """The routers of the feature."""
    return (_sign_in(service), _linking(service), _apps(service))


def _sign_in(service: OAuthLoginService) -> APIRouter:
    kernel, cookies = service.kernel, BindingCookies("oauth", secure=service.kernel.cookie.secure)
    router = APIRouter(prefix=f"{kernel.auth_prefix}/oauth", tags=["auth"], route_class=ReturnRoute)
    may_change = kernel.require(CHANGING)

    @router.get(
        "/{provider}/authorize",
        status_code=303,
        response_class=Response,
        responses={**_REDIRECT, **refusals(400, 401, 403, 404, 422, 429, 503)},
    )
    async def authorize(
        provider: Name,
        request: Request,
        return_to: Annotated[str, Query(max_length=MAX_RETURN_TO)] = "/",
        delivery: Annotated[Literal["cookie", "token"], Query(alias="deliver")] = "cookie",
        intent: Annotated[Literal["sign_in", "link"], Query(description="`link`: to one's own account")] = "sign_in",
    ) -> Response:
        """Send the browser to the provider: to sign in, or to link an account there to the one that is signed in."""
        service.upstream(provider)
        owner: Mapping[str, str] = {}
        if intent == "link":
            if kernel.origin.of(request) is not Origin.OWN:
                raise CrossOrigin("a link must be begun by a page of the app's own")
            owner = _owner(await may_change(request, SecurityScopes()))
        try:
            beginning = await service.begin(
                provider, return_to=return_to, deliver=delivery, client=kernel.client(request), **owner
            )
        except ProviderUnavailable as error:
            return _refused(service, error)
        response = _redirect(beginning.url)
        cookies.keep(response, request, beginning.tag, beginning.binding, seconds=STATE_SECONDS)
        return response

    @router.get(
        "/{provider}/callback",
        status_code=303,
        response_class=Response,
        responses={**_REDIRECT, **refusals(404, 422)},
        openapi_extra={"parameters": [_parameter(name) for name in _PASSED_ON]},
    )
    async def callback(provider: Name, request: Request) -> Response:
        """Take the browser back: to `return_to` with the session in a cookie or a code in the fragment, or to the
        error page with `#error=`."""
        service.upstream(provider)
        state = request.query_params.get("state", "")
        try:
            parameters = _once(request)
            ending = await service.finish(
                provider,
                parameters,
                binding=cookies.read(request, tag_of(state)),
                name=service.opened_name(parameters.get("person"), state=state),
                client=kernel.client(request),
            )
        except AuthError as error:
            response = _refused(service, error)
        else:
            response = _redirect(_destination(ending))
            if isinstance(ending.outcome, Completed) and ending.outcome.cookie is not None:
                kernel.cookie.set(response, ending.outcome.cookie)
            if ending.code is not None and ending.binding is not None:
                cookies.set(response, tag_of(ending.code), ending.binding, seconds=CODE_SECONDS)
        cookies.clear(response, tag_of(state))
        return response

    @router.post(
        "/{provider}/callback",
        status_code=303,
        response_class=Response,
        responses={**_REDIRECT, **refusals(400, 404, 413, 415, 422)},
        openapi_extra=form_schema({}, {**dict.fromkeys(_PASSED_ON, "as the provider says"), "user": "Apple's name"}),
    )
    async def posted_callback(provider: Name, form: FormFields) -> Response:
        """The same for a provider that posts (`response_mode=form_post`): a post from its page brings no cookie of
        ours, so the browser is sent on to the callback, to which it does."""
        service.upstream(provider)
        passed = {name: form[name] for name in _PASSED_ON if name in form}
        sealed = service.sealed_name(_apple_name(form.get("user")), state=form.get("state", ""))
        passed |= {} if sealed is None else {"person": sealed}
        return _redirect(f"{service.redirect_uri(provider)}?{urlencode(passed)}")

    @router.get("/error", response_class=Response, responses={200: {"content": {"text/html": {}}}})
    async def show_error() -> Response:
        """Why a sign-in came to nothing."""
        return error_page(SHOWN)

    return router


def _linking(service: OAuthLoginService) -> APIRouter:
    kernel, cookies = service.kernel, BindingCookies("oauth", secure=service.kernel.cookie.secure)
    router = APIRouter(prefix=f"{kernel.auth_prefix}/oauth", tags=["auth"], route_class=LimenRoute)
    Owner = Annotated[Principal, Depends(kernel.require(OWNER))]
    Changing = Annotated[Principal, Depends(kernel.require(CHANGING))]

    @router.post("/{provider}/link", responses=refusals(404, 413, 422))
    async def link(provider: Name, body: LinkIn, principal: Changing, request: Request, response: Response) -> LinkOut:
        """Begin to link an account there to one's own: send the browser to `url`. Needs a sign-in of the last ten
        minutes."""
        beginning = await service.begin(
            provider, return_to=body.return_to, client=kernel.client(request), **_owner(principal)
        )
        cookies.keep(response, request, beginning.tag, beginning.binding, seconds=STATE_SECONDS)
        return LinkOut(url=beginning.url)

    @router.get("/accounts")
    async def list_accounts(principal: Owner) -> list[IdentityOut]:
        """The accounts elsewhere that let one in."""
        return [_shown(identity) for identity in await service.identities_of(principal.subject)]

    @router.delete("/accounts/{account_id}", status_code=204, responses=refusals(404, 409, 422))
    async def unlink(account_id: UUID, principal: Changing, request: Request) -> Response:
        """Let one of them let one in no more; never the last way in. Needs a sign-in of the last ten minutes."""
        await service.unlink(principal.subject, account_id, client=kernel.client(request))
        return Response(status_code=204)

    return router


def _apps(service: OAuthLoginService) -> APIRouter:
    kernel, cookies = service.kernel, BindingCookies("oauth", secure=service.kernel.cookie.secure)
    router = APIRouter(prefix=f"{kernel.auth_prefix}/oauth", tags=["auth"], route_class=LimenRoute)
    answers = refusals(400, 401, 403, 413, 422, 429, 503)

    @router.post("/exchange", response_model=SignInOut, response_model_exclude_none=True, responses=answers)
    async def exchange(body: CodeIn, request: Request) -> Response:
        """Tokens for the code in the fragment, within a minute, once, in the browser that signed in."""
        kernel.origin.check_not_foreign(request)
        binding = cookies.read(request, tag_of(body.code))
        if binding is None and request.headers.get("sec-fetch-site") in ("same-origin", "same-site"):
            binding = ""  # a browser that signed in has it: this one was sent here by somebody else (login CSRF)
        outcome = await service.exchange(body.code, binding=binding, client=kernel.client(request))
        response = deliver(outcome, cookie=kernel.cookie)
        cookies.clear(response, tag_of(body.code))
        return response

    @router.post(
        "/{provider}/id-token",
        response_model=SignInOut,
        response_model_exclude_none=True,
        responses={**answers, **refusals(404, 409)},
    )
    async def sign_in_with_id_token(provider: Name, body: IdTokenIn, request: Request) -> Response:
        """Sign in by a token that the provider gave to the app itself (One Tap, phones); each is good once."""
        if body.deliver == "cookie":
            kernel.origin.check_not_foreign(request)
        outcome = await service.sign_in_with_id_token(
            provider, body.id_token, nonce=body.nonce, deliver=body.deliver, client=kernel.client(request)
        )
        return deliver(outcome, cookie=kernel.cookie)

    return router


def _owner(principal: Principal) -> Mapping[str, str]:
    """Whose account it is that an identity shall be linked to, and in which session that was said."""
    if principal.session_id is None:
        raise Forbidden("the credential belongs to no session", subject=principal.subject)
    return {"subject": principal.subject, "session_id": principal.session_id}


def _once(request: Request) -> Mapping[str, str]:
    """RFC 6749 §3.1: parameters MUST NOT be included more than once."""
    pairs = request.query_params.multi_items()
    if len(pairs) > len(dict(pairs)):
        raise InvalidRequest("a parameter twice")
    return dict(pairs)


def _destination(ending: Ending) -> str:
    if ending.code is not None:
        return with_fragment(ending.return_to, urlencode({"code": ending.code}))
    if isinstance(ending.outcome, Pending):
        waiting = {"status": "pending", "step": ending.outcome.step, "ticket": ending.outcome.ticket}
        return with_fragment(ending.return_to, urlencode(waiting))
    return ending.return_to


def _refused(service: OAuthLoginService, error: AuthError) -> Response:
    """People are not shown problem documents: the error page says it in a sentence, and the log the reason."""
    log(error)
    return _redirect(with_fragment(service.error_page, urlencode({"error": error.code})))


def _redirect(url: str) -> Response:
    """RFC 9700 §4.12: 303, so that nothing posted is posted on."""
    return RedirectResponse(url, status_code=303)


def _shown(identity: Identity) -> IdentityOut:
    return IdentityOut(**{name: getattr(identity, name) for name in IdentityOut.model_fields})


def _apple_name(user: str | None) -> str | None:
    """Apple, *Authenticating users*: the name is posted beside the code, the first time only, as JSON."""
    if user is None or len(user) > MAX_NAMES:
        return None
    try:
        name = json.loads(user)["name"]
        return text_or_none(" ".join(str(name[part]) for part in ("firstName", "lastName") if name.get(part)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _parameter(name: str) -> dict[str, object]:
    return {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
