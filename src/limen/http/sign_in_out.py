"""The body that several features answer with: a finished sign-in, or the step that it waits for."""

from typing import Literal

from pydantic import BaseModel


class SignInOut(BaseModel):
    """A finished sign-in, or the step that it waits for."""

    status: Literal["complete", "pending"]
    access_token: str | None = None
    refresh_token: str | None = None
    token_type: str | None = None
    expires_in: int | None = None
    scope: str | None = None
    user: dict[str, object] | None = None
    step: str | None = None
    ticket: str | None = None
