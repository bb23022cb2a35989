"""limen in an app that has users, an engine and sessions of its own: the users stay, with their passwords.

export LIMEN_DATABASE_URL=…             # the database that the app has
python adopt.py                         # once, in examples/existing_app
uvicorn main:app --no-proxy-headers
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from models import Invoice, Session, User, engine
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from limen import Auth, Role

auth = Auth(
    user=User,
    engine=engine,
    roles=[Role("customer", ["invoices:read"], default=True), Role("admin", ["*"])],
)
CurrentUser = Annotated[User, Depends(auth.current_user)]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    await engine.dispose()


app = FastAPI(title="Invoices", lifespan=lifespan)
auth.install(app)


async def get_session() -> AsyncIterator[AsyncSession]:
    """The app's own. limen never rides on it: its transactions are short, and its own."""
    async with Session() as session:
        yield session


@app.get("/invoices", dependencies=[Depends(auth.require("invoices:read"))])
async def invoices(user: CurrentUser, session: Annotated[AsyncSession, Depends(get_session)]) -> list[int]:
    return list(await session.scalars(select(Invoice.cents).where(Invoice.user_id == user.id)))


@app.get("/admin", dependencies=[Depends(auth.require("*"))])
async def admin(user: CurrentUser) -> str:
    return f"Welcome, {user.full_name}"
