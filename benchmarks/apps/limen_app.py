"""The same route guarded by limen, and beside it unguarded."""

from typing import Annotated

from fastapi import Depends, FastAPI

from limen import Auth, Principal, Role, User

auth = Auth(roles=[Role("member", ["items:read"], default=True)])
app = FastAPI()
auth.install(app)


@app.get("/protected", dependencies=[Depends(auth.require("items:read"))])
async def protected() -> str:
    return "hello"


@app.get("/principal")
async def principal(_: Annotated[Principal, Depends(auth.current_principal)]) -> str:
    return "hello"


@app.get("/user")
async def user(_: Annotated[User, Depends(auth.current_user)]) -> str:
    return "hello"


@app.get("/open")
async def unguarded() -> str:
    return "hello"
