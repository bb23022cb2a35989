"""better-auth-server (Python) with its cookie cache, as its documentation shows it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from better_auth import BetterAuth, EmailAndPassword, SessionOptions
from better_auth.adapters.sqlalchemy import SQLAlchemyAdapter
from better_auth.config import CookieCache
from better_auth.integrations.fastapi import BetterAuthFastAPI
from fastapi import Depends, FastAPI
from sqlalchemy.ext.asyncio import create_async_engine

adapter = SQLAlchemyAdapter(create_async_engine("sqlite+aiosqlite:///./peer.db"))
auth = BetterAuth(
    secret="a secret of more than thirty-two bytes, for benchmarks only",
    base_url="http://localhost:8000",
    adapter=adapter,
    email_and_password=EmailAndPassword(enabled=True),
    session=SessionOptions(cookie_cache=CookieCache(enabled=True, max_age=3600)),
)
better = BetterAuthFastAPI(auth)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    await adapter.create_tables()
    yield


app = FastAPI(lifespan=lifespan)
app.include_router(better.router)


@app.get("/protected")
async def protected(_: Annotated[dict[str, object], Depends(better.require_session)]) -> str:
    return "hello"
