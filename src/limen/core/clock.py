"""The one source of time."""

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


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def time(self) -> float:
        return self.now().timestamp()
