"""Supabase as the place where people sign in: its tokens at every guard, its sessions in a cookie of this app.

Put the project into `.env`, LIMEN_SUPABASE_URL=https://<project>.supabase.co, and its publishable (anon) key as
LIMEN_SUPABASE_KEY. `limen dev` then serves it; http://localhost:8000/docs has what limen brings:

    POST /auth/supabase/sign-up, sign-in     {"email": …, "password": …}   ->  the session, in an HttpOnly cookie
    POST /auth/supabase/sign-out
    GET  /auth/supabase/oauth/github/authorize                             ->  a sign-in elsewhere, by Supabase

A client that signed in at Supabase itself sends that token instead: `Authorization: Bearer eyJ…`. It is verified here
by the project's public keys, without a look at Supabase.
"""

from typing import Annotated

from fastapi import Depends, FastAPI

from limen import Auth, Principal, Role, Roles, User
from limen.features import Supabase

auth = Auth(
    roles=[
        Role("member", ["posts:read"], description="Everyone who comes from Supabase.", default=True),
        Role("editor", ["posts"], description="Writes posts too: by app_metadata.roles there, or by a role here."),
        Role("admin", ["*"], description="May do everything."),
    ],
    features=[Supabase(), Roles()],
)

app = FastAPI(title="Supabase")
auth.install(app, default="deny")  # a route that is neither guarded nor marked public stops the start

# A row of this app's own, made when somebody is first seen; and who the token proves, without a look at the database.
CurrentUser = Annotated[User, Depends(auth.current_user)]
Reader = Annotated[Principal, Depends(auth.require("posts:read"))]
Writer = Annotated[Principal, Depends(auth.require("posts:write"))]

posts: list[dict[str, str]] = []


@app.get("/")
@auth.public
async def home() -> dict[str, str]:
    """Open to everyone, and says so."""
    return {"docs": "/docs"}


@app.get("/me")
async def me(user: CurrentUser) -> dict[str, str | None]:
    """The caller's row here: the same person keeps it, whatever address they have at Supabase."""
    return {"email": user.email}


@app.get("/posts")
async def read_posts(_: Reader) -> list[dict[str, str]]:
    """For whoever holds `posts:read`."""
    return posts


@app.post("/posts", status_code=201)
async def write_post(text: str, writer: Writer) -> dict[str, str]:
    """For whoever holds `posts:write`: an editor."""
    posts.append({"text": text, "by": writer.subject})
    return posts[-1]
