"""What a change did to the route map: what it opened, above all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from limen.errors import ConfigurationError

Kind = Literal["opened", "closed", "changed", "added", "removed"]
Line = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One method and path whose line of the map is another.

    Attributes:
        kind: `opened` where everybody comes in who did not before, also by a route that is new.
        before, after: who came in and who comes in, as text; empty for none.
    """

    kind: Kind
    method: str
    path: str
    before: str
    after: str

    def __str__(self) -> str:
        told = " -> ".join(part for part in (self.before, self.after) if part)
        return f"{self.kind:8} {self.method} {self.path}: {told}"


def compare(before: Sequence[Line], after: Sequence[Line]) -> tuple[Change, ...]:
    """The changes between two maps as `limen routes --json` writes them; what was opened comes first.

    Raises:
        ConfigurationError: one of them is not such a map.
    """
    old, new = _by_method(before), _by_method(after)
    keys = [*new, *(key for key in old if key not in new)]
    changes = [change for key in keys if (change := _change(key, old.get(key), new.get(key))) is not None]
    return tuple(sorted(changes, key=lambda change: change.kind != "opened"))


def _by_method(routes: Sequence[Line]) -> dict[tuple[str, str], Line]:
    """The first line of each method and path: the one that answers."""
    found: dict[tuple[str, str], Line] = {}
    for line in routes:
        methods, path = (line.get("methods"), line.get("path")) if isinstance(line, Mapping) else (None, None)
        if not isinstance(methods, list) or not isinstance(path, str):
            raise ConfigurationError("This is no route map: make one with `limen routes --json`.")
        for method in methods:
            found.setdefault((str(method), path), line)
    return found


def _change(key: tuple[str, str], old: Line | None, new: Line | None) -> Change | None:
    before, after = _said(old), _said(new)
    if before == after:
        return None
    return Change(kind=_kind(old, new), method=key[0], path=key[1], before=before, after=after)


def _kind(old: Line | None, new: Line | None) -> Kind:
    was_open, is_open = (line is not None and line.get("access") != "guarded" for line in (old, new))
    if is_open and not was_open:
        return "opened"
    if old is None or new is None:
        return "added" if old is None else "removed"
    return "closed" if was_open and not is_open else "changed"


def _said(line: Line | None) -> str:
    if line is None:
        return ""
    guards = line.get("guards")
    asked = " ; ".join(map(str, guards)) if isinstance(guards, list) else ""
    return asked if line.get("access") == "guarded" else str(line.get("access")).upper()
