"""Time that a test can turn, also under an app that is already made."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from limen.auth import Auth
from limen.db.users import UserMixin
from limen.http.cookies import cookie_name


class FakeClock:
    """A clock that runs by itself and can be turned forward; what measures silence or waiting is not fooled."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def time(self) -> float:
        return self.now().timestamp()

    def monotonic(self) -> float:
        return time.monotonic()

    def advance(self, **by: float) -> None:
        """Turn it forward: `clock.advance(minutes=15)`, in the words of `timedelta`."""
        self._ahead += timedelta(**by)


@contextmanager
def turned_clock(auth: Auth[UserMixin]) -> Iterator[FakeClock]:
    """A clock that this `Auth` believes for as long as the block lasts; its own, if it was given one.

    Raises:
        TypeError: it was given a clock of another kind, which only its owner can turn.
    """
    own = auth.kernel.clock
    if isinstance(own, FakeClock):
        yield own
        return
    fake = FakeClock()
    try:
        vars(own).update(now=fake.now, time=fake.time)  # every room holds this one object
    except TypeError:
        raise TypeError(f"{own!r} cannot be turned: give Auth(clock=FakeClock()), or no clock") from None
    _look_at_the_clock_again(auth)
    try:
        yield fake
    finally:
        del vars(own)["now"], vars(own)["time"]
        _look_at_the_clock_again(auth)


def _look_at_the_clock_again(auth: Auth[UserMixin]) -> None:
    """The hot path has the clock's functions in its hands."""
    authenticator = auth.kernel.authenticator
    authenticator.arrange(authenticator.schemes, cookie_name=cookie_name(secure=auth.settings.is_secure))
