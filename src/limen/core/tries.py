"""Tries as they are remembered: one line of marks per name, the newest first.

A mark says when, who and whether the outcome is known: 13 digits of milliseconds, 6 characters of chance, 6 that tell
sources apart, `?` while the try is under way and `!` when it failed. A line never holds more marks than its budget
allows, so a place in it says how many tries were made since: a budget is exact over any stretch of time, not only from
one full minute to the next, and a store needs one statement to count.
"""

import math
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from limen.core.conditions import Rate

TIME = 13
TAG = 6
MARK = TIME + 6 + TAG + 1
PENDING, SPENT = "?", "!"
MAX_TRIES = 10_000
OUTCOME_SECONDS = 30.0
"""After this, a try whose outcome nobody told has failed: its worker died."""


@dataclass(frozen=True)
class Budget:
    """So many tries in so many seconds, by one rate or several at once."""

    rates: tuple[Rate, ...]

    @classmethod
    def growing(cls, rate: Rate) -> "Budget":
        """`rate`, twice its tries in six times its time, three times in twenty-four: who uses it up again and again
        waits longer and longer, and never longer than the last.
        """
        return cls((rate, Rate(2 * rate.requests, 6 * rate.seconds), Rate(3 * rate.requests, 24 * rate.seconds)))

    def less(self, taken: Mapping[int, int]) -> "Budget | None":
        """What is left of it when so many tries of each rate, by its place, are used already; None for nothing."""
        left = tuple(Rate(rate.requests - taken.get(place, 0), rate.seconds) for place, rate in enumerate(self.rates))
        return Budget(left) if all(rate.requests > 0 for rate in left) else None

    @cached_property
    def kept(self) -> int:
        """How many marks say all that it asks."""
        return max(rate.requests for rate in self.rates)

    @cached_property
    def lasts(self) -> int:
        """Seconds after which a mark says nothing."""
        return max(rate.seconds for rate in self.rates)


def parse_budget(text: str) -> Rate | None:
    """The rate of `10/5minutes`; None for `off`, and for 10,000 tries or more, which limit nothing.

    Raises:
        ValueError: it is neither.
    """
    if text.strip() == "off":
        return None
    try:
        rate = Rate.parse(text, most=sys.maxsize)
    except ValueError:
        raise ValueError("neither a rate such as 10/5minutes nor `off`") from None
    return rate if rate.requests < MAX_TRIES else None


def mark(now: float, *, tag: str = "", state: str = SPENT) -> str:
    """A mark of now; no two are the same."""
    return f"{milliseconds(now)}{secrets.token_urlsafe(5)[:6]}{tag[:TAG]:-<{TAG}}{state}"


def milliseconds(now: float) -> str:
    """Comparable as text."""
    return f"{max(0, int(now * 1000)):0{TIME}d}"


def settled(own: str) -> str:
    """The same mark when the outcome is known."""
    return own[:-1] + SPENT


def take(marks: str, own: str, budget: Budget, now: float) -> str | None:
    """The line with one more mark, or None when there is no room: what each store does in one step."""
    for rate in budget.rates:
        oldest = marks[(rate.requests - 1) * MARK :][:TIME]
        if oldest and oldest > milliseconds(now - rate.seconds):
            return None
    return (own + marks)[: budget.kept * MARK]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a line stands to a budget.

    Attributes:
        wait: seconds until there is room again, if all that is under way fails.
        is_certain: whether failed tries alone use it up; else some are under way and may be given back.
    """

    wait: int
    is_certain: bool


def standing(marks: str, budget: Budget, now: float) -> Standing:
    """Why a line has no room for one more."""
    waits, certain = [0], False
    for rate in budget.rates:
        since = now - rate.seconds
        within = [each for each in split(marks) if time_of(each) > since]
        failed = [each for each in within if each[-1] == SPENT or time_of(each) < now - OUTCOME_SECONDS]
        if len(failed) >= rate.requests:
            certain = True
        if len(within) >= rate.requests:
            waits.append(math.ceil(time_of(within[rate.requests - 1]) - since))
    return Standing(wait=max(1, *waits), is_certain=certain)


def counted(marks: str, budget: Budget, now: float, *, tag: str | None = None) -> dict[int, int]:
    """How many marks (with this tag) count against each rate, by its place."""
    found = [each for each in split(marks) if tag is None or each[TIME + 6 : -1] == f"{tag[:TAG]:-<{TAG}}"]
    return {place: sum(time_of(each) > now - rate.seconds for each in found) for place, rate in enumerate(budget.rates)}


def split(marks: str) -> list[str]:
    """The marks of a line."""
    return [marks[start : start + MARK] for start in range(0, len(marks), MARK)]


def time_of(own: str) -> float:
    """When a mark was made."""
    return int(own[:TIME]) / 1000
