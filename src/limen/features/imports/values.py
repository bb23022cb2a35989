"""What texts and other apps' values mean as a truth, a moment or a column of the app's own."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from uuid import UUID

from sqlalchemy import Column, String
from sqlalchemy.exc import ArgumentError

MAX_FIELD = 64 * 1024
_TRUTHS: Mapping[str, bool] = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}


def truth(value: object, *, of: str, default: bool) -> bool:
    """What a value says that is true or false in some spelling; nothing is the default.

    Raises:
        ValueError: it is neither.
    """
    if value is None or value == "":
        return default
    found = _TRUTHS.get(str(value).strip().lower())
    if found is None:
        raise ValueError(f"{of} is neither true nor false")
    return found


def moment(value: object, *, of: str) -> datetime | None:
    """The aware moment that a value says, in ISO 8601 or as a `datetime`; one without a zone is in UTC.

    Raises:
        ValueError: it is none.
    """
    if value is None or value == "":
        return None
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{of} is not a moment as ISO 8601 writes it") from None


def text(value: object, *, of: str) -> str | None:
    """The text that a value says.

    Raises:
        ValueError: it is not UTF-8, holds a NUL, is over 64 KB or no text.
    """
    if value is None:
        return None
    if not isinstance(value, str | int | UUID):
        raise ValueError(f"{of} is not a text")  # noqa: TRY004 - a value of a row, not of the program
    found = str(value)
    if len(found) > MAX_FIELD:
        raise ValueError(f"{of} is over 64 KB")
    if "\x00" in found:
        raise ValueError(f"{of} holds a NUL")
    if any("\ud800" <= character <= "\udfff" for character in found):
        raise ValueError(f"{of} is not UTF-8")
    return found


def column_value(column: Column[object], value: object) -> object:
    """The value for a column of the app's own.

    Raises:
        ValueError: it is none of the column's type.
    """
    if value is None:
        return None
    kind = _kind_of(column)
    if kind is None or (isinstance(value, kind) and kind is not str):
        return value
    if kind is str:
        found = text(value, of=column.name)
        most = column.type.length if isinstance(column.type, String) else None
        if most is not None and found is not None and len(found) > most:
            raise ValueError(f"{column.name} is over {most} characters")
        return found
    return _parsed(kind, value, of=column.name)


def _kind_of(column: Column[object]) -> type | None:
    try:
        return column.type.python_type
    except (NotImplementedError, ArgumentError):
        return None


def _parsed(kind: type, value: object, *, of: str) -> object:
    if value == "":
        return None
    if kind is bool:
        return truth(value, of=of, default=False)
    if kind is datetime:
        return moment(value, of=of)
    parse = _PARSERS.get(kind)
    if parse is None:
        return value
    try:
        return parse(str(value).strip())
    except (ValueError, InvalidOperation, OverflowError):
        raise ValueError(f"{of} is no {kind.__name__}") from None


_PARSERS: Mapping[type, Callable[[str], object]] = {
    int: int,
    float: float,
    Decimal: Decimal,
    UUID: UUID,
    date: date.fromisoformat,
}
