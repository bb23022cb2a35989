"""Which `Auth` a command is about."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import APP, SECRET, Command, Limen

from limen.db.migrate import newest_revision

FASTAPI = "\nfrom fastapi import FastAPI\napp = FastAPI()\nauth.install(app)\n"


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMEN_SECRET_KEY", SECRET)


def roles_of(command: Command, *arguments: str) -> str:
    """The roles that the found app declares, from the sentence about one that it does not."""
    assert command("migrate", *arguments).returncode == 0
    return command("users", "list", "--role", "nobody", *arguments).stderr.splitlines()[-1]


@pytest.mark.parametrize("attribute", ["", ":auth", ":app"])
def test_option_names_the_auth_or_its_app(limen: Limen, app_file: str, home: Path, attribute: str) -> None:
    (home / f"{app_file}.py").write_text(APP + FASTAPI)
    done = limen("migrate", "--json", "--app", f"{app_file}{attribute}")
    assert json.loads(done.stdout)["changed"] is True


def test_option_may_stand_before_the_command(limen: Limen, app_file: str) -> None:
    assert limen("--app", f"{app_file}:auth", "migrate").exit_code == 0


def test_environment_names_it(limen: Limen, app_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMEN_APP", app_file)
    done = limen("migrate")
    assert (done.exit_code, done.stderr) == (0, "")


def test_migrating_says_from_where_to_where(limen: Limen, app_name: str) -> None:
    done = limen("migrate", "--app", app_name, "--json")
    assert json.loads(done.stdout) == {"before": None, "after": newest_revision(), "changed": True}


@pytest.mark.parametrize("name", ["main.py", "app.py", "app/main.py"])
def test_file_of_the_working_directory_is_found(command: Command, home: Path, name: str) -> None:
    (home / name).parent.mkdir(exist_ok=True)
    (home / name).write_text(APP)
    assert "declares admin, member (" in roles_of(command)


def test_file_that_does_not_speak_of_limen_is_not_run(command: Command, home: Path) -> None:
    (home / "main.py").write_text("raise SystemExit('main.py was run')\n")
    (home / "app.py").write_text(APP)
    assert "declares admin, member (" in roles_of(command)


def test_without_any_it_is_the_demo_and_says_so(command: Command) -> None:
    done = command("migrate")
    assert done.returncode == 0
    assert done.stderr == "limen: no --app, no LIMEN_APP, no Auth in main.py or app.py here: using limen.demo\n"


def test_an_app_under_another_name_is_pointed_at_when_the_demo_is_used(limen: Limen, home: Path) -> None:
    (home / "first.py").write_text("from fastapi import FastAPI\n\napi = FastAPI()\n")
    (home / "web.py").write_text("import limen\nfrom fastapi import FastAPI\n\nserver = FastAPI()\n")
    for words in (["routes"], ["check", "--offline"]):
        assert "limen.demo (web.py has one: --app web:server)\n" in limen(*words).stderr
    refused = limen("dev")
    assert "(web.py has one: --app web:server)" in refused.stderr


def test_commands_of_a_feature_are_found_by_its_name(limen: Limen, app_file: str, home: Path) -> None:
    greeting = """
import typer
from limen import Feature

class Greeting(Feature):
    name = "greeting"

    def cli(self):
        group = typer.Typer(help="Says hello.")

        @group.command()
        def say(name: str) -> None:
            typer.echo(f"Hello, {name}.")

        @group.command()
        def sing() -> None: ...

        return group

auth = Auth(features=[Greeting()])
"""
    (home / f"{app_file}.py").write_text(APP.partition("auth = ")[0] + greeting)
    done = limen("--app", app_file, "greeting", "say", "Ada")
    assert (done.exit_code, done.stdout) == (0, "Hello, Ada.\n"), done.output
