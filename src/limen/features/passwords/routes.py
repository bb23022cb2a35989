"""HTTP of the feature `passwords`: sign-in by form, change of password, the OAuth password grant."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from limen.core.login import Completed, Pending, TokenRequest
from limen.core.opaque import parse_uuid
from limen.core.passwords import MAX_BYTES
from limen.core.principal import Principal
from limen.core.rules import authenticated, method
from limen.errors import InvalidRequest, StepPending, Unprocessable
from limen.features.passwords.service import PasswordService
from limen.http.challenged import Challenged
from limen.http.openapi import refusals
from limen.http.responses import deliver
from limen.http.routing import FormFields, LimenRoute, form_schema
from limen.http.sign_in_out import SignInOut

OWNER = authenticated() & ~method("api_key")
"""People's own affairs: an API key cannot change passwords."""


class PasswordChange(Challenged):
    """The current password proves that it is the owner who asks."""

    model_config = ConfigDict(extra="forbid")

    current_password: str = Field(max_length=MAX_BYTES)
    new_password: str = Field(max_length=MAX_BYTES + 1)


class PasswordGrant:
    """`grant_type=password` (RFC 6749 §4.3): first-party apps and Swagger UI."""

    grant_type = "password"

    def __init__(self, service: PasswordService) -> None:
        self._service = service

    async def redeem(self, request: TokenRequest) -> Completed:
        form = request.form
        if "username" not in form or "password" not in form:
            raise InvalidRequest("username or password is missing")
        client = replace(request.client, challenge=form.get("challenge"))
        outcome = await self._service.login(form["username"], form["password"], scope=form.get("scope"), client=client)
        if isinstance(outcome, Pending):
            raise StepPending(step=outcome.step, ticket=outcome.ticket)
        return outcome


def routes(service: PasswordService) -> Sequence[APIRouter]:
    """The routers of the feature."""
    kernel = service.kernel
    router = APIRouter(prefix=kernel.auth_prefix, tags=["auth"], route_class=LimenRoute)
    Owner = Annotated[Principal, Depends(kernel.require(OWNER))]

    @router.post(
        "/login",
        response_model=SignInOut,
        response_model_exclude_none=True,
        responses=refusals(400, 401, 403, 413, 415, 422, 429, 503),
        openapi_extra=form_schema(
            {"username": "e-mail address or username", "password": "4 KB at most"},
            {"scope": "space separated", "challenge": "the answer to a challenge, after 403 `challenge_required`"},
        ),
    )
    async def login(
        request: Request,
        form: FormFields,
        delivery: Annotated[str, Query(alias="deliver", max_length=16, description="`token` or `cookie`")] = "token",
    ) -> Response:
        """Sign in with an e-mail address or username and a password."""
        _check_fields(form)
        if delivery == "cookie":
            kernel.origin.check_not_foreign(request)
        client = replace(kernel.client(request), challenge=form.get("challenge"))
        outcome = await service.login(
            form["username"], form["password"], scope=form.get("scope"), deliver=delivery, client=client
        )
        return deliver(outcome, cookie=kernel.cookie)

    @router.post("/password/change", status_code=204, responses=refusals(413, 422, 429, 503))
    async def change_password(body: PasswordChange, principal: Owner, request: Request) -> Response:
        """Replace the password; every other session ends."""
        await service.change(
            kernel.users.parse_key(principal.subject),
            current=body.current_password,
            new=body.new_password,
            keep=parse_uuid(principal.session_id or ""),
            client=body.answered_by(kernel.client(request)),
        )
        return Response(status_code=204)

    return (router,)


def _check_fields(form: Mapping[str, str]) -> None:
    missing = [name for name in ("username", "password") if name not in form]
    if missing:
        errors = [{"loc": ["body", name], "msg": "Field required", "type": "missing"} for name in missing]
        raise Unprocessable("fields missing", errors=errors)
