"""The tables that the app had before limen, and the one change to them: `UserMixin` on the class of its users.

Its key, its name, its own columns and whatever refers to it stay. `hashed_password` can go once `adopt.py` ran.
"""

from sqlalchemy import ForeignKey, String
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from limen import AuthSettings, UserMixin

engine = create_async_engine(AuthSettings.load().database_url)  # the app's own, as it always was
Session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase): ...


class User(UserMixin, Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    full_name: Mapped[str] = mapped_column(String(80), default="")
    hashed_password: Mapped[str | None] = mapped_column(String(128), default=None)
    is_admin: Mapped[bool] = mapped_column(default=False)


class Invoice(Base):
    __tablename__ = "invoices"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    cents: Mapped[int]
