"""Every Python block of README and docs runs as it stands, and does what the page says of it."""

import asyncio
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tests.docs import proving
from tests.docs.pages import PYTHON, ROOT, Block, pages

from limen import Auth, AuthSettings
from limen.testing import create_tables

SECRET = "a secret of more than thirty-two bytes, for tests only"
Chain = tuple[Block, ...]


def chains() -> Iterator[Chain]:
    """Blocks that stand alone, each with those that continue it; a file is run by the shell blocks that use it."""
    for page in pages():
        chain: list[Block] = []
        for block in page.blocks:
            is_used_elsewhere = block.marked("file") is not None and not block.then
            if block.language not in PYTHON or block.marked("not run") is not None or is_used_elsewhere:
                continue
            if chain and block.marked("continues") is None:
                yield tuple(chain)
                chain = []
            chain.append(block)
        if chain:
            yield tuple(chain)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `limen migrate` leaves: pages take it for granted."""
    path = tmp_path_factory.mktemp("migrated") / "limen.db"
    settings = AuthSettings(_env_file=None, secret_key=SECRET, database_url=f"sqlite:///{path}")

    async def make() -> None:
        auth = Auth(settings=settings)
        await create_tables(auth)
        await auth.kernel.database.dispose()

    asyncio.run(make())
    return path


@pytest.mark.parametrize("chain", list(chains()), ids=lambda chain: chain[0].place)
def test_python_runs(chain: Chain, tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copyfile(migrated, tmp_path / "limen.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIMEN_SECRET_KEY", SECRET)
    module = ModuleType("documented")
    monkeypatch.setitem(sys.modules, "documented", module)
    names = vars(module)
    try:
        for block in chain:
            run(block.text, block, names, line=block.line)
            if block.then:
                shown = {name: getattr(proving, name) for name in dir(proving) if not name.startswith("_")}
                run(block.then, block, {**shown, **names}, line=block.line + block.text.count("\n") + 3)
    finally:
        asyncio.run(dispose_engines(names))


def run(text: str, block: Block, names: dict[str, object], *, line: int) -> None:
    """Errors name the page and the line."""
    exec(compile("\n" * line + text, str(block.page.relative_to(ROOT)), "exec"), names)


async def dispose_engines(names: dict[str, object]) -> None:
    for value in names.values():
        if isinstance(value, Auth):
            await value.kernel.database.dispose()


def test_the_quick_start_is_what_limen_init_writes() -> None:
    written = (ROOT / "src/limen/templates/quickstart.py").read_text("utf-8")
    assert (ROOT / "examples/quickstart.py").read_text("utf-8") == written
    shown = [block.text for block in next(iter(pages())).blocks if block.language in PYTHON]
    assert shown
    assert f"{shown[0]}\n" == written
