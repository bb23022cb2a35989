"""fastapi-fullauth on SQLAlchemy: by the claims alone, and with the user's row."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi_fullauth import FullAuth, FullAuthConfig
from fastapi_fullauth.adapters import SQLAlchemyAdapter
from fastapi_fullauth.dependencies import current_user
from fastapi_fullauth.dependencies.current_user import current_token_payload
from fastapi_fullauth.models.sqlalchemy import RefreshTokenMixin, UserMixin
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

engine = create_async_engine("sqlite+aiosqlite:///./peer.db")


class Base(DeclarativeBase):
    pass


class User(UserMixin, Base):
    pass


class RefreshToken(RefreshTokenMixin, Base):
    pass


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield


app = FastAPI(lifespan=lifespan)
fullauth = FullAuth(
    adapter=SQLAlchemyAdapter(
        session_maker=async_sessionmaker(engine, expire_on_commit=False),
        user_model=User,
        refresh_token_model=RefreshToken,
    ),
    config=FullAuthConfig(SECRET_KEY="a secret of more than thirty-two bytes, for benchmarks only"),
)
fullauth.init_app(app)


@app.get("/protected", dependencies=[Depends(current_token_payload)])
async def protected() -> str:
    return "hello"


@app.get("/user")
async def user(_: Annotated[object, Depends(current_user)]) -> str:
    return "hello"
