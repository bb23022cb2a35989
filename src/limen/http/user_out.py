"""The body that several features answer with: a user as its owner and administrators see it."""

from datetime import datetime

from pydantic import BaseModel


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
