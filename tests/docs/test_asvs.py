"""docs/asvs.md names tests that there are, and leaves no requirement of its chapters out."""

import ast
import re

from tests.docs.pages import ROOT

PAGE = ROOT / "docs/asvs.md"
ANSWERS = ("yes", "partly", "no", "yours", "none")

SECTIONS = {
    6: (3, 12, 8, 6, 8, 4, 2, 4),
    7: (3, 4, 2, 5, 3, 2),
    8: (4, 4, 3, 2),
    9: (3, 4),
    10: (2, 3, 5, 16, 5, 2, 3),
    16: (1, 5, 4, 3, 4),
}
"""How many requirements each section of ASVS 5.0.0 has, in the chapters that are answered whole."""

_ROW = re.compile(r"^\| (\d+\.\d+\.\d+) \| ([123]) \| .+? \| \*\*(\w+)\*\*.* \| (.*) ?\|$")
_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


def rows() -> list[tuple[str, str, str]]:
    """Requirement, answer and what shows it."""
    lines = PAGE.read_text("utf-8").splitlines()
    found = [(row[1], row[3], row[4]) for row in map(_ROW.match, lines) if row]
    assert len(found) == sum(bool(re.match(r"\| \d", line)) for line in lines), "a row of another form"
    return found


def test_every_requirement_of_the_chapters_is_answered_once() -> None:
    whole = [
        f"{chapter}.{section}.{number}"
        for chapter, sizes in SECTIONS.items()
        for section, size in enumerate(sizes, 1)
        for number in range(1, size + 1)
    ]
    found = [name for name, _, _ in rows()]
    assert len(found) == len(set(found))
    assert [name for name in found if int(name.partition(".")[0]) in SECTIONS] == whole


def test_answers_are_of_the_five_kinds() -> None:
    assert [(name, answer) for name, answer, _ in rows() if answer not in ANSWERS] == []


def test_every_test_that_is_named_exists() -> None:
    named = set(_TEST.findall(PAGE.read_text("utf-8")))
    assert len(named) > 80
    assert sorted(f"{path}::{name}" for path, name in named if name not in names_in(path)) == []


def names_in(path: str) -> set[str]:
    file = ROOT / "tests" / path
    if not file.exists():
        return set()
    nodes = ast.walk(ast.parse(file.read_text("utf-8")))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
