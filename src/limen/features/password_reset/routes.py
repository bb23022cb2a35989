"""HTTP of the feature `password_reset`: forgot, reset, and the page that a link leads to."""

from collections.abc import Sequence

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from limen.core.passwords import MAX_BYTES
from limen.features.password_reset.service import PasswordResetService
from limen.http.challenged import Challenged
from limen.http.openapi import refusals
from limen.http.pages import Page, page_route
from limen.http.routing import LimenRoute
from limen.http.user_out import MAX_ONE_TIME_TOKEN, Accepted

PAGE = Page(
    title="Choose a new password",
    words="All your sessions will end, on every device.",
    button="Save the password",
    done="The password is saved. You can sign in with it now.",
    asks_password=True,
)


class ForgotIn(Challenged):
    """Whose password is forgotten."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(max_length=254)


class ResetIn(BaseModel):
    """The token of the mail and the password to be."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=MAX_ONE_TIME_TOKEN)
    new_password: str = Field(max_length=MAX_BYTES + 1)


def routes(service: PasswordResetService, *, own_page: bool) -> Sequence[APIRouter]:
    """The routers of the feature; with the page of limen's if `own_page`."""
    kernel = service.kernel
    router = APIRouter(prefix=kernel.auth_prefix, tags=["auth"], route_class=LimenRoute)

    @router.post("/password/forgot", status_code=202, responses=refusals(400, 403, 413, 422, 429, 503))
    async def forgot_password(body: ForgotIn, request: Request) -> Accepted:
        """Ask for a mail to reset a password; the answer does not tell whether there is such an account."""
        await service.request(body.email, client=body.answered_by(kernel.client(request)))
        return Accepted()

    @router.post("/password/reset", status_code=204, responses=refusals(400, 413, 422, 429, 503))
    async def reset_password(body: ResetIn, request: Request) -> Response:
        """Replace a forgotten password; every session ends."""
        await service.reset(body.token, body.new_password, client=kernel.client(request))
        return Response(status_code=204)

    if own_page:
        page_route(router, "/password/reset", PAGE)
    return (router,)
