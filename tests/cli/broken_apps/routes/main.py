"""Guards that were forgotten, and pages of other origins that are let in."""

from typing import Annotated

from fastapi import Cookie, Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.security import APIKeyCookie
from routers import orders

from limen import Auth

auth = Auth()
app = FastAPI(debug=True)
app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True)
auth.install(app)
app.include_router(orders.router)

session = APIKeyCookie(name="sid")


@app.get("/")
@auth.public
async def home() -> str:
    return "open on purpose"


@app.get("/me", dependencies=[Depends(auth.current_user)])
async def me() -> str:
    return "guarded"


@app.post("/transfer")
@auth.public
async def transfer(sid: Annotated[str, Depends(session)]) -> str:
    return sid


@app.delete("/cart")
async def empty_cart(session_token: Annotated[str | None, Cookie()] = None) -> str:
    return str(session_token)
