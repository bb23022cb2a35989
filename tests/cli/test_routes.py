"""`limen routes` and `limen explain`: who comes in where, and why."""

import json

import pytest
from tests.cli.conftest import APP, SECRET

WEB = (
    APP
    + """
from typing import Annotated
from fastapi import Depends, FastAPI
from limen import Principal, fresh, role

class Note:
    def __init__(self, owner):
        self.owner = owner

app = FastAPI()
auth.install(app)

@auth.policy("items:read")
def owner(principal: Principal, note: Note) -> bool:
    return note.owner == principal.subject

async def find(item_id: int):
    return Note("somebody") if item_id == 7 else None

@app.get("/items/{item_id}")
async def read(item: Annotated[Note, Depends(auth.require("items:read", on=find))]) -> None: ...

@app.get("/admin", dependencies=[Depends(auth.require(role("admin") | "items:read" & fresh(minutes=10)))])
async def admin() -> None: ...

@app.get("/health")
@auth.public
async def health() -> None: ...
"""
)
OPEN = """
@app.get("/open")
async def open_() -> None: ...
"""


@pytest.fixture
def web(home, monkeypatch):
    monkeypatch.setenv("LIMEN_SECRET_KEY", SECRET)
    monkeypatch.setenv("LIMEN_DATABASE_URL", f"sqlite+aiosqlite:///{home}/limen.db")

    def write(text: str, name: str = "web") -> str:
        (home / f"{name}.py").write_text(text)
        return f"{name}:app"

    return write


def forget(*names: str) -> None:
    import sys

    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture(autouse=True)
def _fresh_modules():
    yield
    forget("web", "later")


def test_the_table_names_every_route(limen, web) -> None:
    result = limen("routes", web(WEB))
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["METHODS", "PATH", "ACCESS", "GUARDS", "SCHEMES"]
    found = {line[1]: line[2:] for line in lines[1:]}
    assert found["/health"] == ["PUBLIC", "(marked)"]
    assert found["/docs"] == ["PUBLIC", "(docs)"]
    assert found["/auth/login"] == ["PUBLIC", "(limen)"]
    assert found["/items/{item_id}"][:4] == ["guarded", "items:read", ";", "items:read"]


def test_markdown_escapes_what_would_be_a_column(limen, web) -> None:
    lines = limen("routes", web(WEB), "--markdown").stdout.splitlines()
    assert lines[:2] == ["| METHODS | PATH | ACCESS | GUARDS | SCHEMES |", "| --- | --- | --- | --- | --- |"]
    (admin,) = (line for line in lines if "/admin" in line)
    assert r"role admin \| (items:read & fresh 10 min)" in admin


def test_a_check_fails_on_what_is_open(limen, web) -> None:
    assert limen("routes", web(WEB), "--check").exit_code == 0
    result = limen("routes", web(WEB + OPEN, "later"), "--check")
    assert result.exit_code == 1
    assert "limen: Neither guarded nor marked @auth.public: GET /open" in result.stderr
    assert "GET" in result.stdout


def test_a_diff_shows_what_was_opened_first(limen, web, home) -> None:
    (home / "before.json").write_text(limen("routes", web(WEB), "--json").stdout)
    assert limen("routes", web(WEB), "--diff", "before.json").stdout == "Nothing changed.\n"
    changed = WEB.replace('auth.require("items:read", on=find)', "find").replace("@auth.public\n", "")
    changed = changed.replace('role("admin") | ', "").replace("/health", "/healthy") + OPEN
    result = limen("routes", web(changed, "later"), "--diff", "before.json", "--check")
    assert result.exit_code == 1
    told = result.stdout.splitlines()
    assert told == [
        "opened   GET /items/{item_id}: items:read ; items:read by rule owner over Note -> UNGUARDED",
        "opened   GET /healthy: UNGUARDED",
        "opened   GET /open: UNGUARDED",
        "changed  GET /admin: role admin | (items:read & fresh 10 min) -> items:read & fresh 10 min",
        "removed  GET /health: PUBLIC",
    ]
    assert "limen: Opened: GET /items/{item_id}; GET /healthy; GET /open" in result.stderr
    document = json.loads(limen("routes", "later:app", "--diff", "before.json", "--json").stdout)
    assert [change["kind"] for change in document["changes"]] == ["opened"] * 3 + ["changed", "removed"]


@pytest.mark.parametrize("text", [None, "", "{}", "[1]", '{"routes": [{"path": "/"}]}'])
def test_a_diff_with_something_else_is_one_sentence(limen, web, home, text) -> None:
    if text is not None:
        (home / "before.json").write_text(text)
    result = limen("routes", web(WEB), "--diff", "before.json")
    assert (result.exit_code, result.output.count("\n")) == (1 if text is not None else result.exit_code, 1)


def test_why_somebody_comes_in_or_does_not(limen, web) -> None:
    web(WEB)
    assert limen("migrate", "--app", "web").exit_code == 0
    limen("users", "create", "--app", "web", "--email", "alice@example.com", "--generate-password")
    limen("users", "create", "--app", "web", "--email", "root@example.com", "--role", "admin", "--generate-password")

    def explained(*arguments: str) -> dict:
        result = limen("explain", "--app", "web", "--json", *arguments)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    found = explained("--user", "alice@example.com", "GET", "/items/7")
    assert (found["allowed"], found["status"], found["route"]) == (False, 404, "GET /items/{item_id}")
    assert found["steps"] == [
        {"depth": 0, "rule": "items:read", "allowed": True},
        {"depth": 0, "rule": "items:read on this Note", "allowed": False},
        {"depth": 1, "rule": "holds items:read, which counts by rule owner over Note", "allowed": False},
    ]
    found = explained("--user", "root@example.com", "get", "/items/7?x=1")
    assert (found["allowed"], found["steps"][-1]["rule"]) == (True, "holds *, which counts on every Note")
    assert explained("--user", "root@example.com", "GET", "/items/8")["code"] == "not_found"
    assert explained("--user", "root@example.com", "GET", "/items/x")["status"] == 422
    assert explained("--user", "root@example.com", "--scope", "items:write", "GET", "/items/7")["status"] == 403
    assert [step["allowed"] for step in explained("--user", "alice@example.com", "GET", "/admin")["steps"]] == [
        True,
        False,
        True,
        True,
        True,
    ]
    assert explained("GET", "/admin")["code"] == "not_authenticated"
    assert explained("GET", "/health")["allowed"] is True
    assert explained("--token", "abc", "GET", "/admin")["code"] == "invalid_token"
    limen("users", "disable", "--app", "web", "alice@example.com")
    assert explained("--user", "alice@example.com", "GET", "/admin")["status"] == 401
    told = limen("explain", "--app", "web", "--user", "root@example.com", "GET", "/admin").stdout
    assert told.endswith("=> the endpoint is reached\n")
    for arguments in (["GET", "/nowhere"], ["PATCH", "/admin"], ["--user", "nobody@example.com", "GET", "/admin"]):
        result = limen("explain", "--app", "web", *arguments)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
