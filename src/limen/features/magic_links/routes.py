"""HTTP of the feature `magic_links`: ask for a mail, sign in by it, and the page that a link leads to."""

import secrets
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from limen.core.login import Cookie
from limen.features.magic_links.service import MagicLinkService, Wish
from limen.http.challenged import Challenged
from limen.http.cookies import SessionCookie
from limen.http.openapi import refusals
from limen.http.origin import Origin
from limen.http.pages import Page, page_route
from limen.http.responses import deliver
from limen.http.routing import LimenRoute
from limen.http.sign_in_out import SignInOut
from limen.http.user_out import CODE, MAX_ONE_TIME_TOKEN, Accepted


class LinkIn(Challenged):
    """Who wants to sign in."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(max_length=254)


class SignInByLink(BaseModel):
    """The token of the mail, or the address and the code of the mail."""

    model_config = ConfigDict(extra="forbid")

    token: str | None = Field(None, max_length=MAX_ONE_TIME_TOKEN)
    email: str | None = Field(None, max_length=254)
    code: str | None = Field(None, pattern=CODE)
    scope: str | None = Field(None, max_length=4096, description="space separated")

    @model_validator(mode="after")
    def _check_one_way(self) -> "SignInByLink":
        if (self.token is None) == (self.email is None or self.code is None):
            raise ValueError("give either token, or email and code")
        return self


def routes(service: MagicLinkService, *, own_page: bool, next_path: str) -> Sequence[APIRouter]:
    """The routers of the feature; with the page of limen's if `own_page`, which leads on to `next_path`."""
    kernel = service.kernel
    router = APIRouter(prefix=kernel.auth_prefix, tags=["auth"], route_class=LimenRoute)
    cookie = SessionCookie(secure=kernel.settings.is_secure, suffix="-link")

    @router.post("/magic-link", status_code=202, responses=refusals(400, 403, 413, 422, 429, 503))
    async def ask_for_link(body: LinkIn, request: Request, response: Response) -> Accepted:
        """Ask for a mail to sign in by; the answer does not tell whether there is such an account."""
        kernel.origin.check_not_foreign(request)  # or a foreign page could tie its own link to this browser
        browser = secrets.token_urlsafe(32)
        await service.request(body.email, browser=browser, client=body.answered_by(kernel.client(request)))
        cookie.set(response, Cookie(value=browser, max_age=int(service.lifetime.total_seconds())))
        return Accepted()

    @router.post(
        "/magic-link/verify",
        response_model=SignInOut,
        response_model_exclude_none=True,
        responses=refusals(400, 401, 403, 413, 422, 429, 503),
    )
    async def sign_in_by_link(
        body: SignInByLink,
        request: Request,
        delivery: Annotated[str, Query(alias="deliver", max_length=16, description="`token` or `cookie`")] = "token",
    ) -> Response:
        """Sign in by the link or the code of a mail, in the browser that asked for it."""
        if delivery == "cookie":
            kernel.origin.check_not_foreign(request)
        is_browser = kernel.origin.of(request) is not Origin.UNTOLD
        browser = request.cookies.get(cookie.name, "") if is_browser else None
        wish, client = Wish(browser=browser, scope=body.scope, deliver=delivery), kernel.client(request)
        if body.token is not None:
            outcome = await service.sign_in(body.token, wish=wish, client=client)
        else:
            outcome = await service.sign_in_by_code(body.email or "", body.code or "", wish=wish, client=client)
        response = deliver(outcome, cookie=kernel.cookie)
        cookie.clear(response)
        return response

    if own_page:
        page = Page(
            title="Sign in",
            words="One click, and you are signed in on this device.",
            button="Sign in",
            query="?deliver=cookie",
            next=next_path,
        )
        page_route(router, "/magic-link/verify", page)
    return (router,)
