"""What an operator is told when something is refused: one sentence, and what the log would have said."""

from collections.abc import Mapping

from limen.errors import AuthError, ConfigurationError, Unavailable, Unprocessable


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
