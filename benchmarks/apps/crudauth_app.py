"""crudauth with bearer tokens, as its documentation shows it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from crudauth import BearerTransport, CRUDAuth, Principal
from crudauth.models import AuthUserMixin
from fastapi import Depends, FastAPI
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

engine = create_async_engine("sqlite+aiosqlite:///./peer.db")
sessions = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    pass


class User(Base, AuthUserMixin):
    __tablename__ = "users"


async def get_session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


auth = CRUDAuth(
    session=get_session,
    user_model=User,
    SECRET_KEY="a secret of more than thirty-two bytes, for benchmarks only",
    transports=[BearerTransport(access_ttl=3600, refresh="body")],
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await auth.initialize()
    yield
    await auth.shutdown()


app = FastAPI(lifespan=lifespan)
app.include_router(auth.router)


@app.get("/protected")
async def protected(_: Annotated[Principal, Depends(auth.current_user())]) -> str:
    return "hello"
