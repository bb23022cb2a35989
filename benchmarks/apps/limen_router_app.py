"""limen on a router that knows nothing of its route class: FastAPI solves the guard as a dependency."""

from fastapi import APIRouter, Depends, FastAPI

from limen import Auth, Role

auth = Auth(roles=[Role("member", ["items:read"], default=True)])
app = FastAPI()
auth.install(app)
router = APIRouter()


@router.get("/router/protected", dependencies=[Depends(auth.require("items:read"))])
async def protected() -> str:
    return "hello"


app.include_router(router)
