"""`limen init` asks what it is not told, finds the app that is there, and touches nothing of it."""

import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Command, Limen, Serving
from tests.docs.pages import ROOT
from tests.docs.shell import Shell
from tests.servers.ports import free_port

APP = "from fastapi import FastAPI\n\nserver: FastAPI = FastAPI(title='mine')\nraise RuntimeError('never run')\n"


def test_an_app_that_exists_is_shown_what_to_add_and_stays_as_it_is(limen: Limen, home: Path) -> None:
    (home / "web.py").write_text(APP)
    done = limen("init", "--template", "sessions")
    assert done.exit_code == 0, done.output
    assert (home / "web.py").read_text() == APP
    assert not (home / "main.py").exists()
    assert "web.py, line 3" in done.stdout
    assert "auth.install(server)" in done.stdout
    assert "features=[Passwords(), Sessions(), Accounts(), Roles()]" in done.stdout
    assert (home / ".env").stat().st_mode & 0o777 == 0o600


def test_the_lines_to_add_make_the_app_guarded(limen: Limen, home: Path, command: Command) -> None:
    (home / "web.py").write_text("from fastapi import FastAPI\n\napp = FastAPI()\n")
    shown = limen("init", "--template", "jwt").stdout
    lines = re.search(r"add:\n\n(.*)\n\nNext", shown, re.DOTALL)
    assert lines
    added = "\n".join(line.removeprefix("    ") for line in lines[1].splitlines())
    (home / "web.py").write_text((home / "web.py").read_text() + added + "\nasync def items() -> None: ...\n")
    listed = command("routes", "web:app")
    assert re.search(r"GET +/items +guarded +items:read", listed.stdout), listed.stderr
    assert "nothing to add" in limen("init").stdout


def test_what_comes_next_is_said_of_this_app(limen: Limen, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed as they stand, from where one is; nobody would migrate another app's database, or make a user of nobody."""
    shown = limen("init", "my shop", "--template", "supabase").stdout
    assert "Next:\n  cd 'my shop'\n  fill in LIMEN_SUPABASE_URL and LIMEN_SUPABASE_KEY in .env\n" in shown
    assert "users create" not in shown
    (home / "web.py").write_text(APP)
    assert "  limen migrate --app web:server\n  limen check --app web:server" in limen("init").stdout
    (home / "app").mkdir()
    (home / "app/main.py").write_text("from fastapi import FastAPI\n\napp = FastAPI()\n")
    assert limen("init", "--app", "app/main.py").stdout.endswith("  limen migrate\n  limen check\n")
    monkeypatch.setattr("limen.cli.project.find_spec", lambda name: None)
    (home / "b").mkdir()
    (home / "b/.gitignore").write_bytes(b"caf\xe9\n")
    shown = limen("init", "b", "--database", "postgresql").stdout
    assert "  cd b\n  pip install 'limen[postgres]'\n  fill in LIMEN_DATABASE_URL in .env\n  limen migrate\n" in shown
    assert (home / "b/.gitignore").read_bytes() == b"caf\xe9\n.env\n"


def test_another_file_can_be_named(limen: Limen, home: Path) -> None:
    (home / "web.py").write_text(APP)
    (home / "main.py").write_text("from fastapi import FastAPI\n\napp = FastAPI()\n")
    assert "web.py, line 3" in limen("init", "--app", "web.py").stdout
    refused = limen("init", "--app", "nowhere.py")
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)


def test_apps_of_tests_and_of_installed_packages_are_not_the_app(limen: Limen, home: Path) -> None:
    for folder in ("tests", ".venv/lib", "node_modules"):
        (home / folder).mkdir(parents=True)
        (home / folder / "main.py").write_text(APP)
    (home / "broken.py").write_text("app = FastAPI(")
    assert "wrote   main.py" in limen("init").stdout


@pytest.mark.parametrize(
    ("database", "line"),
    [
        ("sqlite", "# LIMEN_DATABASE_URL="),
        ("postgresql", "LIMEN_DATABASE_URL=postgresql+psycopg://user:password@localhost/app"),
        ("postgresql://me:a#b c@db/x", "LIMEN_DATABASE_URL='postgresql://me:a#b c@db/x'"),
    ],
)
def test_the_database_is_a_line_of_the_settings(limen: Limen, home: Path, database: str, line: str) -> None:
    assert limen("init", "--database", database).exit_code == 0
    assert line in (home / ".env").read_text()


