#!/usr/bin/env python3
"""Builds the site into site/html: `python3 dev.py docs build`, or `python docs/build.py` in limen's environment.

The pages of docs/ are written for GitHub and for their tests. For the site they lose the marks and the proofs of the
tests, links out of docs/ get the page that stands for their target, and the reference is written from what is public.
"""

import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import limen
import limen.errors
import limen.events
import limen.features
import limen.testing
from limen.feature import Feature
from limen.settings import AuthSettings

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent

BEGIN = ("index.md", "readme.md", "tutorial.md")
SECTIONS = (
    ("Features", re.compile(r"features/|objects|keys")),
    ("Moving over", re.compile(r"coming-from|import|comparison")),
    ("Decisions", re.compile(r"decisions/")),
    ("Reference", re.compile(r"reference/|settings|errors|checks\.md")),
    ("Security", re.compile(r"security|asvs|attack|check\.md")),
    ("Running it", re.compile(r"")),
)
ORDER = ("Features", "Running it", "Security", "Moving over", "Reference", "Decisions")
STAND_FOR = {"README.md": "readme.md", "CHANGELOG.md": "changelog.md", "src/limen/events.py": "reference/events.md"}

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_FENCE = re.compile(r"^ *```")
_OPENING = re.compile(r"^( *```\w+)\s*$")
_CODE = re.compile(r"`[^`]+`")
_FILE = re.compile(r"<!-- *file: *(\S+) *-->")
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:|#|mailto:)([^()\s#]+)(#[^()\s]*)?\)")


class NotBuilt(Exception):
    """The site could not be built."""


def build(folder: Path) -> Path:
    """The site's folder, made anew; what stands between is in `folder` beside it.

    Raises:
        NotBuilt: zensical warns of something, and says of what.
    """
    for name in ("pages", "html", ".cache"):
        shutil.rmtree(folder / name, ignore_errors=True)
    prepare(folder / "pages")
    shutil.copyfile(DOCS / "zensical.toml", folder / "zensical.toml")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(folder / "zensical.toml")]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    said = _COLOUR.sub("", result.stdout + result.stderr)
    if result.returncode != 0 or "warning" in said.lower() or "griffe:" in said:
        raise NotBuilt(said)
    return folder / "html"


def prepare(pages: Path) -> None:
    """Write the pages as zensical reads them, with their order."""
    written = {
        **{str(path.relative_to(DOCS)): path for path in sorted(DOCS.rglob("*.md"))},
        "readme.md": ROOT / "README.md",
        "changelog.md": ROOT / "CHANGELOG.md",
    }
    texts = {name: for_the_site(path.read_text("utf-8"), path, name) for name, path in written.items()} | reference()
    for name, text in {**texts, "SUMMARY.md": summary(texts)}.items():
        (pages / name).parent.mkdir(parents=True, exist_ok=True)
        (pages / name).write_text(text, "utf-8")


# --- from a page in docs/ to one of the site


def for_the_site(text: str, path: Path, name: str) -> str:
    return "\n".join(_lines(text, path, name)) + "\n"


def _lines(text: str, path: Path, name: str) -> Iterator[str]:
    title, in_block, in_comment = "", False, False
    for line in text.splitlines():
        if in_comment:
            in_comment = line.strip() != "-->"
        elif _FENCE.match(line):
            in_block = not in_block
            yield _OPENING.sub(rf'\1 title="{title}"', line) if in_block and title else line
            title = ""
        elif in_block:
            yield line
        elif line.strip() == "<!-- then":
            in_comment = True
        elif line.lstrip().startswith("<!--"):
            file = _FILE.match(line.strip())
            title = file[1] if file else title
        else:
            plain = _CODE.sub(lambda code: code[0].replace("\\|", "|"), line)  # GitHub's tables need the backslash
            yield _LINK.sub(lambda link: _link(link, path, name), plain)


