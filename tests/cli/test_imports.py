"""`limen import …` takes other apps' users over with their passwords: each once, each whole, on both databases."""

import asyncio
import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import bcrypt
import psycopg
import pytest
from sqlalchemy import func, select
from tests.cli import old_apps
from tests.cli.conftest import Limen
from tests.cli.test_users import signs_in
from tests.servers.postgres import PostgresServer
from typer.testing import Result

from limen import Accounts, Auth

PASSWORD = "three tall ships"
DIGEST = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()

Import = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def migrated(app_name: str, home: Path, has_tables: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app with its tables, which every command here is about."""
    monkeypatch.setenv("LIMEN_APP", app_name)
    monkeypatch.syspath_prepend(home)  # the tests import it too


@pytest.fixture(scope="session")
def django_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Django left behind; imports only read it."""
    return old_apps.django(tmp_path_factory.mktemp("django"))


@pytest.fixture
def django(django_file: Path) -> str:
    """Its URL."""
    return f"sqlite:///{django_file}"


@pytest.fixture
def take_over(limen: Limen) -> Import:
    """Run an import; its report. Exit status 1 says that rows were left out, and nothing else."""

    def run(*arguments: str) -> dict[str, Any]:
        done: Result = limen("import", *arguments, "--json")
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.stdout, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        assert done.exit_code == (1 if report["refused"] else 0), done.stderr
        assert report["read"] == report["imported"] + report["already_there"] + report["refused"]
        assert len(report["bad_rows"]) == report["refused"]
        return report

    return run


@pytest.fixture
def users(app_name: str) -> Callable[[], dict[str, dict[str, Any]]]:
    """Everybody who is there, by address."""

    def read() -> dict[str, dict[str, Any]]:
        auth: Auth = import_module(app_name).auth

        async def work() -> dict[str, dict[str, Any]]:
            try:
                found = await auth[Accounts].list(limit=1000)
                return {account.email: auth.kernel.users.describe(account) for account in found}
            finally:
                await auth.kernel.database.dispose()

        return asyncio.run(work())

    return read


def digests(app_name: str) -> list[str]:
    auth: Auth = import_module(app_name).auth
    table = auth.kernel.tables.users.metadata.tables["limen_passwords"]

    async def work() -> list[str]:
        rows = await auth.kernel.database.read(select(table.c.digest))
        await auth.kernel.database.dispose()
        return [row.digest for row in rows]

    return asyncio.run(work())


def counted(app_name: str) -> dict[str, int]:
    """Rows of each table that an import writes."""
    auth: Auth = import_module(app_name).auth
    tables = auth.kernel.tables.users.metadata.tables

    async def work() -> dict[str, int]:
        names = ("limen_users", "limen_passwords", "limen_user_roles", "limen_identities")
        found = {}
        for name in names:
            rows = await auth.kernel.database.read(select(func.count().label("rows")).select_from(tables[name]))
            found[name] = rows[0].rows
        await auth.kernel.database.dispose()
        return found

    return asyncio.run(work())


def users_in(database_url: str) -> int:
    """How many there are, asked beside the app."""
    question = "SELECT count(*) FROM limen_users"
    if database_url.startswith("sqlite"):
        database = sqlite3.connect(database_url.partition(":///")[2], timeout=30)
        try:
            return int(database.execute(question).fetchone()[0])
        finally:
            database.close()
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        row = connection.execute(question.encode()).fetchone()
        return int(row[0]) if row else 0


def identities(app_name: str, email: str) -> set[tuple[str, str, str]]:
    auth: Auth = import_module(app_name).auth

    async def work() -> set[tuple[str, str, str]]:
        try:
            account = await auth[Accounts].find(email)
            found = await auth.kernel.identities.list_of(account.id)
            return {(each.provider, each.issuer, each.subject) for each in found}
        finally:
            await auth.kernel.database.dispose()

    return asyncio.run(work())


def write_csv(path: Path, rows: list[Mapping[str, object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    return path


def reasons(report: Mapping[str, Any]) -> dict[int, str]:
    return {row["row"]: row["reason"] for row in report["bad_rows"]}


# -- each app ----------------------------------------------------------------------------------------------------------


def test_users_of_fastapi_users_come_with_their_passwords(
    take_over: Import, users: Any, app_name: str, home: Path
) -> None:
    url = old_apps.fastapi_users(home)
    report = take_over("fastapi-users", "--from", url, "--superuser-role", "admin", "--keep-ids")
    assert (report["imported"], report["refused"]) == (4, 0)
    found = users()
    assert found["ada@example.com"]["roles"] == ["admin", "member"]
    assert found["ada@example.com"]["is_verified"] is True
    assert found["ada@example.com"]["id"] == "d48c4d67-3212-4e20-a7c5-0ece9a3b31d5"
    assert found["Bea@example.com"]["roles"] == ["member"]
    assert found["Bea@example.com"]["is_verified"] is False
    assert found["dan@example.com"]["is_active"] is False
    for email, password in old_apps.FASTAPI_USERS_PASSWORDS.items():
        assert signs_in(app_name, email, password), email
    assert not signs_in(app_name, "ada@example.com", "four old maps")
    assert not signs_in(app_name, "dan@example.com", "four old maps")
    kinds = sorted(digest.startswith("$argon2id$v=19$m=8,t=1,p=1$") for digest in digests(app_name))
    assert kinds == [False, True, True, True], "who signed in has limen's own digest"


def test_users_of_django_come_with_their_passwords(take_over: Import, users: Any, app_name: str, django: str) -> None:
    report = take_over("django", "--from", django, "--superuser-role", "admin")
    assert (report["read"], report["imported"], report["without_password"]) == (11, 7, 1)
    assert reasons(report) == {
        8: "there is no e-mail address",
        9: "the same username as row 2, in one spelling or another",
        10: "the username is not of a form that limen takes: 1 to 64 letters, digits, . - _",
        11: "the password cannot be checked: no digest of a known form",
    }
    found = users()
    assert found["Ada@example.com"]["roles"] == ["admin", "member"]
    assert found["Ada@example.com"]["username"] == "ada"
    assert found["gil@example.com"]["username"] is None
    assert found["gil@example.com"]["is_active"] is False
    assert signs_in(app_name, "ada", PASSWORD)
    assert signs_in(app_name, "bea@example.com", "five blue doors")
    for name in ("cleo", "dora", "emil"):
        assert signs_in(app_name, name, "six red apples"), name
    assert not signs_in(app_name, "finn", "")


def test_what_limen_cannot_take_of_django_can_be_left_behind(take_over: Import, app_name: str, django: str) -> None:
    report = take_over("django", "--from", django, "--without-usernames", "--without-unreadable-passwords")
    assert reasons(report) == {8: "there is no e-mail address"}
    assert report["without_password"] == 2
    assert not signs_in(app_name, "ada", PASSWORD)
    assert signs_in(app_name, "ada@example.com", PASSWORD)


def test_users_of_supabase_come_with_their_passwords_and_identities(
    take_over: Import, users: Any, app_name: str, postgres_server: PostgresServer
) -> None:
    url = postgres_server.create_database()
    try:
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            connection.execute(old_apps.SUPABASE.format(digest=DIGEST).encode())
        report = take_over("supabase", "--from", url, "--project-url", "https://ref.supabase.co/", "--keep-ids")
    finally:
        postgres_server.drop_database(url)
    assert (report["imported"], report["without_password"], report["identities"]) == (3, 1, 5)
    assert reasons(report) == {4: "there is no e-mail address", 5: "the user was deleted"}
    found = users()
    assert found["ada@example.com"]["is_verified"] is True
    assert found["ada@example.com"]["created_at"].isoformat() == "2020-01-02T03:04:05+00:00"
    assert (found["cleo@example.com"]["is_verified"], found["cleo@example.com"]["is_active"]) == (False, False)
    assert signs_in(app_name, "ada@example.com", PASSWORD)
    bea = "00000000-0000-4000-8000-000000000002"
    assert found["bea@example.com"]["id"] == bea
    assert identities(app_name, "bea@example.com") == {
        ("supabase", "https://ref.supabase.co/auth/v1", bea),
        ("google", "https://accounts.google.com", "104233"),
        ("github", "https://github.com", "77"),
    }


def test_users_of_better_auth_come_with_their_passwords_and_identities(
    take_over: Import, users: Any, app_name: str, home: Path
) -> None:
    report = take_over("better-auth", "--from", old_apps.better_auth(home))
    assert (report["imported"], report["without_password"], report["identities"]) == (3, 1, 2)
    found = users()
    assert (found["ada@example.com"]["is_verified"], found["cleo@example.com"]["is_active"]) == (True, False)
    made = {email: user["created_at"].isoformat() for email, user in found.items()}
    assert made["ada@example.com"] == "2026-01-02T03:04:05+00:00"
    assert made["bea@example.com"] == made["cleo@example.com"] == "2017-07-14T02:40:00+00:00"
    # As typed on two keyboards: better-auth hashes the NFKC form, in which both are one.
    assert signs_in(app_name, "ada@example.com", "\ufb01ve \uff33hips at sea")
    assert signs_in(
        app_name, "ada@example.com", "\ufb01ve \uff33hips at sea"
    )  # and replaced by a digest of limen's own
    assert identities(app_name, "bea@example.com") == {
        ("google", "https://accounts.google.com", "104233"),
        ("github", "https://github.com", "77"),
    }


def test_users_of_firebase_come_with_their_passwords_and_identities(
    take_over: Import, users: Any, app_name: str, home: Path
) -> None:
    export, config = old_apps.firebase(home), home / "hash-config.txt"
    config.write_text(old_apps.FIREBASE_CONFIG)
    report = take_over("firebase", "--from", str(export), "--hash-config", str(config))
    assert report["imported"] == 2
    assert reasons(report) == {
        3: "there is no e-mail address",
        4: "the salt is missing: export again with the right to see hashes (getHashConfig)",
    }
    assert signs_in(app_name, "ada@example.com", "user1password")
    found = users()
    assert found["ada@example.com"]["created_at"].isoformat() == "2017-07-14T02:40:00+00:00"
    assert found["bea@example.com"]["is_active"] is False
    assert identities(app_name, "bea@example.com") == {("google", "https://accounts.google.com", "1042")}


def test_firebase_without_its_hash_parameters_leaves_those_with_a_password_out(take_over: Import, home: Path) -> None:
    report = take_over("firebase", "--from", str(old_apps.firebase(home)))
    assert report["imported"] == 1
    assert "no hash parameters" in reasons(report)[1]


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_plain_file_needs_nothing_but_addresses(take_over: Import, users: Any, home: Path) -> None:
    (home / "users.csv").write_text("email\nada@example.com\n")
    report = take_over("csv", "--from", "users.csv", "--role", "admin", "--all-verified")
    assert (report["imported"], report["without_password"]) == (1, 1)
    assert users()["ada@example.com"]["roles"] == ["admin"]
    assert users()["ada@example.com"]["is_verified"] is True


def test_json_lines_and_renamed_columns(take_over: Import, users: Any, app_name: str, home: Path) -> None:
    lines = [
        {"mail": "ada@example.com", "pw": DIGEST, "on": True, "since": "2020-01-02T03:04:05Z"},
        {"mail": "bea@example.com", "on": False},
    ]
    (home / "users.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    maps = [f"--map={pair}" for pair in ("email=mail", "password_hash=pw", "is_active=on", "created_at=since")]
    assert take_over("csv", "--from", "users.jsonl", *maps)["imported"] == 2
    assert signs_in(app_name, "ada@example.com", PASSWORD)
    assert users()["ada@example.com"]["created_at"].isoformat() == "2020-01-02T03:04:05+00:00"
    assert users()["bea@example.com"]["is_active"] is False


HOSTILE = (
    b"\xef\xbb\xbfemail;password_hash;is_active\r\n"
    b"ada@example.com;" + DIGEST.encode() + b";true\r\n"
    b"ADA@Example.COM;;true\r\n"  # 3: another spelling
    b"\r\n"
    b"nul\x00@example.com;;\r\n"  # 5
    b"bad\xff@example.com;;\r\n"  # 6
    b"not an address;;\r\n"  # 7
    b"k\xc3\xb6nig@example.com;;\r\n"  # 8: a local part that limen refuses
    b"few@example.com;\r\n"  # 9
    b"many@example.com;;;;\r\n"  # 10
    b"truth@example.com;;perhaps\r\n"  # 11
    b"slow@example.com;pbkdf2_sha256$1000000000$salt$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=;\r\n"  # 12
    b"huge@example.com;" + b"x" * 200_000 + b";\r\n"  # 13
    b"giant@example.com;" + b"x" * 3_000_000 + b";\r\n"  # 14
    b'quoted@example.com;"a"b;\r\n'  # 15
    b"=cmd|' /C calc'!A0;;\r\n"  # 16
    b"bea@m\xc3\xbcnchen.example;;\r\n"  # 17: fine, and stored as typed
    b'last@example.com;"never closed;\r\n'  # 18
)


def test_a_hostile_file_costs_its_bad_rows_and_nothing_else(take_over: Import, users: Any, home: Path) -> None:
    (home / "users.csv").write_bytes(HOSTILE)
    report = take_over("csv", "--from", "users.csv")
    assert sorted(users()) == ["ada@example.com", "bea@münchen.example"]
    found = reasons(report)
    assert sorted(found) == [3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18]
    assert found[3] == "the same e-mail address as row 2, in one spelling or another"
    assert found[5] == "email holds a NUL"
    assert found[6] == "email is not UTF-8"
    assert found[9] == "has 2 fields, and the first line names 3"
    assert "rounds" in found[12]
    assert "1 MB" in found[14]


def test_no_digest_is_ever_said(limen: Limen, home: Path) -> None:
    secret = "pbkdf2_sha256$1000000000$" + "topsecret" * 5 + "$AAAA"
    (home / "users.csv").write_text(f"email,password_hash\nada@example.com,{secret}\n{secret},x\n")
    for arguments in (["--json"], [], ["--map", "id=password_hash"], ["--map", "email=password_hash"]):
        done = limen("import", "csv", "--from", "users.csv", *arguments)
        assert done.exit_code == 1
        assert "topsecret" not in done.output


# -- again and again ---------------------------------------------------------------------------------------------------


def test_a_dry_run_reports_everything_and_writes_nothing(take_over: Import, app_name: str, django: str) -> None:
    before = counted(app_name)
    tried = take_over("django", "--from", django, "--dry-run")
    assert counted(app_name) == before
    done = take_over("django", "--from", django)
    assert {**tried, "dry_run": False} == done
    assert counted(app_name)["limen_users"] == before["limen_users"] + done["imported"]


def test_run_again_it_adds_what_is_new_and_changes_nothing(
    take_over: Import, users: Any, app_name: str, limen: Limen, home: Path
) -> None:
    write_csv(home / "users.csv", [{"email": "ada@example.com", "password_hash": DIGEST}])
    assert take_over("csv", "--from", "users.csv")["imported"] == 1
    assert limen("users", "set-password", "ada@example.com", "--password", "a newer password").exit_code == 0
    rows = [{"email": f"{name}@Example.com", "password_hash": DIGEST} for name in ("Ada", "bea")]
    write_csv(home / "users.csv", rows)
    report = take_over("csv", "--from", "users.csv")
    assert (report["imported"], report["already_there"]) == (1, 1)
    assert signs_in(app_name, "ada@example.com", "a newer password")
    assert sorted(users()) == ["ada@example.com", "bea@Example.com"]


def test_a_username_of_somebody_elses_is_listed(take_over: Import, limen: Limen, home: Path) -> None:
    create = ["users", "create", "--email", "ada@example.com", "--password", "eleven tall trees", "--username", "ada"]
    assert limen(*create).exit_code == 0
    write_csv(home / "users.csv", [{"email": "other@example.com", "username": "ADA"}])
    assert reasons(take_over("csv", "--from", "users.csv")) == {2: "the username is another account's"}


def test_killed_in_the_middle_and_run_again_it_is_complete(
    take_over: Import, app_name: str, home: Path, database_url: str
) -> None:
    """Every account that the kill left is whole; the second run adds the others, and none twice."""
    rows = [{"email": f"user{n}@example.com", "username": f"u{n}", "password_hash": DIGEST} for n in range(3000)]
    write_csv(home / "users.csv", rows)
    line = [sys.executable, "-m", "limen", "import", "csv", "--from", "users.csv", "--app", app_name]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while users_in(database_url) == 0:
            assert process.poll() is None
            assert time.monotonic() < deadline
        os.kill(process.pid, signal.SIGKILL)
    left = counted(app_name)
    assert 0 < left["limen_users"] < 3000, "it was too quick to be killed"
    assert left["limen_users"] == left["limen_passwords"] == left["limen_user_roles"]
    report = take_over("csv", "--from", "users.csv")
    assert (report["already_there"], report["imported"]) == (left["limen_users"], 3000 - left["limen_users"])
    done = counted(app_name)
    assert done["limen_users"] == done["limen_passwords"] == done["limen_user_roles"] == 3000
    assert signs_in(app_name, "u2999", PASSWORD)


def test_the_other_app_may_live_in_the_same_database(
    take_over: Import, app_name: str, database_url: str, home: Path
) -> None:
    if not database_url.startswith("sqlite"):
        with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
            connection.execute(_OLD_TABLE)
            connection.execute(_OLD_ROW, (DIGEST,))
    else:
        database = sqlite3.connect(database_url.partition(":///")[2])
        database.execute(_OLD_TABLE)
        database.execute(_OLD_ROW.replace("%s", "?"), (DIGEST,))
        database.commit()
        database.close()
    assert take_over("fastapi-users", "--from", database_url)["imported"] == 1
    assert signs_in(app_name, "ada@example.com", PASSWORD)


_OLD_TABLE = (
    'CREATE TABLE "user" (id INTEGER PRIMARY KEY, email VARCHAR(320), hashed_password VARCHAR(1024), '
    "is_active BOOLEAN, is_superuser BOOLEAN, is_verified BOOLEAN)"
)
_OLD_ROW = "INSERT INTO \"user\" VALUES (1, 'ada@example.com', %s, true, false, true)"


# -- what people are told ----------------------------------------------------------------------------------------------


def test_the_report_for_people(limen: Limen, home: Path) -> None:
    (home / "users.csv").write_text("id,email\n1,ada@example.com\n2,ada\n3,\n")
    done = limen("import", "csv", "--from", "users.csv")
    assert done.stdout == (
        "Imported 1 of 3 users (1 without a password).\n"
        "There already, and left as they are: 0.\n"
        "Left out: 2.\n"
        "  row 3 (id 2): the e-mail address is not of a form that limen takes\n"
        "  row 4 (id 3): there is no e-mail address\n"
    )


WRONG = {
    "no such file": (["csv", "--from", "nothing.csv"], "nothing.csv cannot be read: No such file"),
    "no such ending": (["csv", "--from", "users.xls"], "neither a database URL nor a file that ends in .csv"),
    "no such database": (["django", "--from", "sqlite:///nothing.db"], "there is no file nothing.db"),
    "no such table": (["django", "--from", "sqlite:///old.db"], "there is no such table (there are: user)"),
    "no such column": (["csv", "--from", "names.csv"], "names.csv has no column 'email'; name another with --map"),
    "no such mapped": (["csv", "--from", "users.csv", "--map", "email=mail"], "users.csv has no column 'mail'"),
    "not a pair": (["csv", "--from", "users.csv", "--map", "email"], "write it as NAME=COLUMN"),
    "no such role": (["csv", "--from", "users.csv", "--role", "boss"], "There is no role 'boss'"),
    "a URL of nothing": (["csv", "--from", "nothing://x"], "--from cannot be read as a database URL"),
    "UTF-16": (["csv", "--from", "wide.csv"], "wide.csv is UTF-16: it must be plain text in UTF-8"),
    "names twice": (["csv", "--from", "twice.csv"], "the first line must name each column, once"),
    "no export": (["firebase", "--from", "users.csv"], "is not an export of Firebase's"),
    "no parameters": (["firebase", "--from", "users.csv", "--hash-config", "users.csv"], "as Firebase's console shows"),
    "no accounts": (["better-auth", "--from", "users.csv"], "give the database's URL"),
    "no project": (["supabase", "--from", "users.csv", "--project-url", "ref"], "--project-url: 'ref' is not a URL"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_begin_is_one_sentence(limen: Limen, home: Path, wrong: str, app_name: str) -> None:
    old_apps.fastapi_users(home)
    (home / "users.csv").write_text("email\nada@example.com\n")
    (home / "names.csv").write_text("name\nada\n")
    (home / "twice.csv").write_text("email,email\na,b\n")
    (home / "wide.csv").write_text("email\nada@example.com\n", "utf-16")
    arguments, sentence = WRONG[wrong]
    done = limen("import", *arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert counted(app_name)["limen_users"] == 0


def test_a_source_that_is_only_read_stays_as_it_was(take_over: Import, home: Path) -> None:
    url = old_apps.fastapi_users(home)
    path = Path(url.partition(":///")[2])
    before = path.read_bytes()
    take_over("fastapi-users", "--from", url)
    assert path.read_bytes() == before
    assert [each.name for each in home.glob("old.db*")] == ["old.db"]
