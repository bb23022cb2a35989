"""README's quick start and tour, and every other page's commands, run as they stand: in order, in one shell each."""

import os
import shutil
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.pages import OUTPUT, PYTHON, SHELL, Block, pages
from tests.docs.shell import BYTECODE, Shell, says
from tests.servers.ports import free_port
from tests.servers.process import ServerProcess

PICTURES = ("ini",)
NEW_SHELL, DEMO = "new shell", "against the demo"
Script = tuple[Block, ...]

pytestmark = pytest.mark.skipif(
    not (shutil.which("bash") and shutil.which("curl")), reason="readers have bash and curl; this machine has not"
)


def scripts() -> Iterator[Script]:
    """What is typed into one shell: the blocks of a page, split where a new shell begins."""
    for page in pages():
        script: list[Block] = []
        for block in page.blocks:
            is_typed = block.language in SHELL and block.marked("not run") is None
            if not is_typed and block.marked("file") is None:
                continue
            if script and (block.marked(NEW_SHELL) is not None or block.marked(DEMO) is not None):
                yield tuple(script)
                script = []
            script.append(block)
        if script:
            yield tuple(script)


@pytest.fixture(scope="session")
def demo_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a demo app that is as new as after `python3 dev.py run`."""
    folder, port = tmp_path_factory.mktemp("demo"), free_port()
    kept = {name: os.environ[name] for name in ("PATH", *BYTECODE) if name in os.environ}
    environment = [f"{name}={value}" for name, value in {**kept, "HOME": str(folder)}.items()]
    command = [sys.executable, "-m", "limen", "demo", "--port", str(port), "--data", str(folder / "data")]
    server = ServerProcess([shutil.which("env") or "env", "-i", *environment, *command], folder=folder)
    server.wait_until(lambda: answers(f"http://localhost:{port}/health"))
    yield port
    server.stop()


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("script", sorted(scripts(), key=len, reverse=True), ids=lambda script: script[0].place)
def test_commands_say_what_the_page_shows(script: Script, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    is_demo = script[0].marked(DEMO) is not None
    port = request.getfixturevalue("demo_port") if is_demo else free_port()
    shell = Shell(tmp_path / "app", port=port)
    try:
        for block in script:
            type_in(shell, block)
    finally:
        shell.close()


def type_in(shell: Shell, block: Block) -> None:
    name = block.marked("file")
    if name is not None:
        shell.write(name, block.text)
    elif block.marked("serves") is not None:
        shell.serve(block.text)
    else:
        try:
            said = shell.run(block.text)
        except AssertionError as error:
            raise AssertionError(f"{block.place}\n{block.text}\n{error}") from None
        if block.output is not None:
            assert says(block.output, said), f"{block.place} should say\n{block.output}\nand says\n{said}"


def test_every_block_is_run_or_says_why_not() -> None:
    known = (*SHELL, *PYTHON, *OUTPUT, *PICTURES)
    blocks = [block for page in pages() for block in page.blocks]
    assert [block.place for block in blocks if block.language not in known] == []
    assert [block.place for block in blocks if block.language in PICTURES and not block.marked("not run")] == []
    assert [block.place for block in blocks if block.marked("not run") == ""] == []
