"""An empty working directory, an environment without settings, and the command in this process or one of its own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen
from uuid import uuid4

import pytest
from tests.servers.postgres import PostgresServer
from typer.testing import CliRunner, Result

from limen.cli.root import app
from limen.cli.templates import Strategy
from limen.settings import AuthSettings
from limen.testing.supabase import FakeSupabase

SECRET = "a secret of the tests that is long enough"
PASSWORD = "a pass phrase of the tests"
APP = """
from limen import Accounts, Auth, Passwords, Role, Roles, Sessions, Tokens
from limen.testing import fast_hasher

auth = Auth(
    roles=[Role("member", ["items:read"], default=True), Role("admin", ["*"])],
    features=[Passwords(hasher=fast_hasher()), Tokens(), Sessions(), Accounts(), Roles()],
)
"""

Limen = Callable[..., Result]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: empty, and no setting comes from elsewhere."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    unprefixed = {name.upper() for name in AuthSettings.model_fields}
    for name in [name for name in os.environ if name.startswith("LIMEN_") or name in unprefixed]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "path", [*sys.path])  # a command puts the working directory first
    return folder


@pytest.fixture
def limen() -> Limen:
    """Run the command in this process: `limen("users", "list", "--json")`."""

    def run(*arguments: str, stdin: str = "") -> Result:
        before = {**os.environ, "LIMEN_APP": os.environ.get("LIMEN_APP")}  # restored after: a command takes it
        return CliRunner().invoke(app, arguments, input=stdin, env=before, prog_name="limen")

    return run


@pytest.fixture
def template(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a template, whose settings are filled in: Supabase's with a project of this machine's."""
    name: str = request.param
    if name != "supabase":
        yield name
        return
    with FakeSupabase() as project:
        monkeypatch.setenv("LIMEN_SUPABASE_URL", project.url)
        monkeypatch.setenv("LIMEN_SUPABASE_KEY", project.key)
        yield name


every_template = pytest.mark.parametrize("template", [each.value for each in Strategy], indirect=True)


@pytest.fixture
def command() -> Command:
    """Run the command as a process of its own."""

    def run(*arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        line = [sys.executable, "-m", "limen", *arguments]
        return subprocess.run(line, input=stdin, capture_output=True, text=True, check=False, timeout=60)

    return run


@pytest.fixture
def app_file(home: Path) -> str:
    """The name of an app's module in the working directory, never imported before; hashing is cheap there."""
    name = f"app_{uuid4().hex}"
    (home / f"{name}.py").write_text(APP)
    return name


@pytest.fixture
def app_name(app_file: str, database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, with settings, on each of the databases; `LIMEN_APP` names it."""
    monkeypatch.setenv("LIMEN_SECRET_KEY", SECRET)
    monkeypatch.setenv("LIMEN_DATABASE_URL", database_url)
    return app_file


Migrate = Callable[[str], None]


@pytest.fixture(scope="session")
def migrated_by_command(tmp_path_factory: pytest.TempPathFactory) -> Migrate:
    """Runs `limen migrate` for the database at a URL, as a process of its own."""

    def migrate(url: str) -> None:
        folder = tmp_path_factory.mktemp("migrated")
        (folder / "main.py").write_text(APP)
        others = {name: value for name, value in os.environ.items() if not name.startswith("LIMEN_")}
        environment = {**others, "LIMEN_SECRET_KEY": SECRET, "LIMEN_DATABASE_URL": url}
        subprocess.run([sys.executable, "-m", "limen", "migrate"], cwd=folder, env=environment, check=True, timeout=60)

    return migrate


@pytest.fixture(scope="session")
def migrated_file(migrated_by_command: Migrate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file after `limen migrate`."""
    path = tmp_path_factory.mktemp("template") / "limen.db"
    migrated_by_command(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_database(migrated_by_command: Migrate, postgres_server: PostgresServer) -> str:
    """The same as a PostgreSQL database."""
    url = postgres_server.create_database()
    migrated_by_command(url)
    return url


@pytest.fixture
def has_tables(database_url: str, request: pytest.FixtureRequest) -> None:
    """This test's database is as `limen migrate` leaves it: a copy of one that it made."""
    if database_url.startswith("sqlite"):
        shutil.copyfile(request.getfixturevalue("migrated_file"), database_url.partition("///")[2])
        return
    server = request.getfixturevalue("postgres_server")
    server.replace_database(database_url, template=request.getfixturevalue("migrated_database"))


class Serving:
    """A server that was started as people start it, until Ctrl-C."""

    def __init__(self, *arguments: str, url: str) -> None:
        self.url = url
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([sys.executable, *arguments], stdout=pipe, stderr=pipe, text=True)
        self.output = ""

    def wait(self, path: str, *, seconds: float = 40) -> None:
        """Return when it answers."""
        deadline = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                urlopen(self.url + path, timeout=5).close()
            except (URLError, OSError):
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"it does not answer: {self.interrupt()} {self.output}")

    def interrupt(self) -> int:
        """Ctrl-C; its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            out, err = self._process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        self.output += out + err
        return self._process.returncode


@pytest.fixture
def serve() -> Iterator[Callable[..., Serving]]:
    """Start servers; those that a test leaves are ended."""
    started: list[Serving] = []

    def start(*arguments: str, url: str) -> Serving:
        started.append(Serving(*arguments, url=url))
        return started[-1]

    yield start
    for each in started:
        if each._process.poll() is None:
            each.interrupt()
