"""An API whose people sign in at Supabase. Settings: LIMEN_SECRET_KEY, LIMEN_SUPABASE_URL, LIMEN_SUPABASE_KEY.

Start it with `limen migrate --app supabase_app:app`, then `uvicorn supabase_app:app --no-proxy-headers`. Browsers sign
in by `POST /auth/supabase/sign-in` or `/auth/supabase/oauth/github/authorize`; others send Supabase's access token.
"""

from typing import Annotated

from fastapi import Depends, FastAPI

from limen import Accounts, Auth, Passwords, Principal, Role, Roles, User, authenticated, method
from limen.features import Supabase

auth = Auth(
    roles=[Role("member", ["notes"], default=True), Role("admin", ["*"])],
    features=[Passwords(), Accounts(), Roles(), Supabase()],
)
app = FastAPI()
auth.install(app)

Me = Annotated[User, Depends(auth.current_user)]
Careful = Annotated[Principal, Depends(auth.require(authenticated() & method("mfa")))]

notes: dict[str, list[str]] = {}  # by the row's id, which is one name for one person whoever vouches


@app.get("/notes", dependencies=[Depends(auth.require("notes:read"))])
async def list_notes(me: Me) -> list[str]:
    """One's own notes."""
    return notes.get(str(me.id), [])


@app.post("/notes", status_code=201, dependencies=[Depends(auth.require("notes:write"))])
async def add_note(text: str, me: Me) -> list[str]:
    """Add one; by the cookie only from the app's own pages."""
    notes.setdefault(str(me.id), []).append(text)
    return notes[str(me.id)]


@app.delete("/notes", status_code=204)
async def forget_everything(principal: Careful) -> None:
    """For who has proved a second factor at Supabase (`aal2`)."""
    notes.pop(principal.user_id or "", None)


@app.get("/whoami")
async def whoami(principal: Annotated[Principal, Depends(auth.current_principal)]) -> dict[str, object]:
    """What the credential says; no database is asked."""
    return {"issuer": principal.issuer, "subject": principal.subject, "aal": principal.claims.get("aal")}
