"""A FastAPI app that limen guards. Start it with `uvicorn main:app --no-proxy-headers`."""

from typing import Annotated

from fastapi import Depends, FastAPI, Security

from limen import Auth, Role, User

auth = Auth(roles=[Role("member", ["items:read"]), Role("editor", ["items"]), Role("admin", ["*"])])
CurrentUser = Annotated[User, Depends(auth.current_user)]

app = FastAPI()
auth.install(app)  # routes, errors, OpenAPI, lifespan


@app.get("/hello")
async def hello(user: CurrentUser) -> str:
    """For anyone who is signed in."""
    return user.email


@app.post("/items", status_code=201, dependencies=[Depends(auth.require("items:write"))])
async def create_item() -> dict[str, str]:
    """For who may write items: the roles editor and admin."""
    return {"status": "created"}


@app.get("/mine")
async def mine(user: Annotated[User, Security(auth.current_user, scopes=["items:read"])]) -> str:
    """FastAPI's own idiom works too, and shows in OpenAPI."""
    return f"the items of {user.email}"
