"""A FastAPI route with no auth at all: what everything is measured against."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/protected")
async def protected() -> str:
    return "hello"
