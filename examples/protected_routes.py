"""Protected routes: the patterns of the well-known FastAPI guides, with limen.

    limen migrate --app examples.protected_routes
    uvicorn examples.protected_routes:app --no-proxy-headers

Sign up with POST /auth/register, sign in with the Authorize button of /docs, then try the routes.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Security, WebSocket

from limen import Auth, Principal, Role, User, fresh, method, role

auth = Auth(
    roles=[
        Role("reader", ["items:read", "me"], default=True, description="Looks at items."),
        Role("writer", ["items:read", "items:write", "me"], description="Changes items."),
        Role("admin", ["*"], description="May do everything."),
    ]
)

# Name a dependency once, use it everywhere.
CurrentUser = Annotated[User, Depends(auth.current_user)]
OptionalUser = Annotated[User | None, Depends(auth.optional_user)]
CurrentPrincipal = Annotated[Principal, Depends(auth.current_principal)]
Admin = Annotated[Principal, Depends(auth.require(role("admin")))]
Writer = Annotated[Principal, Depends(auth.require("items:write"))]

app = FastAPI(title="Protected routes")
auth.install(app, default="deny")  # a route that is neither guarded nor public does not start


@app.get("/")
@auth.public
async def home() -> str:
    return "Everybody may read this."


# The current user: the row in the database. A disabled one is refused, so this is the *active* user of the guides.
@app.get("/users/me/profile")
async def read_profile(user: CurrentUser) -> dict[str, str]:
    return {"email": user.email, "since": user.created_at.date().isoformat()}


# A plain function works as well as an async one.
@app.get("/users/me/hello")
def hello(user: CurrentUser) -> str:
    return f"Hello {user.username or user.email}"


# Who is it? Without a look at the database: what the token says, verified.
@app.get("/whoami")
async def whoami(principal: CurrentPrincipal) -> dict[str, object]:
    return {"sub": principal.subject, "roles": sorted(principal.roles), "by": principal.credential}


# Signed in or not: one route for both.
@app.get("/greeting")
@auth.public
async def greeting(user: OptionalUser) -> str:
    return f"Welcome back, {user.email}" if user else "Welcome, stranger"


# FastAPI's own idiom: Security with scopes. It is enforced, and shown in OpenAPI.
@app.get("/users/me/items")
async def read_own_items(user: Annotated[User, Security(auth.current_user, scopes=["me", "items:read"])]) -> list[str]:
    return [f"an item of {user.email}"]


# Administrators only: as a parameter, or as a dependency of the route where the answer is not needed.
@app.get("/admin")
async def admin_page(admin: Admin) -> str:
    return f"Welcome, {admin.subject}"


@app.post("/items", status_code=201, dependencies=[Depends(auth.require("items:write"))])
async def add_item(name: str) -> dict[str, str]:
    return {"name": name}


# What is dangerous asks for a sign-in of the last ten minutes, by a person and not by an API key.
@app.delete("/everything", dependencies=[Depends(auth.require("*" & fresh(minutes=10) & ~method("api_key")))])
async def delete_everything() -> str:
    return "Gone."


# A router whose every route is guarded; a route may ask for more.
reports = APIRouter(prefix="/reports", dependencies=[Depends(auth.require(role("writer", "admin")))])


@reports.get("")
async def list_reports() -> list[str]:
    return ["today", "yesterday"]


@reports.delete("/{name}", dependencies=[Depends(auth.require(role("admin")))])
async def delete_report(name: str) -> str:
    return f"{name} is gone"


app.include_router(reports)


# A WebSocket is guarded like any route; it is closed when the session ends.
@app.websocket("/ws")
async def chat(websocket: WebSocket, principal: CurrentPrincipal) -> None:
    await websocket.accept()
    await websocket.send_json({"hello": principal.subject})
    await websocket.close()
