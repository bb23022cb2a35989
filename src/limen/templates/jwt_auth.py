"""JWT authentication, complete: people register, sign in, refresh and sign out, and reach what they may.

`limen dev` serves it with a first admin. What limen brings is on http://localhost:8000/docs:

    POST /auth/register    {"email": …, "password": …}
    POST /auth/login       the form username=…&password=…   ->  access_token (15 minutes), refresh_token (14 days)
    POST /auth/refresh     {"refresh_token": …}             ->  the next pair
    POST /auth/logout      ends the session: what it handed out is refused within a second
"""

from itertools import count
from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field

from limen import Accounts, Auth, Passwords, Principal, Role, Roles, Sessions, Tokens, User, fresh, role

auth = Auth(
    roles=[
        Role("member", ["notes:read", "notes:write"], description="Everyone who registers.", default=True),
        Role("admin", ["*"], description="May do everything."),
    ],
    permissions={"notes:read": "Read notes", "notes:write": "Write notes", "notes:delete": "Delete any note"},
    features=[Passwords(), Tokens(), Sessions(), Accounts(), Roles()],
)

app = FastAPI(title="JWT")
auth.install(app, default="deny")  # a route that is neither guarded nor marked public stops the start

# Three ways to know who asks. The first two need no look at the database.
Reader = Annotated[Principal, Depends(auth.require("notes:read"))]
Writer = Annotated[Principal, Depends(auth.require("notes:write"))]
CurrentUser = Annotated[User, Depends(auth.current_user)]


class NoteIn(BaseModel):
    """What a writer sends."""

    text: str = Field(min_length=1, max_length=500)


class Note(NoteIn):
    """What a reader gets."""

    id: int
    author_id: str


numbers = count(1)
notes: dict[int, Note] = {}


@app.get("/")
@auth.public
async def home() -> dict[str, str]:
    """Open to everyone, and says so."""
    return {"docs": "/docs"}


@app.get("/me")
async def me(user: CurrentUser) -> dict[str, str | None]:
    """The caller's own row, as it is in the database now."""
    return {"email": user.email, "username": user.username}


@app.get("/notes")
async def read_notes(_: Reader) -> list[Note]:
    """For whoever holds `notes:read`."""
    return list(notes.values())


@app.post("/notes", status_code=201)
async def write_note(note: NoteIn, writer: Writer) -> Note:
    """For whoever holds `notes:write`; the token says whose note it is, the body does not."""
    written = Note(id=next(numbers), author_id=writer.subject, text=note.text)
    notes[written.id] = written
    return written


@app.delete("/notes/{note_id}", status_code=204, dependencies=[Depends(auth.require("notes:delete"))])
async def delete_note(note_id: int) -> None:
    """For whoever holds `notes:delete`: here the admin, by `*`."""
    notes.pop(note_id, None)


@app.delete("/notes", status_code=204, dependencies=[Depends(auth.require(role("admin") & fresh(minutes=10)))])
async def delete_all_notes() -> None:
    """For an admin who signed in within the last ten minutes: a stolen old token is not enough."""
    notes.clear()
