"""Mistakes that mypy must find; each is ignored by its own code, so that an unused ignore fails the test."""

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from limen import Auth, Passwords, Role, User, UserMixin


class Base(DeclarativeBase):
    pass


class Person(UserMixin, Base):
    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)


class Stranger(Base):
    __tablename__ = "strangers"

    id: Mapped[int] = mapped_column(primary_key=True)


Auth(user=Stranger)  # type: ignore[type-var]
Auth(roles=["admin"])  # type: ignore[list-item]
Auth(features=[Passwords])  # type: ignore[list-item]
Role("admin", permissions=7)  # type: ignore[arg-type]
wrong: Auth[User] = Auth(user=Person)  # type: ignore[arg-type]
Auth().require(7)  # type: ignore[call-overload]
Auth()[str]  # type: ignore[type-var]
