"""Routes as they are written in a hurry. Each of them lets something in that it must not."""

import base64
import json
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Request, WebSocket
from pydantic import BaseModel

from limen import Accounts, ApiKeys, Auth, Passwords, Principal, Role, Roles, Sessions, Tokens
from limen.errors import AuthError
from limen.http.scheme import Carrier, Presented
from limen.testing import fast_hasher

auth = Auth(
    roles=[Role("member", ["orders:read", "notes"], default=True), Role("admin", ["*"])],
    features=[Passwords(hasher=fast_hasher()), Tokens(), Sessions(), ApiKeys(), Accounts(), Roles()],
)
app = FastAPI()
auth.install(app)
Member = Annotated[Principal, Depends(auth.current_principal)]
orders = {1: {"id": 1, "owner_id": "somebody", "total": 7}}
notes: dict[int, dict[str, object]] = {}


class Note(BaseModel):
    text: str


@app.get("/open")
async def open_() -> str:
    """A guard was forgotten."""
    return "open"


@app.post("/forgotten")
async def forgotten(note: Note) -> str:
    """Here too; it answers 422 to an empty body."""
    return note.text


@app.websocket("/live")
async def live(websocket: WebSocket) -> None:
    """And here."""
    await websocket.accept()


@app.get("/orders/{order_id}", dependencies=[Depends(auth.require("orders:read"))])
async def order(order_id: int) -> dict[str, object]:
    """Guarded, and anybody's."""
    if order_id not in orders:
        raise HTTPException(404)
    return orders[order_id]


@app.get("/salaries/{user_id}")
async def salary(user_id: str, _: Member) -> dict[str, object]:
    """Guarded, and the path decides whose."""
    return {"user_id": user_id, "salary": 100}


@app.post("/notes")
async def write(note: Note, member: Member) -> dict[str, object]:
    """Well guarded: what is made is the caller's."""
    made: dict[str, object] = {"id": len(notes) + 1, "text": note.text, "by": member.subject}
    notes[len(notes) + 1] = made
    return made


@app.delete("/notes/{note_id}", status_code=204)
async def erase(note_id: int, _: Member) -> None:
    """Guarded, and whoever comes erases anybody's."""
    if notes.pop(note_id, None) is None:
        raise HTTPException(404)


def believing(authorization: Annotated[str, Header()]) -> str:
    """A guard by hand that reads a token and verifies nothing."""
    try:
        payload = authorization.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"])
    except (IndexError, ValueError, KeyError):
        raise HTTPException(401) from None


@app.get("/lax")
async def lax(subject: Annotated[str, Depends(believing)]) -> str:
    return subject


async def by_cookie(request: Request) -> str:
    """A guard by hand that takes limen's cookie, whoever's page sent it."""
    try:
        principal = await auth.kernel.authenticator.prove(Presented(Carrier.COOKIE, request.cookies["limen"]))
    except (KeyError, AuthError):
        raise HTTPException(401) from None
    return principal.subject


@app.post("/transfer")
async def transfer(subject: Annotated[str, Depends(by_cookie)]) -> str:
    return subject


def crashing(request: Request) -> str:
    """A guard by hand that falls over what it does not expect."""
    if "authorization" not in request.headers:
        raise HTTPException(401)
    return request.headers["authorization"].split(".")[7]


@app.get("/crash")
async def crash(_: Annotated[str, Depends(crashing)]) -> str:
    return "unreachable"


@app.get("/fine", dependencies=[Depends(auth.require("orders:read"))])
async def fine() -> str:
    return "fine"


@app.get("/welcome")
@auth.public
async def welcome() -> str:
    return "open on purpose"
