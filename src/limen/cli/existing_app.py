"""Finds the `FastAPI()` that a folder has already: by reading its files, never by running them."""

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from limen.errors import ConfigurationError

MAX_FILES = 500
MAX_BESIDE = 50
MAX_BYTES = 500_000
NOT_THE_APPS = frozenset({"node_modules", "site-packages", "tests", "venv", "env"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingApp:
    """Where an app is made.

    Attributes:
        line: of `app = FastAPI()`.
        guarded_by_limen: whether the file speaks of limen already.
    """

    path: Path
    name: str
    line: int
    guarded_by_limen: bool

    def module_in(self, folder: Path) -> str:
        """What Python imports it as, from this folder."""
        path = self.path.resolve()
        place = path.relative_to(folder.resolve()) if path.is_relative_to(folder.resolve()) else Path(path.name)
        return ".".join(place.with_suffix("").parts)


def app_beside(folder: Path) -> ExistingApp | None:
    """An app in one of the folder's own files, guarded by limen if one is: for whoever did not name it."""
    found = list(_apps(sorted(folder.glob("*.py"))[:MAX_BESIDE]))
    return next((app for app in found if app.guarded_by_limen), next(iter(found), None))


def find_app(folder: Path) -> ExistingApp | None:
    """The first app in the folder: `main.py` and `app.py` are looked at first."""
    return next(_apps(_python_files(folder)), None)


def app_in(path: Path) -> ExistingApp:
    """The app in this file.

    Raises:
        ConfigurationError: there is none.
    """
    found = next(_apps([path]), None)
    if found is None:
        raise ConfigurationError(f"--app {path}: there is no `… = FastAPI()` in it")
    return found


def _apps(paths: "Iterator[Path] | list[Path]") -> Iterator[ExistingApp]:
    for path in paths:
        tree = _parsed(path)
        for node in ast.walk(tree) if tree else ():
            name = _name_of_app(node)
            if name is not None:
                yield ExistingApp(
                    path=path, name=name, line=getattr(node, "lineno", 1), guarded_by_limen=_imports_limen(tree)
                )


def _python_files(folder: Path) -> Iterator[Path]:
    first = [folder / name for name in ("main.py", "app.py")]
    yield from (path for path in first if path.is_file())
    rest = (path for path in _walk(folder) if path not in first)
    yield from islice(rest, MAX_FILES)


def _walk(folder: Path) -> Iterator[Path]:
    """Every Python file, the nearest first; folders that hold none of the app's are not entered."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in NOT_THE_APPS and not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if name.endswith(".py"))


def _parsed(path: Path) -> ast.Module | None:
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def _name_of_app(node: ast.AST) -> str | None:
    """`app` of `app = FastAPI(…)`, `app: FastAPI = FastAPI(…)` or `app = fastapi.FastAPI(…)`."""
    if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(node.value, ast.Call):
        return None
    called = node.value.func
    made = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
    return target.id if made == "FastAPI" and isinstance(target, ast.Name) else None


def _imports_limen(tree: ast.Module | None) -> bool:
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "limen":
            return True
        if isinstance(node, ast.Import) and any(each.name.partition(".")[0] == "limen" for each in node.names):
            return True
    return False
