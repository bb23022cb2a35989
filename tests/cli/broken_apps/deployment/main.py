"""An app that is well written, and served as one should not."""

from fastapi import Depends, FastAPI

from limen import Auth

auth = Auth()
app = FastAPI(openapi_url=None)
auth.install(app, default="deny")


@app.get("/hello", dependencies=[Depends(auth.current_user)])
async def hello() -> str:
    return "hello"
