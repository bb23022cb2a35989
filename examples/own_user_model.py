"""Your own user table: an integer key, columns of your own, a relationship; typed through and through.

    python -m examples.own_user_model                        # makes the tables
    uvicorn examples.own_user_model:app --no-proxy-headers

Sign up with POST /auth/register {"email", "password", "city"}, sign in with the Authorize button of /docs.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field
from sqlalchemy import ForeignKey, String, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from limen import Accounts, ApiKeys, Auth, Passwords, Role, Roles, Sessions, Tokens, UserMixin


class Base(DeclarativeBase):
    """The metadata of the app; limen's tables are in it too, so one `create_all` or one Alembic makes all."""


class Customer(UserMixin, Base):
    """`UserMixin` brings the columns that limen needs; the rest is yours."""

    __tablename__ = "customers"

    id: Mapped[int] = mapped_column(primary_key=True)
    city: Mapped[str] = mapped_column(String(80), default="")
    discount: Mapped[int] = mapped_column(default=0)
    orders: Mapped[list["Order"]] = relationship(back_populates="customer", lazy="raise")


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    article: Mapped[str] = mapped_column(String(80))
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), index=True)
    customer: Mapped[Customer] = relationship(back_populates="orders")


class Profile(BaseModel):
    """The columns that people may see and set themselves; `discount` is not among them."""

    city: str = Field("", max_length=80)


auth = Auth(
    user=Customer,
    roles=[Role("customer", ["orders"], default=True), Role("admin", ["*"])],
    features=[Passwords(), Tokens(), Sessions(), ApiKeys(), Accounts(profile=Profile), Roles()],
)
CurrentCustomer = Annotated[Customer, Depends(auth.current_user)]

app = FastAPI(title="A shop")
auth.install(app)


async def session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(auth.kernel.database.engine, expire_on_commit=False) as current:
        yield current


Session = Annotated[AsyncSession, Depends(session)]


@app.get("/price", dependencies=[Depends(auth.require("orders:read"))])
async def price(customer: CurrentCustomer) -> str:
    return f"{100 - customer.discount} EUR, delivered to {customer.city or 'nowhere yet'}"


@app.post("/orders", status_code=201, dependencies=[Depends(auth.require("orders:write"))])
async def order(article: str, customer: CurrentCustomer, session: Session) -> int:
    placed = Order(article=article, customer_id=customer.id)
    session.add(placed)
    await session.commit()
    return placed.id


@app.get("/orders", dependencies=[Depends(auth.require("orders:read"))])
async def orders(customer: CurrentCustomer, session: Session) -> list[str]:
    mine = select(Order.article).where(Order.customer_id == customer.id).order_by(Order.id)
    return list(await session.scalars(mine))


async def make_tables() -> None:
    """Good enough for an example; an app of yours has migrations."""
    async with auth.kernel.database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await auth.kernel.database.dispose()


if __name__ == "__main__":
    asyncio.run(make_tables())
