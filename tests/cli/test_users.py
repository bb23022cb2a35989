"""`limen users …` does what the features do, on both databases."""

import asyncio
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from tests.cli.conftest import PASSWORD, Limen

from limen import Auth, Passwords
from limen.errors import IncorrectLogin

OTHER_PASSWORD = "quite another pass phrase"


@pytest.fixture(autouse=True)
def migrated(app_name: str, home: Path, has_tables: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app with its tables, which every command here is about."""
    monkeypatch.setenv("LIMEN_APP", app_name)
    monkeypatch.syspath_prepend(home)  # the tests import it too


def create(limen: Limen, name: str, *options: str) -> dict[str, object]:
    done = limen("users", "create", "--email", f"{name}@example.com", "--password", PASSWORD, "--json", *options)
    assert done.exit_code == 0, done.stderr
    user = json.loads(done.stdout)
    assert isinstance(user, dict)
    return user


def signs_in(app_name: str, email: str, password: str) -> bool:
    auth: Auth = import_module(app_name).auth

    async def verify() -> bool:
        try:
            await auth[Passwords].verify(email, password)
        except IncorrectLogin:
            return False
        finally:
            await auth.kernel.database.dispose()
        return True

    return asyncio.run(verify())


def emails(limen: Limen, *options: str) -> set[str]:
    return {user["email"] for user in json.loads(limen("users", "list", "--json", *options).stdout)}


def test_created_user_has_the_named_roles_and_signs_in(limen: Limen, app_name: str) -> None:
    user = create(limen, "ada", "--role", "admin", "--role", "member", "--username", "ada")
    assert user["roles"] == ["admin", "member"]
    assert list(user) == [
        "id",
        "email",
        "username",
        "is_active",
        "is_verified",
        "roles",
        "permissions",
        "created_at",
    ]
    assert signs_in(app_name, "ada", PASSWORD)


def test_created_user_without_roles_has_the_default_ones(limen: Limen) -> None:
    assert create(limen, "ada")["roles"] == ["member"]


def test_password_comes_from_stdin(limen: Limen, app_name: str) -> None:
    done = limen("users", "create", "--email", "ada@example.com", "--password", "-", stdin=f"{PASSWORD}\n")
    assert (done.exit_code, done.stdout) == (0, "Created ada@example.com (member).\n")
    assert signs_in(app_name, "ada@example.com", PASSWORD)


def test_generated_password_is_printed_and_works(limen: Limen, app_name: str) -> None:
    done = limen("users", "create", "--email", "ada@example.com", "--generate-password")
    password = done.stdout.partition("Password: ")[2].split()[0]
    assert signs_in(app_name, "ada@example.com", password)


def test_without_terminal_and_password_it_is_a_usage_error(limen: Limen) -> None:
    done = limen("users", "create", "--email", "ada@example.com")
    assert done.exit_code == 2
    assert "--generate-password" in done.stderr


def test_list_filters_by_role(limen: Limen) -> None:
    create(limen, "ada", "--role", "admin")
    create(limen, "bob")
    assert emails(limen) == {"ada@example.com", "bob@example.com"}
    assert emails(limen, "--role", "admin") == {"ada@example.com"}


def test_list_reads_every_page(limen: Limen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limen.cli.users.PAGE", 2)
    for name in ("ada", "bob", "cem", "dora"):
        create(limen, name)
    assert len(emails(limen)) == 4


def test_list_for_people_is_a_table(limen: Limen) -> None:
    create(limen, "ada")
    head, row = limen("users", "list").stdout.splitlines()
    assert head.split() == ["EMAIL", "USERNAME", "ROLES", "STATE", "ID"]
    assert row.split()[:3] == ["ada@example.com", "member", "active"]


def test_disabled_user_cannot_sign_in_until_enabled(limen: Limen, app_name: str) -> None:
    user = create(limen, "ada", "--username", "countess")
    assert limen("users", "disable", "ADA@example.com").stdout == "Disabled ada@example.com (member).\n"
    assert not signs_in(app_name, "ada@example.com", PASSWORD)
    assert limen("users", "enable", "Countess").exit_code == 0
    assert signs_in(app_name, "ada@example.com", PASSWORD)
    assert json.loads(limen("users", "disable", str(user["id"]), "--json").stdout)["is_active"] is False


def test_set_password_replaces_the_old_one(limen: Limen, app_name: str) -> None:
    create(limen, "ada")
    assert limen("users", "set-password", "ada@example.com", "--password", OTHER_PASSWORD).exit_code == 0
    assert not signs_in(app_name, "ada@example.com", PASSWORD)
    assert signs_in(app_name, "ada@example.com", OTHER_PASSWORD)


REFUSALS = {
    "unknown role": (
        ["create", "--email", "b@example.com", "--password", PASSWORD, "--role", "boss"],
        "limen: There is no role 'boss': this app declares admin, member (Auth(roles=[…]))\n",
    ),
    "address taken": (
        ["create", "--email", "Ada@example.com", "--password", PASSWORD],
        "limen: An account with this email exists.\n",
    ),
    "no address": (
        ["create", "--email", "ada", "--password", PASSWORD],
        "limen: email: This is not an e-mail address.\n",
    ),
    "short password": (
        ["create", "--email", "b@example.com", "--password", "q7#kz!w"],
        "limen: password: Use at least 8 characters.\n",
    ),
    "unknown user": (
        ["disable", "nobody@example.com"],
        "limen: There is no user with the e-mail address, username or id 'nobody@example.com'\n",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refusals_are_one_sentence(limen: Limen, refusal: str) -> None:
    create(limen, "ada")
    arguments, sentence = REFUSALS[refusal]
    done = limen("users", *arguments)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", sentence)
    assert emails(limen) == {"ada@example.com"}


def test_terminal_asks_twice_and_shows_nothing(app_name: str) -> None:
    spawn = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    line = [sys.executable, "-m", "limen", "users", "create", "--email", "ada@example.com", "--app", app_name]
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", spawn, *line], stdin=pipe, stdout=pipe) as process:
        assert process.stdin
        assert process.stdout
        shown = b""
        for _ in range(2):
            while not shown.endswith(b": "):
                shown += process.stdout.read(1)
            process.stdin.write(f"{PASSWORD}\n".encode())
            process.stdin.flush()
            shown += process.stdout.read(1)
        shown += process.stdout.read()
    assert process.returncode == 0, shown
    assert b"Created ada@example.com" in shown
    assert PASSWORD.encode() not in shown
    assert signs_in(app_name, "ada@example.com", PASSWORD)
