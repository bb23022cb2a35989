"""The bodies that several features answer with: a user, and "a mail, perhaps"."""

from datetime import datetime

from pydantic import BaseModel

CODE = r"^[0-9]{6}$"
"""A code from a mail, as people type it."""

MAX_ONE_TIME_TOKEN = 256
"""Characters of a token from a mail, with room; what is longer is none."""


class Accepted(BaseModel):
    """One answer, whether there is such an account or not."""

    detail: str = "If this can be done, a mail is on its way."


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
