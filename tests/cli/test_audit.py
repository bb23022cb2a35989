"""`limen audit …`: what scripts rely on."""

import csv
import io
import json
import os
import shutil
import sqlite3
from typing import Any

import pytest
from tests.cli.conftest import APP, PASSWORD, SECRET

AUDITED = APP.replace("from limen.testing", "from limen.features import Audit\nfrom limen.testing").replace(
    "Roles()]", "Roles(), Audit()]"
)


@pytest.fixture
def audited(home, tmp_path, monkeypatch, limen, migrated_file) -> Any:
    """An app with a record of three entries in a SQLite file."""
    name = f"audited_{os.urandom(4).hex()}"
    (home / f"{name}.py").write_text(AUDITED)
    path = tmp_path / "limen.db"
    monkeypatch.setenv("LIMEN_SECRET_KEY", SECRET)
    monkeypatch.setenv("LIMEN_DATABASE_URL", f"sqlite+aiosqlite:///{path}")
    monkeypatch.setenv("LIMEN_APP", name)
    shutil.copyfile(migrated_file, path)
    for email in ("ann@example.com", "bob@example.com"):
        assert limen("users", "create", "--email", email, "--password", PASSWORD, "--json").exit_code == 0
    assert limen("users", "disable", "bob@example.com").exit_code == 0
    return sqlite3.connect(path)


def test_an_intact_record_is_status_0_and_its_head_can_be_noted(limen, audited):
    answer = limen("audit", "verify", "--json")
    assert answer.exit_code == 0, answer.output
    said = json.loads(answer.stdout)
    assert (said["intact"], said["entries"], said["flaws"]) == (True, 3, [])
    assert limen("audit", "verify", "--head", said["head"]).exit_code == 0
    assert limen("audit", "verify", "--head", "nonsense").exit_code == 2
    assert said["head"] in limen("audit", "verify").stdout


def test_a_record_that_was_tampered_with_is_status_1_and_says_where(limen, audited):
    audited.execute("UPDATE limen_audit SET actor = 'eve' WHERE seq = 2")
    audited.commit()
    answer = limen("audit", "verify", "--json")
    assert answer.exit_code == 1
    (flaw,) = json.loads(answer.stdout)["flaws"]
    assert (flaw["kind"], flaw["seq"]) == ("changed", 2)
    answer = limen("audit", "verify")
    assert answer.exit_code == 1
    assert "Entry 2 was changed." in answer.stdout


def test_the_operator_is_in_the_record(limen, audited):
    said = json.loads(limen("audit", "tail", "--json").stdout)
    assert [entry["event"] for entry in said] == ["registered", "registered", "account_updated"]
    assert {entry["actor_kind"] for entry in said} == {"operator"}
    assert len(json.loads(limen("audit", "tail", "-n", "1", "--event", "registered", "--json").stdout)) == 1
    assert "account_updated" in limen("audit", "tail").stdout


def test_an_export_is_every_entry(limen, audited):
    lines = limen("audit", "export").stdout.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3]
    rows = list(csv.DictReader(io.StringIO(limen("audit", "export", "--format", "csv").stdout)))
    assert [row["event"] for row in rows] == ["registered", "registered", "account_updated"]
    assert len(limen("audit", "export", "--after", "2").stdout.splitlines()) == 1


@pytest.mark.parametrize("first", ["=", "+", "-", "@"])
def test_no_cell_of_an_export_is_a_formula(limen, audited, first):
    audited.execute("UPDATE limen_audit SET user_agent = ?", [first + 'HYPERLINK("http://evil.example","x")'])
    audited.commit()
    rows = list(csv.DictReader(io.StringIO(limen("audit", "export", "--format", "csv").stdout)))
    assert {row["user_agent"][:2] for row in rows} == {"'" + first}


def test_an_app_without_a_record_says_so(limen, audited, home, monkeypatch):
    (home / "silent.py").write_text(APP)
    monkeypatch.setenv("LIMEN_APP", "silent")
    answer = limen("audit", "verify")
    assert answer.exit_code == 1
    assert "Audit()" in answer.stderr
