"""The user row: limen's own `User`, or the app's `class User(UserMixin, Base)` with any key, columns and table name."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, Boolean, Column, String, Table, Uuid, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from limen.core.opaque import parse_uuid
from limen.db.types import Timestamp
from limen.errors import ConfigurationError

_BIGGEST_INTEGER_KEY = 2**63 - 1


class UserMixin:
    """The columns that limen reads and writes; add your own beside them.

    Attributes:
        email: the address as typed, for mail and display.
        email_canonical: its one canonical form; unique, decides who is who.
        username: optional second name to sign in with, as typed.
        is_active: False refuses every sign-in and every credential.
        is_verified: the address was proved.
        is_service: a machine's account: it comes by API key or as an OAuth client and can never sign in.
        created_at: aware, UTC.
        rights_epoch: counts changes of roles and permissions, from the moment of creation on: a key that is given
            out again begins above its last holder's count. A credential carries the count that it was made with.
    """

    email: Mapped[str] = mapped_column(String(320))
    email_canonical: Mapped[str] = mapped_column(String(320), unique=True)
    username: Mapped[str | None] = mapped_column(String(64), default=None)
    username_canonical: Mapped[str | None] = mapped_column(String(64), unique=True, default=None)
    is_active: Mapped[bool] = mapped_column(Boolean, default=True)
    is_verified: Mapped[bool] = mapped_column(Boolean, default=False)
    is_service: Mapped[bool] = mapped_column(Boolean, default=False)
    created_at: Mapped[datetime] = mapped_column(Timestamp, default=lambda: datetime.now(UTC))
    rights_epoch: Mapped[int] = mapped_column(BigInteger, default=0)


class Base(DeclarativeBase):
    """The metadata of limen's own tables when the app brings no user model."""


class User(UserMixin, Base):
    """limen's own user, keyed by a random UUID."""

    __tablename__ = "limen_users"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)


def key_column(model: type[UserMixin]) -> Column[object]:
    """The user table's one primary-key column.

    Raises:
        ConfigurationError: the model is not mapped to one table with one key column.
    """
    mapper = inspect(model, raiseerr=False)
    table = getattr(mapper, "local_table", None)
    if not isinstance(table, Table):
        raise ConfigurationError(f"Auth(user={model.__name__}): the class is not mapped to a table")
    keys = list(table.primary_key.columns)
    if len(keys) != 1:
        raise ConfigurationError(f"Auth(user={model.__name__}): the table needs a primary key of one column")
    return keys[0]


def parse_key(column: Column[object], subject: str) -> object | None:
    """The key that `subject` is the text of, or None: whatever arrives is no error of the database."""
    kind = column.type.python_type
    if kind is UUID:
        return parse_uuid(subject)
    if kind is int:
        return _parse_integer(subject)
    return subject if kind is str and 0 < len(subject) <= 255 and "\x00" not in subject else None


def _parse_integer(subject: str) -> int | None:
    if not subject.isascii() or not subject.isdigit() or len(subject) > 19 or (subject[0] == "0" and subject != "0"):
        return None
    value = int(subject)
    return value if value <= _BIGGEST_INTEGER_KEY else None
