"""Rows as a database or a file has them, before anybody says what their columns mean."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Raw = Mapping[str, object]

BATCH = 500


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        problem: why it cannot be read at all; `raw` is then empty.
    """

    number: int
    raw: Raw = field(repr=False)
    problem: str = ""


class Rows(Protocol):
    """A database table or a file."""

    @property
    def name(self) -> str:
        """For the report; holds no password."""
        ...

    async def columns(self) -> frozenset[str] | None:
        """The columns that every row has, or None where each row has its own.

        Raises:
            ConfigurationError: it cannot be read.
        """
        ...

    def batches(self) -> AsyncIterator[Sequence[Row]]:
        """Some hundreds at a time.

        Raises:
            ConfigurationError: it cannot be read.
        """
        ...
