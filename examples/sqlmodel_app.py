"""SQLModel beside limen: your models are SQLModel's, the user table is SQLAlchemy's, the metadata is one.

    python -m examples.sqlmodel_app                        # makes the tables
    uvicorn examples.sqlmodel_app:app --no-proxy-headers

`UserMixin` is SQLAlchemy's kind of class, which pydantic cannot read; foreign keys cross over all the same.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from limen import Auth, Role, UserMixin


class Base(DeclarativeBase):
    metadata = SQLModel.metadata


class Member(UserMixin, Base):
    __tablename__ = "members"

    id: Mapped[int] = mapped_column(primary_key=True)


class HeroIn(SQLModel):
    """What people send; a field that it does not have, they cannot set."""

    name: str = Field(min_length=1, max_length=80)
    power: str = Field(default="none", max_length=80)


class Hero(HeroIn, table=True):
    """What is stored: the owner comes from the credential, never from the body."""

    __tablename__ = "heroes"

    id: int | None = Field(default=None, primary_key=True)
    owner_id: int = Field(foreign_key="members.id", ondelete="CASCADE", index=True)


auth = Auth(user=Member, roles=[Role("member", ["heroes"], default=True), Role("admin", ["*"])])
CurrentMember = Annotated[Member, Depends(auth.current_user)]

app = FastAPI(title="Heroes")
auth.install(app)


async def session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(auth.kernel.database.engine, expire_on_commit=False) as current:
        yield current


Session = Annotated[AsyncSession, Depends(session)]


@app.post("/heroes", status_code=201, dependencies=[Depends(auth.require("heroes:write"))])
async def add(body: HeroIn, member: CurrentMember, session: Session) -> Hero:
    hero = Hero(**body.model_dump(), owner_id=member.id)
    session.add(hero)
    await session.commit()
    return hero


@app.get("/heroes", dependencies=[Depends(auth.require("heroes:read"))])
async def own(member: CurrentMember, session: Session) -> list[Hero]:
    return list(await session.exec(select(Hero).where(Hero.owner_id == member.id).order_by(col(Hero.id))))


@app.delete("/heroes/{hero_id}", status_code=204, dependencies=[Depends(auth.require("heroes:delete"))])
async def retire(hero_id: int, member: CurrentMember, session: Session) -> None:
    hero = await session.get(Hero, hero_id)
    if hero is None or hero.owner_id != member.id:
        raise HTTPException(404)  # for somebody else's too: one may not even know of it
    await session.delete(hero)
    await session.commit()


async def make_tables() -> None:
    """Good enough for an example; an app of yours has migrations."""
    async with auth.kernel.database.engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)
    await auth.kernel.database.dispose()


if __name__ == "__main__":
    asyncio.run(make_tables())
