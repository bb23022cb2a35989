"""The one source of time."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time; a test hands in one that it can turn."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...

    def time(self) -> float:
        """The same moment in seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow, for measuring how long ago something was."""
        ...


class SystemClock:
    """The clock of the machine."""

    monotonic = staticmethod(time.monotonic)  # these two are asked in every request: no call of ours stands between
    time = staticmethod(time.time)

    def now(self) -> datetime:
        return datetime.now(UTC)
