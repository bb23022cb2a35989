"""What an operator is told when something is refused: one sentence, and what the log would have said."""

import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from limen.errors import AuthError, ConfigurationError, Unavailable, Unprocessable

MAX_WORDS = 300
LEAST_SECRET = 6
"""Shorter values are in too many words."""

_SECRET_NAME = re.compile(r"KEY|SECRET|PASS|PWD|TOKEN|CREDENTIAL|DSN|SALT", re.IGNORECASE)


def sentence(error: ConfigurationError | AuthError) -> str:
    """One line for stderr."""
    if isinstance(error, Unprocessable):
        return _fields(error)
    if isinstance(error, Unavailable):
        return f"{error.detail} ({error.reason})"
    return error.detail if isinstance(error, AuthError) else str(error)


def _fields(error: Unprocessable) -> str:
    found = error.data.get("errors")
    said = [_field(each) for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []
    return " ".join(said) or error.detail


def _field(error: Mapping[str, object]) -> str:
    place = error.get("loc")
    name = place[-1] if isinstance(place, (list, tuple)) and place else ""
    return f"{name}: {error.get('msg')}" if name else str(error.get("msg"))


def words_of(error: Exception) -> str:
    """What an error of the app's own says: in one line, and without the values that settings gave it."""
    said = " ".join((_of_validation(error) or str(error)).split())
    for secret in sorted(set(_secrets()), key=len, reverse=True):
        said = said.replace(secret, "…")
    return f"{type(error).__name__}: {said[:MAX_WORDS]}"


def _of_validation(error: Exception) -> str:
    """pydantic quotes what it was given: that is often a setting, or all of them."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return ""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return f"{error.title}: " + "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found)


def _secrets() -> Iterator[str]:
    """Values of settings that nobody should see on a terminal or in a report of CI."""
    from dotenv import dotenv_values

    for name, value in (*os.environ.items(), *dotenv_values(".env").items()):
        if value and len(value) >= LEAST_SECRET and _SECRET_NAME.search(name):
            yield value
        if value and "://" in value and (password := _password_in(value)):
            yield password


def _password_in(url: str) -> str:
    try:
        password = urlsplit(url).password or ""
    except ValueError:
        return ""
    return password if len(password) >= LEAST_SECRET else ""
