"""What `limen init` writes is an app that works, step by step as it says."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from tests.cli.conftest import PASSWORD, Command, Serving
from tests.servers.ports import free_port

import limen


def answer(url: str, *, form: dict[str, str] | None = None, token: str = "") -> object:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = urlencode(form).encode() if form else None
    with urlopen(Request(url, data=body, headers=headers), timeout=10) as response:
        return json.load(response)


def test_init_migrate_create_user_serve_and_sign_in(command: Command, serve: Callable[..., Serving]) -> None:
    for step in (["init"], ["migrate"]):
        done = command(*step)
        assert done.returncode == 0, done.stderr
    created = command("users", "create", "--email", "ada@example.com", "--role", "editor", "--password", PASSWORD)
    assert (created.returncode, created.stderr) == (0, "")

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = serve("-m", "uvicorn", "main:app", "--port", str(port), "--no-proxy-headers", url=url)
    server.wait("/openapi.json")
    signed_in = answer(f"{url}/auth/login", form={"username": "ada@example.com", "password": PASSWORD})
    assert isinstance(signed_in, dict)
    token = signed_in["access_token"]
    assert answer(f"{url}/hello", token=token) == "ada@example.com"
    assert answer(f"{url}/mine", token=token) == "the items of ada@example.com"
    assert answer(f"{url}/items", form={"any": "thing"}, token=token) == {"status": "created"}


def test_init_writes_a_secret_that_only_its_owner_can_read(command: Command, home: Path) -> None:
    assert command("init").returncode == 0
    env = home / ".env"
    assert env.stat().st_mode & 0o777 == 0o600
    name, _, secret = env.read_text().splitlines()[1].partition("=")
    assert name == "LIMEN_SECRET_KEY"
    assert len(secret) == 64
    assert (home / ".gitignore").read_text() == ".env\n"


def test_init_overwrites_nothing_and_says_what_it_skipped(command: Command, home: Path) -> None:
    (home / ".env").write_text("OTHER=1\n")
    (home / "main.py").write_text("mine = True\n")
    (home / ".gitignore").write_text("*.log")
    done = command("init")
    assert done.returncode == 0
    assert "skipped .env, which exists without LIMEN_SECRET_KEY" in done.stdout
    assert "skipped main.py, which exists" in done.stdout
    assert (home / ".env").read_text() == "OTHER=1\n"
    assert (home / "main.py").read_text() == "mine = True\n"
    assert (home / ".gitignore").read_text() == "*.log\n.env\n"


def test_init_dry_run_writes_nothing(command: Command, home: Path) -> None:
    done = command("init", "--dry-run")
    assert "would write .env" in done.stdout
    assert list(home.iterdir()) == []


def test_help_loads_neither_the_web_framework_nor_the_database() -> None:
    look = """
import sys
from typer.testing import CliRunner
from limen.cli.root import app
assert CliRunner().invoke(app, ["--help"]).exit_code == 0
print([name for name in ("fastapi", "pydantic", "sqlalchemy", "alembic", "uvicorn") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there is no resource usage of child processes")
def test_help_takes_less_than_300_ms_of_processor_time(command: Command) -> None:
    """Processor time, so that what else the machine does is not counted; the best of three."""
    import resource

    taken = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert command("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(taken) < 0.3


def test_version(command: Command) -> None:
    assert command("--version").stdout == f"limen {limen.__version__}\n"
