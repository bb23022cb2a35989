"""Passwords and tokens that lie in the open, in a database that nobody migrated."""

from fastapi import Depends, FastAPI

from limen import Auth

auth = Auth()
app = FastAPI()
auth.install(app, default="deny")


@app.get("/hello", dependencies=[Depends(auth.current_user)])
async def hello() -> str:
    return "hello"
