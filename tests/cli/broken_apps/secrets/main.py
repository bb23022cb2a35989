"""Secrets where they do not belong: in the source, in the repository, in a file that everyone may read."""

from fastapi import Depends, FastAPI
from starlette.middleware.sessions import SessionMiddleware

from limen import Auth

auth = Auth()
app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key="kitchen-table-42")
auth.install(app, default="deny")


@app.get("/hello", dependencies=[Depends(auth.current_user)])
async def hello() -> str:
    return "hello"
