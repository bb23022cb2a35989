"""The routes of `limen_app` and `limen_router_app` with no auth at all: what everything is measured against."""

from fastapi import APIRouter, FastAPI

app = FastAPI()
router = APIRouter()


@app.get("/protected")
async def protected() -> str:
    return "hello"


@app.get("/principal")
async def principal() -> str:
    return "hello"


@app.get("/user")
async def user() -> str:
    return "hello"


@app.get("/open")
async def unguarded() -> str:
    return "hello"


@router.get("/router/protected")
async def protected_by_router() -> str:
    return "hello"


app.include_router(router)