def _link(link: re.Match[str], path: Path, name: str) -> str:
    """The same link, to the page of the site; where none stands for the target, its words."""
    words, target, anchor = link[1], link[2], link[3] or ""
    aim = Path(os.path.normpath(path.parent / target))
    there = STAND_FOR.get(str(aim.relative_to(ROOT)))
    if there is None:
        if not aim.is_relative_to(DOCS):
            return words
        there = str(aim.relative_to(DOCS))
    return f"[{words}]({os.path.relpath(there, Path(name).parent)}{anchor})"


# --- the order


def summary(texts: dict[str, str]) -> str:
    """The navigation: every page, each in the first section that wants it."""
    found: dict[str, list[str]] = {title: [] for title in ORDER}
    for name in sorted(texts):
        if name not in BEGIN:
            title = next(title for title, wanted in SECTIONS if wanted.match(name))
            found[title].append(name)
    lines = [f"- [{_title(texts[name])}]({name})" for name in BEGIN]
    for title, names in found.items():
        lines += [f"- {title}", *(f"    - [{_title(texts[name])}]({name})" for name in names)]
    return "\n".join(lines) + "\n"


def _title(text: str) -> str:
    heading = next(line for line in text.splitlines() if line.startswith("# "))
    return re.sub(r"[`\[\]]", "", heading.removeprefix("# ").strip())


# --- the reference


def reference() -> dict[str, str]:
    """A page per room of what is public, each name with its docstring."""
    features = limen.features.__all__
    others = [name for name in limen.__all__ if name not in features]
    fields = "\n    options:\n      show_if_no_docstring: true\n      filters: ['!^_', '!^model_config$']"
    settings = [f"{kind.__module__}.{kind.__name__}{fields}" for kind in (AuthSettings, *_settings())]
    return {
        "reference/limen.md": _page("limen", "`from limen import …`", _within(limen, others)),
        "reference/features.md": _page("limen.features", "`from limen.features import …`", _features(features)),
        "reference/testing.md": _page(
            "limen.testing", "`from limen.testing import …`", _within(limen.testing, limen.testing.__all__)
        ),
        "reference/errors.md": _page(
            "limen.errors", "With status and sentence in [errors](../errors.md).", _classes(limen.errors)
        ),
        "reference/events.md": _page(
            "limen.events", "What [listeners](../features/accounts.md) hear.", _classes(limen.events)
        ),
        "reference/settings.md": _page(
            "Settings classes", "With their environment names in [settings](../settings.md).", settings
        ),
    }


def _page(title: str, sentence: str, names: Iterable[str]) -> str:
    return "\n\n".join([f"# {title}", sentence, *(f"::: {name}" for name in names)]) + "\n"


def _within(module: ModuleType, names: Iterable[str]) -> Iterator[str]:
    return (f"{module.__name__}.{name}" for name in names)


def _features(names: Iterable[str]) -> Iterator[str]:
    """Where each is written, with the verbs of its service; what it tells `Auth` is described at `Feature`."""
    seams = "|".join(sorted(name for name in vars(Feature) if not name.startswith("_")))
    options = f"options:\n      filters: ['!^_', '!^({seams})$']"
    for name in names:
        yield f"{getattr(limen.features, name).__module__}.{name}\n    {options}"


def _classes(module: ModuleType) -> Iterator[str]:
    return _within(module, (name for name, kind in vars(module).items() if _is_of(kind, module)))


def _is_of(kind: object, module: ModuleType) -> bool:
    return inspect.isclass(kind) and kind.__module__ == module.__name__ and not kind.__name__.startswith("_")


def _settings() -> Iterator[type]:
    for name in limen.features.__all__:
        settings = getattr(limen.features, name).settings
        if settings is not None:
            yield settings


if __name__ == "__main__":
    try:
        print(f"The site is in {build(ROOT / 'site').relative_to(ROOT)}")
    except NotBuilt as error:
        sys.exit(f"The site could not be built:\n{error}")
