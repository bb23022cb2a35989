"""Each template of `limen init` is a whole app: it runs as written, and does over HTTP what its first lines say."""

import asyncio
import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient
from tests.cli.conftest import Limen, every_template

from limen import Accounts, Auth, Passwords, Roles
from limen.db.migrate import migrate
from limen.testing import fast_hasher

PASSWORD = "seven green bottles"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
FOREIGN_PAGE = {"Sec-Fetch-Site": "cross-site", "Origin": "https://elsewhere.example"}


class Visitor(TestClient):
    """A client that knows what guards the app."""

    guarded_by: Auth[Any]


@contextmanager
def visiting(limen: Limen, home: Path, template: str) -> Iterator[Visitor]:
    """A client of the app that `limen init --template` wrote, on the database that its settings name."""
    assert limen("init", "--template", template).exit_code == 0
    module = imported(home / "main.py")
    auth = module.auth
    if Passwords.name in auth.features:
        auth[Passwords].hasher = fast_hasher()

    async def make_tables() -> None:
        await migrate(auth.kernel.database, auth.kernel.tables)
        await auth.kernel.database.dispose()

    asyncio.run(make_tables())
    with Visitor(module.app, base_url="http://localhost:8000") as client:
        client.guarded_by = auth
        yield client


def imported(path: Path) -> ModuleType:
    name = f"template_{uuid4().hex}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def register(client: Visitor, email: str = "ada@example.com") -> str:
    answer = client.post("/auth/register", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def sign_in(client: Visitor, email: str = "ada@example.com", **form: str) -> dict[str, str]:
    answer = client.post("/auth/login", data={"username": email, "password": PASSWORD, **form})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def promote(client: Visitor, email: str, role: str) -> None:
    auth = client.guarded_by

    async def assign() -> None:
        account = await auth[Accounts].find(email)
        await auth[Roles].assign_as_operator(account.id, roles=[role])

    assert client.portal
    client.portal.call(assign)


def test_jwt(limen: Limen, home: Path) -> None:
    with visiting(limen, home, "jwt") as client:
        assert client.get("/").status_code == 200
        assert client.get("/me").status_code == 401
        ada = register(client)
        headers = sign_in(client)
        assert client.get("/me", headers=headers).json() == {"email": "ada@example.com", "username": None}
        note = client.post("/notes", json={"text": "remember"}, headers=headers).json()
        assert note == {"text": "remember", "id": 1, "author_id": ada}
        assert client.get("/notes", headers=headers).json() == [note]
        assert client.delete("/notes/1", headers=headers).json()["scope"] == "notes:delete"
        promote(client, "ada@example.com", "admin")
        assert client.get("/notes", headers=headers).status_code == 401  # rights changed: sign in again, or refresh
        headers = sign_in(client)
        assert client.delete("/notes/1", headers=headers).status_code == 204
        assert client.delete("/notes", headers=headers).status_code == 204
        assert client.post("/auth/logout", headers=headers).status_code == 204
        assert client.get("/me", headers=headers).status_code == 401


def test_oauth2(limen: Limen, home: Path) -> None:
    with visiting(limen, home, "oauth2") as client:
        register(client)

        def token(scope: str) -> dict[str, str]:
            form = {"grant_type": "password", "username": "ada@example.com", "password": PASSWORD, "scope": scope}
            answer = client.post("/auth/token", data=form).json()
            assert answer["token_type"] == "bearer"
            return {"Authorization": f"Bearer {answer['access_token']}"}

        narrow = token("reports:read")
        assert client.get("/scopes", headers=narrow).json() == ["reports:read"]
        assert client.get("/reports", headers=narrow).json()[0]["title"] == "A first report"
        refused = client.get("/profile", headers=narrow)
        assert (refused.status_code, refused.json()["scope"]) == (403, "profile:read")
        greedy = token("reports:read reports:write profile:read")
        assert client.get("/scopes", headers=greedy).json() == ["profile:read", "reports:read"]
        assert client.get("/profile", headers=greedy).json() == {"email": "ada@example.com"}
        assert client.post("/reports?title=x", headers=greedy).status_code == 403
        scopes = client.get("/openapi.json").json()["components"]["securitySchemes"]["OAuth2PasswordBearer"]
        assert scopes["flows"]["password"]["scopes"]["reports:write"] == "Publish reports"


def test_sessions(limen: Limen, home: Path) -> None:
    with visiting(limen, home, "sessions") as client:
        page = client.get("/")
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert client.get("/page.js").headers["content-type"].startswith("text/javascript")
        register(client)
        form = {"username": "ada@example.com", "password": PASSWORD}
        assert client.post("/auth/login?deliver=cookie", data=form, headers=FOREIGN_PAGE).status_code == 403
        assert client.post("/auth/login?deliver=cookie", data=form, headers=OWN_PAGE).json()["status"] == "complete"
        assert client.get("/me").json() == {"email": "ada@example.com"}
        todo = {"text": "milk"}
        assert client.post("/todos", json=todo, headers=FOREIGN_PAGE).json()["code"] == "cross_origin"
        assert client.post("/todos", json=todo, headers=OWN_PAGE).status_code == 201
        assert client.get("/todos").json() == [todo]
        assert client.post("/auth/logout", headers=OWN_PAGE).status_code == 204
        assert client.get("/me").status_code == 401


def test_the_script_of_the_sessions_page_asks_for_routes_that_there_are(limen: Limen, home: Path) -> None:
    with visiting(limen, home, "sessions") as client:
        asked = set(re.findall(r'call\("(/[^"?]*)', client.get("/page.js").text))
        known = {route.path for route in client.guarded_by.routes()}
        assert asked
        assert asked <= known


def test_api_keys(limen: Limen, home: Path) -> None:
    with visiting(limen, home, "api-keys") as client:
        register(client)
        headers = sign_in(client)
        made = client.post("/auth/api-keys", json={"name": "t", "scopes": ["readings:write"]}, headers=headers).json()
        key = {"X-API-Key": made["key"]}
        sent = client.post("/readings", json={"celsius": 21.5}, headers=key)
        assert (sent.status_code, sent.json()["by"]) == (201, made["id"])
        assert client.get("/readings", headers=key).json()["scope"] == "readings:read"
        assert [each["celsius"] for each in client.get("/readings", headers=headers).json()] == [21.5]
        assert client.post("/auth/api-keys", json={"name": "another"}, headers=key).status_code == 403
        client.delete(f"/auth/api-keys/{made['id']}", headers=headers)
        assert client.post("/readings", json={"celsius": 1}, headers=key).status_code == 401


def test_supabase(limen: Limen, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from limen.testing.supabase import FakeSupabase

    with FakeSupabase() as project:
        monkeypatch.setenv("LIMEN_SUPABASE_URL", project.url)
        monkeypatch.setenv("LIMEN_SUPABASE_KEY", project.key)
        ada = project.add_user("ada@example.com", PASSWORD)
        with visiting(limen, home, "supabase") as client:
            assert client.get("/me").status_code == 401
            token = {"Authorization": f"Bearer {project.sign_in(ada).access_token}"}
            assert client.get("/me", headers=token).json() == {"email": "ada@example.com"}
            assert client.post("/posts?text=x", headers=token).status_code == 403
            credentials = {"email": "ada@example.com", "password": PASSWORD}
            signed_in = client.post("/auth/supabase/sign-in", json=credentials, headers=OWN_PAGE)
            assert signed_in.json()["status"] == "complete"
            assert client.get("/me").json() == {"email": "ada@example.com"}
            assert client.get("/posts").json() == []
            assert client.post("/auth/supabase/sign-out", headers=OWN_PAGE).status_code == 204
            assert client.get("/me").status_code == 401


@every_template
def test_every_route_of_a_template_is_decided(limen: Limen, home: Path, template: str) -> None:
    with visiting(limen, home, template) as client:
        access = {str(route): route.access for route in client.guarded_by.routes()}
        assert "unguarded" not in access.values(), access
