"""A check: one numbered rule with its reason and its cure, and the function that looks for it in the evidence."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from limen.checks.evidence import Evidence
from limen.feature import Finding, Severity


@dataclass(frozen=True, slots=True)
class Trouble:
    """One place where a rule is broken.

    Attributes:
        sentence: what is wrong there.
        where: a setting, a route, a table, or a file.
        line: of that file.
    """

    sentence: str
    where: str = ""
    line: int | None = None


Look = Callable[[Evidence], Iterable[Trouble]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A rule.

    Attributes:
        id: stable: `limen.E201`.
        title: what is wrong, in general.
        reason: why it matters.
        cure: what to do.
        look: finds the places where it is broken.
    """

    id: str
    title: str
    reason: str
    cure: str
    look: Look

    def findings(self, seen: Evidence) -> Iterator[Finding]:
        """What it finds."""
        for trouble in self.look(seen):
            yield Finding(
                id=self.id,
                sentence=trouble.sentence,
                reason=self.reason,
                cure=self.cure,
                where=trouble.where,
                line=trouble.line,
            )

    @property
    def severity(self) -> Severity:
        """By the letter of the id."""
        return Finding(id=self.id, sentence=self.title).severity


_CHECKS: dict[str, Check] = {}


def check(id: str, title: str, *, reason: str, cure: str) -> Callable[[Look], Look]:
    """Number the function below as a rule."""

    def number(look: Look) -> Look:
        if id in _CHECKS:
            raise ValueError(f"two checks are called {id}")
        _CHECKS[id] = Check(id=id, title=title, reason=reason, cure=cure, look=look)
        return look

    return number


def all_checks() -> tuple[Check, ...]:
    """Every rule, by its number."""
    from limen.checks import rules

    rules.load()
    return tuple(sorted(_CHECKS.values(), key=lambda each: each.id[-3:]))


def judge(seen: Evidence) -> tuple[Finding, ...]:
    """What the rules and the app's features say of the evidence, the gravest first."""
    found = [finding for each in all_checks() for finding in each.findings(seen)]
    order = {"error": 0, "warning": 1, "note": 2}
    return tuple(sorted([*found, *seen.reported], key=lambda finding: (order[finding.severity], finding.id[-3:])))
