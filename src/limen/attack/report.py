"""What came of it: a matrix of routes and attacks, and each thing that let something in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from limen.attack.answers import Outcome
from limen.attack.attempts import ATTACKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """An attempt that was not refused."""

    route: str
    attack: str
    name: str
    status: int
    outcome: Outcome

    def __str__(self) -> str:
        return f"{self.route}: {self.attack}, {self.name}: {self.outcome.lower()} ({self.status})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of every attack on every route.

    Attributes:
        rows: by route, by attack.
        holes: what was not refused.
        requests: how many were sent.
        is_cut: whether a bound was reached before everything was tried.
        untried: why some of it was not tried at all.
    """

    rows: Mapping[str, Mapping[str, Outcome]]
    holes: Sequence[Hole]
    requests: int
    is_cut: bool = False
    untried: Sequence[str] = ()

    def assert_closed(self) -> None:
        """Let a test pass if nothing came in.

        Raises:
            AssertionError: something did, or not everything could be tried; the message names each.
        """
        told = [str(hole) for hole in self.holes]
        if self.is_cut:
            told.append(f"the bound was reached after {self.requests} requests")
        if told:
            raise AssertionError("What must be refused came in:\n" + "\n".join(told))

    def described(self) -> dict[str, object]:
        """The same as JSON knows it."""
        holes = [{name: getattr(hole, name) for name in Hole.__slots__} for hole in self.holes]
        rows = [{"route": route, **row} for route, row in self.rows.items()]
        return {
            "routes": rows,
            "holes": holes,
            "requests": self.requests,
            "is_cut": self.is_cut,
            "untried": list(self.untried),
        }

    def __str__(self) -> str:
        lines = [
            f"{route}: {', '.join(f'{attack} {row[attack]}' for attack in ATTACKS)}" for route, row in self.rows.items()
        ]
        return "\n".join([*lines, *map(str, self.holes)])
