"""The routes of `limen_app` with no auth at all: what everything is measured against."""

from fastapi import FastAPI

app = FastAPI()


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