def test_a_database_that_is_none_writes_nothing(limen: Limen, home: Path) -> None:
    for wrong in ("mysql", "x://y\nLIMEN_ALGORITHM=none", "x://'"):
        assert limen("init", "--database", wrong).exit_code == 1
    assert list(home.iterdir()) == []


def test_a_terminal_is_asked(home: Path) -> None:
    answer, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "limen", "init"], stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    os.write(answer, b"nonsense\napi-keys\npostgresql://localhost/x\n")
    said, _ = process.communicate(timeout=60)
    os.close(answer)
    os.close(terminal)
    assert process.returncode == 0, said
    assert b"cookie sessions with an HTML page" in said
    assert '"""API keys for machines' in (home / "main.py").read_text()
    assert "LIMEN_DATABASE_URL=postgresql://localhost/x" in (home / ".env").read_text()


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What would be published of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--wheel", "--quiet", "--out-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("limen-*.whl")
    return wheel


def uv(*arguments: str) -> None:
    here = Path(sys.executable).with_name("uv")
    subprocess.run([here if here.exists() else "uv", *arguments], check=True)


def test_from_an_empty_folder_to_a_scoped_route_in_five_lines_within_a_minute(tmp_path: Path, built: Path) -> None:
    """Install, begin, serve, sign in, call. The first is uv's, as the rest of a fresh machine's disk is warm."""
    machine = tmp_path / "machine"
    uv("venv", "--quiet", "--python", sys.executable, str(machine))
    shell = Shell(tmp_path / "app", port=free_port(), programs=machine / "bin")
    begun = time.monotonic()
    try:
        pins = ROOT / "constraints.txt"
        uv("pip", "install", "-q", "--python", f"{machine}/bin/python", "-c", str(pins), f"{built}[server]")
        shell.run("limen init --template oauth2")
        shell.serve("limen dev")
        password = re.search(r"password  (\S+)", shell.run("cat server.log"))
        assert password
        form = f"-d grant_type=password -d username=admin@example.com -d password={password[1]} -d scope=reports:read"
        shell.run(
            f"TOKEN=$(curl -s http://localhost:8000/auth/token {form} | "
            "python -c 'import json, sys; print(json.load(sys.stdin)[\"access_token\"])')"
        )
        said = shell.run('curl -s http://localhost:8000/scopes -H "Authorization: Bearer $TOKEN"')
        where = shell.run("python -c 'import limen; print(limen.__file__)'")
    finally:
        shell.close()
    assert said == '["reports:read"]'
    assert where.startswith(str(machine))
    assert time.monotonic() - begun < 60


def test_dev_makes_no_admin_where_the_base_url_says_that_it_is_the_real_one(
    limen: Limen, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert limen("init").exit_code == 0
    monkeypatch.setenv("LIMEN_BASE_URL", "https://example.com")
    refused = limen("dev", "--port", str(free_port()))
    assert refused.exit_code == 1
    assert "LIMEN_BASE_URL is https://example.com" in refused.stderr


def test_dev_keeps_the_users_that_there_are(command: Command, serve: Callable[..., Serving]) -> None:
    assert command("init").returncode == 0
    port = free_port()
    for expected in ("(shown this once)", "as before"):
        server = serve("-m", "limen", "dev", "--port", str(port), url=f"http://localhost:{port}")
        server.wait("/openapi.json")
        server.interrupt()
        assert expected in server.output


@pytest.mark.parametrize("name", ["setup-jwt.sh", "validate-auth.sh"])
def test_the_scripts_are_three_lines(name: str) -> None:
    path = ROOT / "scripts" / name
    assert len(path.read_text().splitlines()) == 3
    assert os.access(path, os.X_OK)


def test_the_setup_script_begins_an_app(home: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [ROOT / "scripts/setup-jwt.sh", "shop"], env=environment, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0
    assert "JWT authentication, complete" in (home / "shop/main.py").read_text()
