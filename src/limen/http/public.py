"""What is open on purpose says so: `@auth.public`."""

from typing import TypeVar

from limen.errors import ConfigurationError

T = TypeVar("T")

_MARK = "__limen_public__"


def public(endpoint: T) -> T:
    """Mark an endpoint, or a mounted app, as open to everyone on purpose; nothing else of it changes.

    Raises:
        ConfigurationError: it cannot carry a mark (a bound method, a built-in).
    """
    try:
        setattr(endpoint, _MARK, True)
    except AttributeError:
        raise ConfigurationError(f"auth.public cannot mark {endpoint!r}: mark the function itself.") from None
    return endpoint


def is_public(endpoint: object) -> bool:
    """Whether it was marked."""
    return getattr(endpoint, _MARK, False) is True
