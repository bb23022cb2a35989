"""examples/protected_routes.py and examples/permission_system.py are run: the guides' patterns hold."""

import asyncio
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from limen import AuthSettings
from limen.features.accounts import Accounts
from limen.testing import PASSWORD, create_tables

EXAMPLES = Path(__file__).parents[2] / "examples"


class Example:
    """An example that runs, and the people who visit it."""

    def __init__(self, module: ModuleType, client: TestClient) -> None:
        self.module = module
        self.client = client

    def person(self, *roles: str) -> dict[str, str]:
        email = f"{'-'.join(roles)}-{uuid4().hex[:8]}@example.com"

        async def register() -> None:
            await self.module.auth[Accounts].register(email=email, password=PASSWORD, roles=roles)

        self.client.portal.call(register)
        answer = self.client.post("/auth/login", data={"username": email, "password": PASSWORD})
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def status(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> int:
        return self.client.request(method, path, headers=headers, **options).status_code


@pytest.fixture
def example(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Example]:
    monkeypatch.chdir(tmp_path)  # no `.env` of whoever runs the tests
    for field in AuthSettings.model_fields:
        monkeypatch.delenv(f"LIMEN_{field.upper()}", raising=False)
    monkeypatch.setenv("LIMEN_SECRET_KEY", "a secret of more than thirty-two bytes, for tests only")
    monkeypatch.setenv("LIMEN_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/limen.db")
    from limen.db.users import Base

    known = set(Base.metadata.tables)
    name = f"{request.param}_{uuid4().hex}"  # SQLAlchemy remembers classes by module
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{request.param}.py")
    assert spec
    assert spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    asyncio.run(prepared(module))
    with TestClient(module.app, base_url="http://localhost:8000") as client:
        yield Example(module, client)
    del sys.modules[name]
    for table in set(Base.metadata.tables) - known:
        Base.metadata.remove(Base.metadata.tables[table])


async def prepared(module: ModuleType) -> None:
    await create_tables(module.auth)
    await module.auth.kernel.database.dispose()


def refused_socket(example: Example, headers: dict[str, str]) -> int:
    with pytest.raises(WebSocketDenialResponse) as refusal, example.client.websocket_connect("/ws", headers=headers):
        pass
    return refusal.value.status_code


@pytest.mark.parametrize("example", ["protected_routes"], indirect=True)
def test_protected_routes(example: Example) -> None:
    reader, writer, admin = example.person("reader"), example.person("writer"), example.person("admin")
    table = {
        ("GET", "/"): (200, 200, 200, 200),
        ("GET", "/greeting"): (200, 200, 200, 200),
        ("GET", "/users/me/profile"): (401, 200, 200, 200),
        ("GET", "/users/me/hello"): (401, 200, 200, 200),
        ("GET", "/whoami"): (401, 200, 200, 200),
        ("GET", "/users/me/items"): (401, 200, 200, 200),
        ("GET", "/admin"): (401, 403, 403, 200),
        ("POST", "/items?name=x"): (401, 403, 201, 201),
        ("DELETE", "/everything"): (401, 403, 403, 200),
        ("GET", "/reports"): (401, 403, 200, 200),
        ("DELETE", "/reports/today"): (401, 403, 403, 200),
    }
    for (method, path), statuses in table.items():
        found = tuple(example.status(method, path, who) for who in (None, reader, writer, admin))
        assert found == statuses, (method, path)
    assert example.client.get("/greeting").json() == "Welcome, stranger"
    assert example.client.get("/greeting", headers=reader).json().startswith("Welcome back, reader")
    assert example.status("GET", "/greeting", {"Authorization": "Bearer x"}) == 401
    with example.client.websocket_connect("/ws", headers=reader) as socket:
        assert set(socket.receive_json()) == {"hello"}
    assert refused_socket(example, {}) == 401


@pytest.mark.parametrize("example", ["protected_routes"], indirect=True)
def test_a_disabled_user_is_no_current_user(example: Example) -> None:
    reader, accounts = example.person("reader"), example.module.auth[Accounts]
    subject = example.client.get("/whoami", headers=reader).json()["sub"]

    async def disable() -> None:
        account = await accounts.get_by_subject(subject)
        await accounts.set_active(account.id, False)

    example.client.portal.call(disable)
    assert example.status("GET", "/users/me/profile", reader) == 401
    assert example.status("GET", "/whoami", reader) == 401


@pytest.mark.parametrize("example", ["permission_system"], indirect=True)
def test_permission_system(example: Example) -> None:
    client = example.client
    author, other, reader, moderator, editor = (
        example.person(name) for name in ("author", "author", "reader", "moderator", "editor")
    )
    assert example.status("POST", "/articles", reader, json={"title": "x"}) == 403
    draft = client.post("/articles", headers=author, json={"title": "A draft"}).json()
    path = f"/articles/{draft['id']}"

    def seen(who: dict[str, str]) -> list[str]:
        return [each["title"] for each in client.get("/articles", headers=who).json()]

    assert [seen(who) for who in (author, other, reader, moderator, editor)] == [["A draft"], [], [], [], ["A draft"]]
    read = [example.status("GET", path, who) for who in (None, author, other, reader, moderator, editor)]
    assert read == [401, 200, 404, 404, 404, 200]
    change = {"json": {"title": "Changed"}}
    assert [example.status("PUT", path, who, **change) for who in (other, reader, author, editor)] == [
        404,
        403,
        200,
        200,
    ]
    assert example.status("POST", f"{path}/publication", other) == 404
    assert example.status("POST", f"{path}/publication", author) == 200
    assert seen(reader) == seen(other) == ["Changed"]
    assert example.status("PUT", path, other, **change) == 403  # known by now, and somebody else's
    assert example.status("DELETE", f"{path}/publication", author) == 403
    assert example.status("DELETE", f"{path}/publication", moderator) == 204
    assert example.status("DELETE", f"{path}/publication", moderator) == 404
    assert example.status("DELETE", "/articles/99/publication", moderator) == 404
    assert seen(reader) == []


@pytest.mark.parametrize("example", ["permission_system"], indirect=True)
def test_helpers_of_the_guides(example: Example, caplog: pytest.LogCaptureFixture) -> None:
    reader, editor, admin = example.person("reader"), example.person("editor"), example.person("admin")
    for path in ("/staff", "/export", "/articles-statistics"):
        assert [example.status("GET", path, who) for who in (None, reader, editor, admin)] == [401, 403, 200, 200], path
    assert not [record for record in caplog.records if record.name == "limen.shadow"]
