"""The guide, followed to the letter, moves an app of fastapi-users' documentation: same people, same passwords."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx2
import jwt
import pytest
from tests.cli import old_apps
from tests.docs.pages import ROOT, Block, read_page
from tests.docs.shell import Shell
from tests.servers.ports import free_port

GUIDE = read_page(ROOT / "docs" / "coming-from-fastapi-users.md")
OLD_SECRET = "SECRET-of-the-documentation-made-long-enough"


def commands() -> Block:
    (block,) = [block for block in GUIDE.blocks if block.language == "sh"]
    return block


def app() -> Block:
    (block,) = [block for block in GUIDE.blocks if block.marked("file") == "main.py"]
    return block


REFUSED, SAME_SECRET, ACCEPTED = "a secret of its own", "the old app's secret", "old tokens are taken"


@pytest.fixture(params=[REFUSED, SAME_SECRET, ACCEPTED])
def choice(request: pytest.FixtureRequest) -> str:
    """What becomes of old tokens."""
    return str(request.param)


def accepting() -> str:
    """The guide's app once it takes old tokens: its two last blocks, in place of the `Auth` of the first."""
    *_, block = [block.text for block in GUIDE.blocks if "import OldTokens" in block.text]
    routes = app().text.partition("auth.install(app)\n")[2]
    imports = "from typing import Annotated\nfrom fastapi import Depends\nfrom limen import User\n"
    return f"{imports}{block.replace('the old SECRET', OLD_SECRET)}{routes}"


@pytest.fixture
def client(choice: str, tmp_path: Path) -> Iterator[httpx2.Client]:
    """A client of the app that the guide makes, as its blocks stand, beside what the old app left behind."""
    port = free_port()
    shell = Shell(tmp_path / "app", port=port)
    try:
        old_apps.fastapi_users(shell.folder)
        (shell.folder / "old.db").rename(shell.folder / "test.db")
        (old_tokens,) = [block.text for block in GUIDE.blocks if block.marked("file") == "old_tokens.py"]
        shell.write("old_tokens.py", old_tokens)
        shell.write("main.py", accepting() if choice == ACCEPTED else app().text)
        said = shell.run(commands().text)
        assert "Would import 4 of 4 users." in said
        assert "Imported 4 of 4 users." in said
        if choice == SAME_SECRET:
            shell.run(f"export LIMEN_SECRET_KEY={OLD_SECRET}")
        shell.serve("uvicorn main:app --no-proxy-headers")
        with httpx2.Client(base_url=f"http://localhost:{port}") as client:
            yield client
    finally:
        shell.close()


def sign_in(client: httpx2.Client, email: str, password: str) -> httpx2.Response:
    return client.post("/auth/login", data={"username": email, "password": password})


def test_the_same_people_come_in_by_the_same_passwords_and_old_tokens_only_if_so_chosen(
    client: httpx2.Client, choice: str
) -> None:
    old = {"Authorization": f"Bearer {old_apps.fastapi_users_token()}"}
    if choice == ACCEPTED:
        check_old_tokens(client, old)
    assert client.get("/authenticated-route", headers=old).status_code == 401
    for email, password in old_apps.FASTAPI_USERS_PASSWORDS.items():
        assert sign_in(client, email, f"{password}?").status_code == 401
        answer = sign_in(client, email, password)
        assert answer.status_code == 200, answer.text
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        greeting = client.get("/authenticated-route", headers=headers).json()["message"]
        assert greeting.lower() == f"hello {email}!"
        user = client.get("/users/me", headers=headers).json()
        assert user["roles"] == (["admin", "member"] if email == "ada@example.com" else ["member"])
        assert UUID(user["id"]) == old_id(email)
    assert sign_in(client, "dan@example.com", "four old maps").status_code == 401, "he was disabled there"


def check_old_tokens(client: httpx2.Client, old: dict[str, str]) -> None:
    """Ada's token proves her until she signs in here, and never enough for what asks for a fresh sign-in."""
    assert client.get("/authenticated-route", headers=old).json() == {"message": "Hello ada@example.com!"}
    assert client.get("/users/me", headers=old).json()["roles"] == ["admin", "member"]
    close = client.request("DELETE", "/users/me", headers=old, json={"password": "wrong"})
    assert close.status_code in (401, 403), close.text
    for changes in ({"aud": "fastapi-users:reset"}, {"exp": 1_700_000_000}, {"sub": str(UUID(int=7))}, {"exp": None}):
        claims = {"sub": str(old_id("ada@example.com")), "aud": ["fastapi-users:auth"], "exp": 4_949_215_962, **changes}
        forged = jwt.encode({name: value for name, value in claims.items() if value}, OLD_SECRET, "HS256")
        answer = client.get("/authenticated-route", headers={"Authorization": f"Bearer {forged}"})
        assert answer.status_code == 401, changes
    assert sign_in(client, "ada@example.com", old_apps.FASTAPI_USERS_PASSWORDS["ada@example.com"]).status_code == 200
    time.sleep(1.1)  # for as long it is remembered


def old_id(email: str) -> UUID:
    database = sqlite3.connect(":memory:")
    database.executescript((old_apps.DATA / "fastapi_users.sql").read_text("utf-8"))
    row = database.execute('SELECT id FROM "user" WHERE lower(email) = ?', (email,)).fetchone()
    database.close()
    return UUID(row[0])


def test_the_old_apps_secret_is_the_one_that_its_token_was_signed_with() -> None:
    """Else the test above would prove nothing."""
    claims = jwt.decode(old_apps.fastapi_users_token(), OLD_SECRET, ["HS256"], audience="fastapi-users:auth")
    assert claims["sub"] == str(old_id("ada@example.com"))
