"""Reads the app's own files, as far as its imports lead, and runs none of them."""

import ast
import re
from collections import deque
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from limen.attack.forge import TUTORIAL_SECRET
from limen.checks.evidence import Mark, Sources
from limen.checks.packages import DEAD

MAX_FILES = 500
MAX_BYTES = 1_000_000
BEARERS = frozenset({"OAuth2PasswordBearer", "OAuth2AuthorizationCodeBearer", "HTTPBearer"})
_SECRET_NAME = re.compile(r"(\w+_)?(secret|secret_key|jwt_key|signing_key)", re.IGNORECASE)
_LEAST_SECRET = 8


def read_sources(name: str, folder: Path) -> Sources:
    """What the files behind `module:attr` say; empty when there is no such file."""
    start, root = _start(name.partition(":")[0], folder)
    if start is None:
        return Sources()
    files = dict(_walk(start, root))
    marks = [mark for path, tree in files.items() for mark in _marks(tree, _shown(path, folder))]
    speaks = name.startswith("limen.") or any(_imports(tree, "limen") for tree in files.values())
    return Sources(files=len(files), speaks_of_limen=speaks, marks=tuple(marks))


def _start(module: str, folder: Path) -> tuple[Path | None, Path]:
    here = _file_of(module, folder)
    if here is not None:
        return here, folder
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None, folder
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None, folder
    path = Path(spec.origin)
    is_package = path.name == "__init__.py"
    return path, path.parents[module.count(".") + (1 if is_package else 0)]


def _file_of(module: str, root: Path) -> Path | None:
    stem = root.joinpath(*module.split("."))
    candidates = (stem / "__init__.py", stem.with_suffix(".py")) if module else ()
    return next((path for path in candidates if path.is_file()), None)


def _walk(start: Path, root: Path) -> Iterator[tuple[Path, ast.Module]]:
    waiting, seen = deque([start]), {start}
    top = start.relative_to(root).parts[0].removesuffix(".py")
    is_installed = "site-packages" in root.parts
    while waiting and len(seen) <= MAX_FILES:
        path = waiting.popleft()
        tree = _parse(path)
        if tree is None:
            continue
        yield path, tree
        for module in _modules(tree, path, root):
            if module.partition(".")[0] == "limen" or (is_installed and module.partition(".")[0] != top):
                continue
            found = _file_of(module, root)
            if found is not None and found not in seen:
                seen.add(found)
                waiting.append(found)


def _parse(path: Path) -> ast.Module | None:
    try:
        return ast.parse(path.read_bytes()) if path.stat().st_size <= MAX_BYTES else None
    except (OSError, SyntaxError, ValueError):  # a file that cannot be read is told of by loading the app
        return None


def _modules(tree: ast.Module, path: Path, root: Path) -> Iterator[str]:
    package = path.parent.relative_to(root).parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *((node.module or "").split(".") if node.module else [])])
            yield base
            yield from (f"{base}.{each.name}".lstrip(".") for each in node.names)


def _imports(tree: ast.Module, module: str) -> bool:
    return any(mark == module for mark, _ in _imported(tree))


def _imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((each.name.partition(".")[0], node.lineno) for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], node.lineno


def _shown(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


# --- what is looked for


def _marks(tree: ast.Module, path: str) -> Iterator[Mark]:
    for module, line in _imported(tree):
        if module in DEAD:
            yield Mark(kind="import", name=module, path=path, line=line)
    for node in ast.walk(tree):
        for kind, name in _found_in(node):
            yield Mark(kind=kind, name=name, path=path, line=getattr(node, "lineno", 1))


def _found_in(node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from _secret(_name(targets[0]), node.value)
    elif isinstance(node, ast.keyword):
        yield from _secret(node.arg or "", node.value)
    elif isinstance(node, ast.Call):
        called = _name(node.func)
        if called in BEARERS:
            yield "password bearer", called
        yield from _unverified(called, node)


def _secret(name: str, value: ast.expr | None) -> Iterator[tuple[str, str]]:
    if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
        return
    if value.value == TUTORIAL_SECRET:
        yield "tutorial secret", name
    elif _SECRET_NAME.fullmatch(name) and len(value.value) >= _LEAST_SECRET:
        yield "secret", name


def _unverified(called: str, node: ast.Call) -> Iterator[tuple[str, str]]:
    if called in ("get_unverified_claims", "process_jws_without_verification"):
        yield "unverified", f"{called}(…)"
    if called != "decode":
        return
    text = ast.unparse(node).replace('"', "'")
    if "'verify_signature': False" in text or "verify_signature=False" in text or "verify=False" in text:
        yield "unverified", "decode(…) with verify_signature off"
    if re.search(r"algorithms=[^)\]]*'none'", text, re.IGNORECASE):
        yield "unverified", "decode(…) allows the algorithm none"


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
