"""`limen services …` does what the feature does, on both databases."""

import asyncio
import json
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.cli.conftest import Limen
from tests.cli.test_api_keys import APP

from limen import Auth
from limen.core.keys import SigningKey
from limen.core.oauth_client import PresentedClient
from limen.errors import InvalidClient


@pytest.fixture
def app_file(home: Path) -> str:
    name = f"app_{uuid4().hex}"
    (home / f"{name}.py").write_text(APP)
    return name


@pytest.fixture(autouse=True)
def migrated(app_name: str, has_tables: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMEN_APP", app_name)


def said(limen: Limen, *arguments: str) -> Any:
    done = limen("services", *arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def proves(app_name: str, service: dict[str, Any]) -> bool:
    auth: Auth = import_module(app_name).auth
    method = auth.kernel.client_methods["client_secret_basic"]
    client_id, secret = service["client_id"], service["client_secret"]

    async def prove() -> bool:
        try:
            await method.prove(PresentedClient(method=method.name, client_id=client_id, proof=secret))
        except InvalidClient:
            return False
        finally:
            await auth.kernel.database.dispose()
        return True

    return asyncio.run(prove())


def test_a_service_is_made_with_rights_and_a_secret(limen: Limen, app_name: str) -> None:
    made = said(limen, "create", "ci-bot", "--role", "member", "--permission", "items:read")
    assert (made["name"], made["roles"], made["permissions"]) == ("ci-bot", ["member"], ["items:read"])
    assert proves(app_name, made)
    (listed,) = said(limen, "list")
    assert listed == {name: value for name, value in made.items() if name != "client_secret"}
    assert "ci-bot" in limen("services", "list").stdout
    assert "client_secret" not in said(limen, "create", "keyless", "--no-secret")


def test_secrets_are_added_rotated_and_revoked(limen: Limen, app_name: str) -> None:
    first = said(limen, "create", "ci-bot")
    second = said(limen, "add-secret", "ci-bot", "--expires-in-days", "9")
    assert proves(app_name, first)
    third = said(limen, "add-secret", first["client_id"], "--overlap-seconds", "0")
    assert [proves(app_name, each) for each in (first, second, third)] == [False, False, True]
    (left,) = said(limen, "credentials", "ci-bot")
    assert left["id"] == third["credential_id"]
    assert limen("services", "revoke", "ci-bot", str(left["id"])).exit_code == 0
    assert not proves(app_name, third)


def test_a_public_key_is_added_from_a_file(limen: Limen, home: Path) -> None:
    said(limen, "create", "ci-bot", "--no-secret")
    (home / "key.pem").write_bytes(SigningKey.generate("ES256").verifying_key().material)
    said(limen, "add-key", "ci-bot", "key.pem")
    (listed,) = said(limen, "credentials", "ci-bot")
    assert listed["method"] == "private_key_jwt"
    (home / "private.pem").write_bytes(SigningKey.generate("ES256").pem)
    done = limen("services", "add-key", "ci-bot", "private.pem")
    assert done.exit_code == 1
    assert done.stderr.startswith("limen: public_key: ")


def test_a_service_has_api_keys(limen: Limen) -> None:
    service = said(limen, "create", "ci-bot", "--role", "member")
    done = limen("api-keys", "create", "ci-bot", "--json")
    assert json.loads(done.stdout)["owner"] == service["client_id"]


def test_what_is_wrong_is_one_sentence(limen: Limen) -> None:
    said(limen, "create", "ci-bot")
    for options in (("--role", "nobody"), ("--permission", "items:rread"), ("--permission", "not one")):
        assert limen("services", "create", "half-made", *options).exit_code == 1
    assert [service["name"] for service in said(limen, "list")] == ["ci-bot"]
    for arguments in (("create", "ci-bot"), ("create", "a b"), ("add-secret", "nobody"), ("revoke", "ci-bot", "x")):
        done = limen("services", *arguments)
        assert done.exit_code == 1
        assert done.stderr.startswith("limen: ")
        assert done.stderr.count("\n") == 1
