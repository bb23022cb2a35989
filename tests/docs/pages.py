"""The Markdown of this repository as its tests read it: blocks with their marks, links, anchors.

A mark is an HTML comment in the line before a block, which readers do not see:

    <!-- continues -->           Python that goes on where the Python block before it ended
    <!-- file: main.py -->       the text of this file, for the shell blocks that follow
    <!-- against the demo -->    a new shell begins here, and `limen demo` answers on http://localhost:8000
    <!-- new shell -->           a new shell begins here, in an empty folder
    <!-- serves -->              a command that goes on until the next of its kind or the end of the shell
    <!-- not run: why -->        never executed

A `text` or `json` block right after a shell block is what the shell must say; `…` stands for anything within a line,
and alone in a line for any lines.
A comment `<!-- then`, some lines of Python and `-->` after a Python block proves what the page says of it: it runs in
the same module, with the names of `tests.docs.proving`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHELL, PYTHON, OUTPUT = ("sh", "bash", "console"), ("python",), ("text", "json")

_FENCE = re.compile(r"^( *)```(\w*)\s*$")
_COMMENT = re.compile(r"<!-- *(.*?) *-->\s*$")
_LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.*?) *$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its text, what is marked before it, what follows from it."""

    page: Path
    line: int
    language: str
    text: str
    marks: tuple[str, ...] = ()
    output: str | None = None
    then: str = ""

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def marked(self, name: str) -> str | None:
        """What the mark `name` says; empty for one that says nothing, None without it."""
        for mark in self.marks:
            if mark == name or mark.startswith(f"{name}:"):
                return mark.removeprefix(name).removeprefix(":").strip()
        return None


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path
    blocks: tuple[Block, ...] = field(repr=False)
    prose: tuple[tuple[int, str], ...] = field(repr=False)

    def links(self) -> Iterator[tuple[int, str]]:
        for number, line in self.prose:
            for target in _LINK.findall(re.sub(r"`[^`]*`", "", line)):
                yield number, target

    def anchors(self) -> set[str]:
        found: dict[str, int] = {}
        anchors = set()
        for _, line in self.prose:
            heading = _HEADING.match(line)
            if heading:
                name = anchor_of(heading[1])
                anchors.add(f"{name}-{found[name]}" if name in found else name)
                found[name] = found.get(name, 0) + 1
        return anchors


def anchor_of(heading: str) -> str:
    """What GitHub makes of a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def pages() -> tuple[Page, ...]:
    """README, changelog and everything in docs/."""
    paths = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return tuple(read_page(path) for path in paths)


def read_page(path: Path) -> Page:
    lines = path.read_text("utf-8").splitlines()
    blocks: list[Block] = []
    prose: list[tuple[int, str]] = []
    marks: list[str] = []
    after = -1  # the line after the block that came last, blank lines aside
    at = 0
    while at < len(lines):
        line = lines[at]
        fence = _FENCE.match(line)
        if fence:
            end = next((n for n in range(at + 1, len(lines)) if lines[n].strip() == "```"), None)
            assert end is not None, f"{path}:{at + 1}: the block has no end"
            text = "\n".join(body.removeprefix(fence[1]) for body in lines[at + 1 : end])
            if fence[2] in OUTPUT and after == at and blocks and blocks[-1].language in SHELL:
                blocks[-1] = _with(blocks[-1], output=text)
            blocks.append(Block(path, at + 1, fence[2], text, tuple(marks)))
            marks, at = [], end
            after = at + 1
        elif line.strip() == "<!-- then":
            end = lines.index("-->", at)
            index = max(n for n, block in enumerate(blocks) if block.language in PYTHON)
            blocks[index] = _with(blocks[index], then="\n".join(lines[at + 1 : end]))
            at = end
        elif comment := _COMMENT.fullmatch(line.strip()):
            marks.append(comment[1])
        elif line.strip():
            prose.append((at + 1, line))
            marks = []
        elif after == at:
            after = at + 1
        at += 1
    return Page(path, tuple(blocks), tuple(prose))


def _with(block: Block, **changes: str) -> Block:
    return Block(**{**vars(block), **changes})
