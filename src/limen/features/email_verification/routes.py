"""HTTP of the feature `email_verification`: verify, ask again, change the address, undo that, and the links' pages."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from limen.core.passwords import MAX_BYTES
from limen.core.principal import Principal
from limen.core.rules import authenticated, fresh, method
from limen.features.email_verification.service import EmailVerificationService
from limen.http.challenged import Challenged
from limen.http.openapi import refusals
from limen.http.pages import Page, page_route
from limen.http.responses import deliver, user_answer
from limen.http.routing import LimenRoute
from limen.http.sign_in_out import SignInOut
from limen.http.user_out import CODE, MAX_ONE_TIME_TOKEN, Accepted, UserOut

CHANGING = authenticated() & ~method("api_key") & fresh(minutes=10)
"""The address decides who gets the account back: the person must have signed in just now."""

VERIFY_PAGE = Page(
    title="Confirm your e-mail address",
    words="One click, and the address is confirmed.",
    button="Confirm the address",
    done="Thank you. The address is confirmed.",
)
UNDO_PAGE = Page(
    title="Keep your e-mail address",
    words="The change of your address is undone, every session ends, and you get a mail to choose a new password.",
    button="Undo the change",
    done="The change is undone. Look into your mail to choose a new password.",
)


class AddressIn(Challenged):
    """Which address."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(max_length=254)


class VerifyIn(BaseModel):
    """The token of the mail, or the address and the code of the mail; and the ticket of a sign-in that waits for it."""

    model_config = ConfigDict(extra="forbid")

    token: str | None = Field(None, max_length=MAX_ONE_TIME_TOKEN)
    email: str | None = Field(None, max_length=254)
    code: str | None = Field(None, pattern=CODE)
    ticket: str | None = Field(None, max_length=MAX_ONE_TIME_TOKEN)

    @model_validator(mode="after")
    def _check_one_way(self) -> "VerifyIn":
        if (self.token is None) == (self.email is None or self.code is None):
            raise ValueError("give either token, or email and code")
        return self


class ChangeIn(Challenged):
    """The address to be, and the password once more."""

    model_config = ConfigDict(extra="forbid")

    new_email: str = Field(max_length=254)
    password: str = Field(max_length=MAX_BYTES)


class UndoIn(BaseModel):
    """The token of the mail to the old address."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=MAX_ONE_TIME_TOKEN)


def routes(service: EmailVerificationService, *, own_pages: tuple[bool, bool]) -> Sequence[APIRouter]:
    """The routers of the feature; with the pages of limen's that `own_pages` asks for: verify, undo."""
    kernel = service.kernel
    router = APIRouter(prefix=kernel.auth_prefix, tags=["auth"], route_class=LimenRoute)
    Changing = Annotated[Principal, Depends(kernel.require(CHANGING))]

    @router.post("/email/verification", status_code=202, responses=refusals(400, 403, 413, 422, 429, 503))
    async def ask_for_verification(body: AddressIn, request: Request) -> Accepted:
        """Ask for another mail to prove an address; the answer does not tell whether an account waits for one."""
        await service.request(body.email, client=body.answered_by(kernel.client(request)))
        return Accepted()

    @router.post(
        "/email/verify", response_model=UserOut | SignInOut, responses=refusals(400, 401, 403, 413, 422, 429, 503)
    )
    async def verify_email(body: VerifyIn, request: Request) -> Response:
        """Prove an address, or let a change take effect; with the ticket of a sign-in, that goes on."""
        client = kernel.client(request)
        if body.ticket is not None:
            kernel.origin.check_not_foreign(request)
        if body.token is not None:
            account = await service.verify(body.token, client=client)
        else:
            account = await service.verify_by_code(body.email or "", body.code or "", client=client)
        outcome = None if body.ticket is None else await service.go_on(body.ticket, account, client=client)
        return (
            user_answer(kernel.users.describe(account)) if outcome is None else deliver(outcome, cookie=kernel.cookie)
        )

    @router.post("/email/change", status_code=202, responses=refusals(413, 422, 429, 503))
    async def change_email(body: ChangeIn, principal: Changing, request: Request) -> Accepted:
        """Ask for another address, which takes effect when it confirms; needs a sign-in of the last ten minutes."""
        client = body.answered_by(kernel.client(request))
        await service.request_change(principal, new_email=body.new_email, password=body.password, client=client)
        return Accepted()

    @router.post("/email/change/undo", status_code=204, responses=refusals(400, 413, 422, 429, 503))
    async def undo_change(body: UndoIn, request: Request) -> Response:
        """Stop or undo a change of address, from the old one: the account is its owner's again."""
        await service.undo_change(body.token, client=kernel.client(request))
        return Response(status_code=204)

    pages = (("/email/verify", VERIFY_PAGE), ("/email/change/undo", UNDO_PAGE))
    for is_own, (path, page) in zip(own_pages, pages, strict=True):
        if is_own:
            page_route(router, path, page)
    return (router,)
