"""Every example does what it says of itself."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import httpx2
import pytest
from sqlalchemy import create_engine, text
from tests.examples.loading import EXAMPLES, client_of, loaded, rehearsed
from tests.servers.postgres import PostgresServer

from limen.testing import PASSWORD, AsyncAuthClient, AuthClient


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/limen.db"


@pytest.fixture
def client(
    request: pytest.FixtureRequest, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AuthClient]:
    with (
        loaded(request.param, database_url=database_url, monkeypatch=monkeypatch, folder=tmp_path) as module,
        client_of(module) as client,
    ):
        yield client


def runs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("client", [name], indirect=True)


@runs("own_user_model")
def test_own_user_model(client):
    new = {"email": "ada@example.com", "password": PASSWORD, "city": "Oslo"}
    assert client.post("/auth/register", json={**new, "discount": 100}).status_code == 422
    registered = client.post("/auth/register", json=new).json()
    assert (registered["id"], registered["city"], "discount" in registered) == (1, "Oslo", False)
    ada, bob = client.as_user(email="ada@example.com"), client.as_user()
    assert ada.get("/price").json() == "100 EUR, delivered to Oslo"
    assert ada.post("/orders?article=lamp").status_code == 201
    assert [ada.get("/orders").json(), bob.get("/orders").json()] == [["lamp"], []]
    assert client.get("/orders").status_code == 401
    assert ada.patch("/users/me", json={"discount": 50}).status_code == 422


@runs("sqlmodel_app")
def test_sqlmodel_app(client):
    ada, bob = client.as_user(), client.as_user(carrier="cookie")
    hero = ada.post("/heroes", json={"name": "Rust Man", "owner_id": 2})
    assert hero.status_code == 201
    assert hero.json() == {"id": 1, "name": "Rust Man", "power": "none", "owner_id": int(ada.user.subject)}
    assert [each["name"] for each in ada.get("/heroes").json()] == ["Rust Man"]
    assert bob.get("/heroes").json() == []
    assert [who.delete("/heroes/1").status_code for who in (client, bob, ada, ada)] == [401, 404, 204, 404]


@pytest.mark.anyio
async def test_mobile_refresh(database_url, tmp_path, monkeypatch):
    with (
        loaded("mobile_refresh", database_url=database_url, monkeypatch=monkeypatch, folder=tmp_path) as mobile,
        loaded("quickstart", database_url=database_url, monkeypatch=monkeypatch, folder=tmp_path) as quickstart,
        rehearsed(quickstart) as client,
    ):
        async with client:
            await refreshes_once_and_ends_when_it_must(mobile, client)


async def refreshes_once_and_ends_when_it_must(mobile: Any, http: AsyncAuthClient) -> None:
    email, kept, refreshes = "phone@example.com", [], []

    async def count(request: httpx2.Request) -> None:
        refreshes.extend([request] if request.url.path == "/auth/refresh" else [])

    http.event_hooks = {"request": [count]}
    assert (await http.post("/auth/register", json={"email": email, "password": PASSWORD})).status_code == 201
    api = mobile.Api(http, keep=kept.append)
    with pytest.raises(mobile.SignedOut):
        await api.request("GET", "/users/me")
    await api.sign_in(email, PASSWORD)
    assert PASSWORD not in repr(kept)
    assert kept[0].refresh not in repr(kept)

    http.clock.advance(minutes=16)  # the server's time: twenty requests find their token expired
    answers = await asyncio.gather(*(api.request("GET", "/users/me") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert (len(refreshes), len(kept)) == (1, 2)

    api._tokens = mobile.Tokens(kept[-1].access, kept[-1].refresh, expires_at=0)  # the phone's time says so itself
    assert (await api.request("GET", "/users/me")).status_code == 200
    assert len(refreshes) == 2

    elsewhere = await http.as_user(email=email)
    assert (await elsewhere.delete("/auth/sessions?all=true")).status_code == 204
    outcomes = await asyncio.gather(*(api.request("GET", "/users/me") for _ in range(5)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {mobile.SignedOut}
    assert (len(refreshes), kept[-1]) == (3, None)


OLD_APP = """
CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(320) NOT NULL UNIQUE, full_name VARCHAR(80) NOT NULL,
    hashed_password VARCHAR(128), is_admin BOOLEAN NOT NULL);
CREATE TABLE invoices (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id), cents INTEGER NOT NULL);
INSERT INTO users VALUES (7, 'Ada@Example.com', 'Ada', :digest, true), (9, 'bea@example.com', 'Bea', NULL, false),
    (11, 'cy@example.com', 'Cy', :digest, false);
