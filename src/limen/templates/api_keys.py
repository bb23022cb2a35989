"""API keys for machines: made by people, narrowed to what the machine does, shown once, revoked at once.

`limen dev` serves it with a first admin. Sign in on http://localhost:8000/docs, then:

    POST   /auth/api-keys         {"name": "thermometer", "scopes": ["readings:write"]}  ->  key, this once
    GET    /auth/api-keys         with the last use of each
    DELETE /auth/api-keys/{id}    refused everywhere within a second

A machine sends its key as `X-API-Key: lmk_…` or `Authorization: Bearer lmk_…`. A key can never do more than its owner
may do at the moment of the request, and cannot make keys or change passwords.
"""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field

from limen import Accounts, ApiKeys, Auth, Passwords, Principal, Role, Roles, Tokens

auth = Auth(
    roles=[
        Role("owner", ["readings"], description="Everyone who registers.", default=True),
        Role("admin", ["*"], description="May do everything."),
    ],
    permissions={"readings:read": "Read the readings", "readings:write": "Send readings"},
    features=[Passwords(), Tokens(), ApiKeys(), Accounts(), Roles()],
)

app = FastAPI(title="API keys")
auth.install(app, default="deny")  # a route that is neither guarded nor marked public stops the start

Sender = Annotated[Principal, Depends(auth.require("readings:write"))]
Reader = Annotated[Principal, Depends(auth.require("readings:read"))]


class ReadingIn(BaseModel):
    """What a machine sends."""

    celsius: float = Field(ge=-90, le=60)


class Reading(ReadingIn):
    """What is kept of it."""

    at: datetime
    by: str | None


readings: dict[str, list[Reading]] = {}


@app.get("/")
@auth.public
async def home() -> dict[str, str]:
    """Open to everyone, and says so."""
    return {"docs": "/docs"}


@app.post("/readings", status_code=201)
async def send(reading: ReadingIn, sender: Sender) -> Reading:
    """For a key with `readings:write`; it is noted which one."""
    kept = Reading(celsius=reading.celsius, at=datetime.now(UTC), by=sender.credential_id)
    readings.setdefault(sender.subject, []).append(kept)
    return kept


@app.get("/readings")
async def read(reader: Reader) -> list[Reading]:
    """The readings of the caller's own machines, for a person or a key with `readings:read`."""
    return readings.get(reader.subject, [])
