"""`limen api-keys …` does what the feature does, on both databases."""

import asyncio
import json
from importlib import import_module
from pathlib import Path
from uuid import uuid4

import pytest
from tests.cli.conftest import PASSWORD, Limen

from limen import ApiKeys, Auth
from limen.errors import InvalidCredential
from limen.events import ApiKeyLeaked, Event

APP = """
from limen import Accounts, ApiKeys, Auth, Passwords, Role, Roles, Services, Sessions, Tokens
from limen.testing import fast_hasher

heard = []
auth = Auth(
    roles=[Role("member", ["items:read"], default=True), Role("admin", ["*"])],
    features=[Passwords(hasher=fast_hasher()), Tokens(), Sessions(), ApiKeys(), Services(), Accounts(), Roles()],
    listeners=[heard.append],
)
"""


@pytest.fixture
def app_file(home: Path) -> str:
    name = f"app_{uuid4().hex}"
    (home / f"{name}.py").write_text(APP)
    return name


@pytest.fixture(autouse=True)
def alice(limen: Limen, app_name: str, has_tables: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app with its tables, which every command here is about, and one user."""
    monkeypatch.setenv("LIMEN_APP", app_name)
    assert limen("users", "create", "--email", "alice@example.com", "--password", PASSWORD).exit_code == 0


def said(limen: Limen, *arguments: str, stdin: str = "") -> list[dict[str, object]]:
    """What a command answers in JSON; one object is a list of one."""
    done = limen("api-keys", *arguments, "--json", stdin=stdin)
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    return answer if isinstance(answer, list) else [answer]


def is_good(app_name: str, key: object) -> bool:
    auth: Auth = import_module(app_name).auth

    async def verify() -> bool:
        try:
            await auth[ApiKeys].verify(str(key))
        except InvalidCredential:
            return False
        finally:
            await auth.kernel.database.dispose()
        return True

    return asyncio.run(verify())


def heard(app_name: str) -> list[Event]:
    events: list[Event] = import_module(app_name).heard
    return events


def test_a_key_is_made_with_its_terms_and_listed_without_itself(limen: Limen, app_name: str) -> None:
    options = ("--name", "ci", "--scope", "items:read", "--expires-in-days", "30")
    limits = ("--network", "10.0.0.0/8", "--rate-limit", "100/minute")
    (made,) = said(limen, "create", "alice@example.com", *options, *limits)
    assert (made["name"], made["scopes"], made["rate_limit"]) == ("ci", ["items:read"], "100/minute")
    assert is_good(app_name, made["key"])
    (listed,) = said(limen, "list", "alice@example.com")
    assert listed == {name: value for name, value in made.items() if name != "key"}
    assert said(limen, "list") == [listed]
    table = limen("api-keys", "list").stdout
    assert str(made["id"]) in table
    assert str(made["key"]) not in table


def test_for_people_the_key_stands_on_a_line_of_its_own(limen: Limen) -> None:
    done = limen("api-keys", "create", "alice@example.com")
    assert done.exit_code == 0
    assert "(shown this once)" in done.stdout
    assert "Key: lmk_" in done.stdout


def test_a_key_is_revoked_by_its_id_or_prefix(limen: Limen, app_name: str) -> None:
    first, second = (said(limen, "create", "alice@example.com")[0] for _ in range(2))
    said(limen, "revoke", str(first["id"]))
    assert limen("api-keys", "revoke", str(second["prefix"])).stdout == f"Revoked {second['id']} (unnamed).\n"
    assert not is_good(app_name, first["key"])
    assert not is_good(app_name, second["key"])
    assert limen("api-keys", "revoke", str(first["id"])).exit_code == 1


def test_a_key_is_rotated_with_an_overlap(limen: Limen, app_name: str) -> None:
    (old,) = said(limen, "create", "alice@example.com", "--name", "ci")
    (new,) = said(limen, "rotate", str(old["id"]), "--overlap-seconds", "600")
    assert new["name"] == "ci"
    assert is_good(app_name, old["key"])
    assert is_good(app_name, new["key"])
    (last,) = said(limen, "rotate", str(new["id"]), "--overlap-seconds", "0")
    assert not is_good(app_name, new["key"])
    assert is_good(app_name, last["key"])


@pytest.mark.parametrize("way", ["argument", "stdin", "dash"])
def test_a_leaked_key_is_revoked_and_reported(limen: Limen, app_name: str, way: str) -> None:
    (made,) = said(limen, "create", "alice@example.com", "--name", "ci")
    text = f"https://paste.example/?q={made['key']}\n"
    arguments, stdin = {
        "argument": ((str(made["key"]),), ""),
        "stdin": ((), text),
        "dash": (("-",), text),
    }[way]
    (found,) = said(limen, "leak", *arguments, stdin=stdin)
    assert found["id"] == made["id"]
    assert not is_good(app_name, made["key"])
    leaks = [event for event in heard(app_name) if isinstance(event, ApiKeyLeaked)]
    assert [(event.key_id, event.subject, event.was_live) for event in leaks] == [(made["id"], made["owner"], True)]


def test_owner_and_audit_hear_of_a_leaked_key(
    limen: Limen, app_name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = f"told_{uuid4().hex}"
    heralds = "Roles(), Audit(), Mail(app_name='Example')]"
    source = APP.replace("Roles()]", heralds).replace(
        "heard = []", "from limen.features import Audit, Mail\nheard = []"
    )
    (home / f"{told}.py").write_text(source)
    monkeypatch.setenv("LIMEN_APP", told)
    (made,) = said(limen, "create", "alice@example.com", "--name", "ci")
    said(limen, "leak", str(made["key"]))
    (entry,) = json.loads(limen("audit", "tail", "--event", "api_key_leaked", "--json").stdout)
    assert (entry["subject"], entry["details"]["key_id"]) == (made["owner"], made["id"])
    assert json.loads(limen("audit", "verify", "--json").stdout)["intact"] is True
    waiting = json.loads(limen("mail", "outbox", "--json").stdout)
    assert [letter["template"] for letter in waiting] == ["key_created", "key_leaked"]
    printed = limen("mail", "deliver")
    assert str(made["id"]) in printed.output
    assert str(made["key"]) not in printed.output


def test_a_text_without_a_key_of_this_app_is_status_1(limen: Limen) -> None:
    done = limen("api-keys", "leak", stdin="nothing here, nor lmk_" + "x" * 54)
    assert (done.exit_code, done.stderr) == (1, "limen: there is no key of this app in it\n")


def test_what_is_wrong_is_one_sentence(limen: Limen) -> None:
    for arguments, sentence in (
        (("create", "nobody@example.com"), "There is no user or service"),
        (("create", "alice@example.com", "--scope", "not a permission"), "scopes: "),
        (("create", "alice@example.com", "--network", "x"), "allowed_networks: "),
        (("create", "alice@example.com", "--rate-limit", "x"), "rate_limit: "),
        (("revoke", "x"), "There is no such object."),
        (("rotate", "x"), "There is no such object."),
    ):
        done = limen("api-keys", *arguments)
        assert done.exit_code == 1
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1
