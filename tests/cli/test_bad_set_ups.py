"""A bad set-up ends in one sentence on stderr that names the setting and the cure, and in status 1."""

from pathlib import Path

import pytest
from tests.cli.conftest import APP, SECRET, Command, Limen
from tests.servers.ports import free_port


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMEN_SECRET_KEY", SECRET)


def sentence(limen: Limen, *arguments: str) -> str:
    """What a refused command says, which must be one line."""
    done = limen(*arguments)
    assert done.exit_code == 1, done.output
    assert done.stdout == ""
    said = done.stderr.removesuffix("\n")
    assert said.startswith("limen: ")
    assert "\n" not in said
    return said


def test_no_secret(limen: Limen, app_file: str) -> None:
    said = sentence(limen, "users", "list", "--app", app_file)
    assert "LIMEN_SECRET_KEY is not set: run `limen init`" in said


def test_short_secret(limen: Limen, app_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMEN_SECRET_KEY", "short")
    said = sentence(limen, "users", "list", "--app", app_file)
    assert "5 bytes" in said
    assert "secrets.token_urlsafe(48)" in said


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
@pytest.mark.parametrize("words", [["migrate"], ["users", "list"]], ids=" ".join)
def test_unreachable_database(
    limen: Limen, app_file: str, monkeypatch: pytest.MonkeyPatch, words: list[str], driver: str
) -> None:
    monkeypatch.setenv("LIMEN_DATABASE_URL", f"postgresql+{driver}://limen:password@127.0.0.1:{free_port()}/limen")
    said = sentence(limen, *words, "--app", app_file)
    assert "LIMEN_DATABASE_URL" in said
    assert "cannot be reached" in said
    assert "password" not in said


@pytest.mark.usefixtures("secret")
def test_unknown_driver(limen: Limen, app_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMEN_DATABASE_URL", "nonsense")
    assert "LIMEN_DATABASE_URL cannot be read" in sentence(limen, "migrate", "--app", app_file)


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize(
    ("url", "cure"),
    [
        ("mysql+no_driver://u:p@localhost/x", "cannot be read"),
        ("mysql://u:p@localhost/x", "limen keeps its tables in SQLite or PostgreSQL"),
        ("postgresql+psycopg2://u:p@localhost/x", "pip install 'limen[postgres]'"),
    ],
)
def test_missing_driver(limen: Limen, app_file: str, monkeypatch: pytest.MonkeyPatch, url: str, cure: str) -> None:
    monkeypatch.setenv("LIMEN_DATABASE_URL", url)
    assert cure in sentence(limen, "migrate", "--app", app_file)


def test_not_migrated(limen: Limen, app_name: str) -> None:
    said = sentence(limen, "users", "list", "--app", app_name)
    assert "limen_users" in said
    assert "run `limen migrate`" in said


@pytest.mark.usefixtures("secret")
def test_wrong_setting(limen: Limen, app_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMEN_ACCESS_TOKEN_EXPIRE_MINUTES", "soon")
    assert "LIMEN_ACCESS_TOKEN_EXPIRE_MINUTES" in sentence(limen, "migrate", "--app", app_file)


def test_no_such_module(limen: Limen) -> None:
    assert "there is no module nowhere" in sentence(limen, "migrate", "--app", "nowhere:auth")


@pytest.mark.usefixtures("secret")
def test_no_such_name(limen: Limen, app_file: str) -> None:
    assert "has no guard" in sentence(limen, "migrate", "--app", f"{app_file}:guard")


def test_no_auth_in_the_module(limen: Limen, home: Path) -> None:
    (home / "empty_app.py").write_text("app = None\nother = 1\n")
    assert "no Auth in the module empty_app" in sentence(limen, "migrate", "--app", "empty_app:other")


@pytest.mark.usefixtures("secret")
def test_more_than_one_auth(limen: Limen, home: Path) -> None:
    (home / "twin_app.py").write_text(APP + "\nstaff = Auth()\n")
    assert "twin_app:auth, twin_app:staff" in sentence(limen, "migrate", "--app", "twin_app")


def test_broken_module_is_located(limen: Limen, home: Path) -> None:
    (home / "broken_app.py").write_text("x = 1\ny = z\n")
    said = sentence(limen, "migrate", "--app", "broken_app")
    assert "NameError: name 'z' is not defined" in said
    assert f"{home}/broken_app.py, line 2" in said


@pytest.mark.usefixtures("secret")
def test_missing_dependency_of_the_app_is_named(limen: Limen, home: Path) -> None:
    (home / "needy_app.py").write_text("import a_missing_package\n")
    assert "needy_app cannot be imported: ModuleNotFoundError: No module named 'a_missing_package'" in sentence(
        limen, "migrate", "--app", "needy_app"
    )


def test_as_a_process_too_there_is_no_traceback(command: Command) -> None:
    done = command("users", "list", "--app", "limen.demo")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("limen: LIMEN_SECRET_KEY is not set")
    assert done.stderr.count("\n") == 1


def test_unknown_command_is_a_usage_error(limen: Limen) -> None:
    done = limen("usres")
    assert done.exit_code == 2
    assert "Did you mean 'users'" in done.stderr


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize(
    "words",
    [
        ["users", "list"],
        ["users", "create", "--email", "ada@example.com", "--generate-password"],
        ["users", "set-password", "ada@example.com", "--generate-password"],
        ["explain", "GET", "/me", "--user", "ada@example.com"],
        ["limits", "clear", "ada@example.com"],
    ],
    ids=" ".join,
)
def test_a_command_for_accounts_in_an_app_that_has_none(
    limen: Limen, home: Path, app_file: str, words: list[str]
) -> None:
    text = APP.partition("auth = ")[0] + "auth = Auth(features=[Tokens(), Roles()])\n"
    (home / f"{app_file}.py").write_text(text)
    assert limen("migrate", "--app", app_file).exit_code == 0
    assert "Accounts is not among the features" in sentence(limen, *words, "--app", app_file)