INSERT INTO invoices VALUES (1, 7, 700), (2, 11, 1100);
"""


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_existing_app(request, engine, database_url, tmp_path, monkeypatch):
    if engine == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        database_url = server.create_database()
        request.addfinalizer(lambda: server.drop_database(database_url))
    write_the_old_app(database_url, bcrypt.hashpw(b"an old password", bcrypt.gensalt(4)).decode())
    with loaded("existing_app/adopt", database_url=database_url, monkeypatch=monkeypatch, folder=tmp_path) as adopt:
        asyncio.run(adopt.adopt())
        from main import app, auth  # type: ignore[import-not-found]  # the example's own
        from starlette.testclient import TestClient

        with TestClient(app, base_url="http://localhost:8000") as client:
            assert auth.kernel.tables.users.name == "users"
            ada, cy = (signed_in(client, name) for name in ("ada@example.com", "cy@example.com"))
            assert [client.get("/invoices", headers=who).json() for who in (ada, cy)] == [[700], [1100]]
            assert [client.get("/admin", headers=who).status_code for who in (ada, cy)] == [200, 403]
            bea = {"username": "bea@example.com", "password": "an old password"}
            assert client.post("/auth/login", data=bea).status_code == 401
            assert client.get("/users/me", headers=cy).json()["id"] == 11
            taken = {"email": "ADA@example.com", "password": PASSWORD}
            assert client.post("/auth/register", json=taken).status_code == 409
            fresh = client.post("/auth/register", json={"email": "di@example.com", "password": PASSWORD})
            assert fresh.status_code == 201, fresh.text


def write_the_old_app(url: str, digest: str) -> None:
    engine = create_engine(url.replace("+aiosqlite", ""))
    with engine.begin() as connection:
        for statement in OLD_APP.replace(":digest", f"'{digest}'").split(";\n")[:4]:
            serial = statement.replace("INTEGER PRIMARY KEY", "SERIAL PRIMARY KEY")
            connection.execute(text(serial if engine.dialect.name == "postgresql" else statement))
    engine.dispose()


def signed_in(client: Any, email: str) -> dict[str, str]:
    for _ in range(2):  # the first replaces the old digest
        answer = client.post("/auth/login", data={"username": email, "password": "an old password"})
        assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def test_row_level_security(postgres_server, tmp_path, monkeypatch):
    url = postgres_server.create_database()
    with loaded("row_level_security", database_url=url, monkeypatch=monkeypatch, folder=tmp_path) as module:
        for _ in range(2):  # run again, nothing breaks
            asyncio.run(module.make_tables())
        from starlette.testclient import TestClient

        with TestClient(module.app, base_url="http://localhost:8000") as client:
            ada, bob = (registered(client, name) for name in ("ada@example.com", "bob@example.com"))
            assert client.post("/notes?words=hers", headers=ada).json() == 1
            assert client.post("/notes?words=his", headers=bob).json() == 2
            assert [client.get("/notes", headers=who).json() for who in (ada, bob)] == [["hers"], ["his"]]
            assert client.delete("/notes/1", headers=bob).status_code == 204
            assert client.get("/notes", headers=ada).json() == ["hers"], "it was not there for him"
            assert client.delete("/notes/1", headers=ada).status_code == 204
            assert [client.get("/notes", headers=who).json() for who in (ada, bob)] == [[], ["his"]]
            assert client.get("/notes").status_code == 401
    postgres_server.drop_database(url)


def registered(client: Any, email: str) -> dict[str, str]:
    assert client.post("/auth/register", json={"email": email, "password": PASSWORD}).status_code == 201
    answer = client.post("/auth/login", data={"username": email, "password": PASSWORD})
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.mark.anyio
async def test_mcp_server(database_url, tmp_path, monkeypatch):
    """The library's own client, by access token and by API key, against the app in this process."""
    with (
        loaded("mcp_server", database_url=database_url, monkeypatch=monkeypatch, folder=tmp_path) as module,
        rehearsed(module) as nobody,
    ):
        async with nobody:
            await tells_where_tokens_come_from(nobody)
            await lets_tools_be_called_by_those_who_may(nobody)


async def tells_where_tokens_come_from(nobody: AsyncAuthClient) -> None:
    refused = await nobody.post("/mcp", json={})
    assert refused.status_code == 401
    where = refused.headers["www-authenticate"].partition('resource_metadata="')[2].partition('"')[0]
    found = (await nobody.get(where)).json()
    assert found["resource"] == "http://localhost:8000/mcp"
    issuer = found["authorization_servers"][0]
    known = "http://localhost:8000/.well-known/oauth-authorization-server" + httpx2.URL(issuer).path
    assert (await nobody.get(known)).json()["issuer"] == issuer


async def lets_tools_be_called_by_those_who_may(nobody: AsyncAuthClient) -> None:
    editor = await nobody.as_user(roles=["editor"])
    machine = await nobody.as_user(email=editor.user.email, carrier="api_key", scopes=["notes:read"])
    machine.headers["Authorization"] = f"Bearer {machine.headers.pop('X-API-Key')}"
    member = await nobody.as_user()
    assert (await call_tool(editor, "add_note", words="milk")).structured_content == {"result": 1}
    for who, seen in ((editor, ["milk"]), (machine, ["milk"]), (member, [])):
        assert (await call_tool(who, "list_notes")).structured_content == {"result": seen}
    for who in (machine, member):
        answer = await call_tool(who, "add_note", words="no")
        assert answer.is_error
        assert "insufficient_scope: notes:write" in answer.content[0].text
    assert (await editor.post("/auth/logout")).status_code == 204
    for token in (editor.user.access_token, editor.user.refresh_token, "x" * 9000, "é", ""):
        headers = {"Authorization": f"Bearer {token}".encode()}
        assert (await nobody.post("/mcp", json={}, headers=headers)).status_code == 401


async def call_tool(who: AsyncAuthClient, tool: str, **arguments: object) -> Any:
    from mcp.client.client import Client
    from mcp.client.streamable_http import streamable_http_client

    async with Client(streamable_http_client("http://localhost:8000/mcp", http_client=who)) as client:
        return await client.call_tool(tool, arguments)


def test_examples_are_clean_under_strict_types():
    files = [str(path) for path in sorted(EXAMPLES.rglob("*.py"))]
    command = [sys.executable, "-m", "mypy", "--strict", *files]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=EXAMPLES.parent)
    assert result.returncode == 0, result.stdout


def test_every_example_says_how_to_start_it_and_is_listed():
    listed = (EXAMPLES.parent / "docs/examples.md").read_text("utf-8")
    for path in sorted(EXAMPLES.rglob("*.py")):
        assert path.read_text("utf-8").startswith('"""'), path
        folder = path.parent if path.parent != EXAMPLES else path
        assert f"examples/{folder.name}" in listed, path
