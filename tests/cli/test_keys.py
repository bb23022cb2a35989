"""`limen keys …` changes the ring in the database, and says what to do where there is none."""

import json
import os
from pathlib import Path

import pytest
from tests.cli.conftest import Limen
from typer.testing import Result

from limen.core.keys import SigningKey

OTHER_SECRET = "another secret of the tests that is long enough"


@pytest.fixture(autouse=True)
def migrated(app_name: str, has_tables: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app with its tables and a key ring, which every command here is about."""
    monkeypatch.setenv("LIMEN_APP", app_name)
    monkeypatch.setattr("limen.cli.apps.os.environ.pop", os.environ.get)  # one process runs several commands
    monkeypatch.setenv("LIMEN_ALGORITHM", "ES256")


@pytest.fixture
def fresh_app(app_name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same app in a module that is not imported yet, so that it reads the settings anew."""
    name = f"{app_name}_again"
    (home / f"{name}.py").write_text((home / f"{app_name}.py").read_text())
    monkeypatch.setenv("LIMEN_APP", name)
    return name


def keys(done: Result) -> list[dict[str, str]]:
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


def states(done: Result) -> list[str]:
    return [key["state"] for key in keys(done)]


def test_a_new_database_has_no_key_until_a_worker_starts_or_an_operator_makes_one(limen: Limen) -> None:
    assert keys(limen("keys", "list", "--json")) == []
    assert states(limen("keys", "rotate", "--now", "--json")) == ["signing"]


def test_rotate_announces_a_key_and_now_lets_it_sign(limen: Limen) -> None:
    limen("keys", "rotate", "--now")
    assert states(limen("keys", "rotate", "--json")) == ["signing", "announced"]
    assert states(limen("keys", "rotate", "--now", "--json")) == ["verifying", "signing"]
    listed = keys(limen("keys", "list", "--json"))
    assert listed[0]["ends_at"] > listed[1]["signs_from"]
    assert listed[1]["ends_at"] is None
    assert {key["source"] for key in listed} == {"database"}


def test_retire_replaces_a_key_and_now_refuses_it(limen: Limen) -> None:
    kid = keys(limen("keys", "rotate", "--now", "--json"))[0]["kid"]
    assert states(limen("keys", "retire", kid, "--json")) == ["signing", "announced"]
    assert states(limen("keys", "retire", kid, "--now", "--json")) == ["retired", "signing"]


def test_a_key_that_is_not_there_is_refused_in_one_sentence(limen: Limen) -> None:
    done = limen("keys", "retire", "nobody", "--now")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "limen: There is no live signing key 'nobody': see `limen keys list`\n"


def test_the_list_is_readable_and_holds_no_private_key(limen: Limen) -> None:
    kid = keys(limen("keys", "rotate", "--now", "--json"))[0]["kid"]
    shown = limen("keys", "list").stdout
    assert shown.splitlines()[0].split() == ["KID", "ALGORITHM", "STATE", "SOURCE", "SIGNS", "FROM", "ENDS", "AT"]
    assert shown.splitlines()[1].split()[:4] == [kid, "ES256", "signing", "database"]
    assert "PRIVATE" not in shown


def test_a_name_that_begins_with_a_dash_is_no_option(limen: Limen, fresh_app: str) -> None:
    """One in 64 does, and an h in it would be --help."""
    kid = "-wCnCQDrmbmehgONx-rhQhpeyVW8T68SoKBE8YErexM"
    for typed in ([kid], ["--", kid]):
        refused = limen("keys", "retire", "--now", *typed)
        assert f"There is no live signing key '{kid}'" in refused.stderr, refused.output


def test_a_key_under_a_lost_secret_is_named_and_can_be_given_up(
    limen: Limen, fresh_app: str, app_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kid = keys(limen("keys", "rotate", "--now", "--json", "--app", app_name))[0]["kid"]
    monkeypatch.setenv("LIMEN_SECRET_KEY", OTHER_SECRET)
    refused = limen("users", "list")
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert f"limen keys retire {kid} --now" in refused.stderr
    assert states(limen("keys", "retire", kid, "--now", "--json")) == ["retired", "signing"]
    assert limen("users", "list").exit_code == 0


def test_a_secret_is_listed_as_what_it_is_and_rotate_says_what_to_do(
    limen: Limen, fresh_app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMEN_ALGORITHM", "HS256")
    monkeypatch.setenv("LIMEN_SECRET_KEY_FALLBACKS", OTHER_SECRET)
    listed = keys(limen("keys", "list", "--json"))
    assert [(key["algorithm"], key["state"], key["source"]) for key in listed] == [
        ("HS256", "signing", "secret"),
        ("HS256", "verifying", "secret"),
    ]
    for command in (("rotate",), ("retire", listed[0]["kid"], "--now")):
        done = limen("keys", *command)
        assert done.exit_code == 1
        assert "LIMEN_SECRET_KEY_FALLBACKS" in done.stderr


def test_a_pem_file_is_listed_as_what_it_is_and_rotate_says_what_to_do(
    limen: Limen, fresh_app: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "key.pem").write_bytes(SigningKey.generate("ES256").pem)
    monkeypatch.setenv("LIMEN_SIGNING_KEY_FILE", "key.pem")
    (key,) = keys(limen("keys", "list", "--json"))
    assert (key["algorithm"], key["state"], key["source"]) == ("ES256", "signing", "file")
    done = limen("keys", "rotate")
    assert done.exit_code == 1
    assert "LIMEN_SIGNING_KEY_FILE" in done.stderr
