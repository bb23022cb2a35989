"""examples/supabase_app.py runs as it stands, against a project."""

import asyncio
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from starlette.testclient import TestClient
from tests.features.supabase.contract import CheckedSupabase

from limen.testing import create_tables

EXAMPLE = Path(__file__).parents[3] / "examples/supabase_app.py"


@pytest.fixture
def project() -> Iterator[CheckedSupabase]:
    with CheckedSupabase() as project:
        yield project
    assert project.violations == []


@pytest.fixture
def example(tmp_path: Path, project: CheckedSupabase, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    settings = {
        "LIMEN_SECRET_KEY": "s" * 40,
        "LIMEN_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/limen.db",
        "LIMEN_SUPABASE_URL": project.url,
        "LIMEN_SUPABASE_KEY": project.key,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("supabase_app", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_keeps_peoples_notes(example: ModuleType, project: CheckedSupabase) -> None:
    async def make_tables() -> None:
        await create_tables(example.auth)
        await example.auth.kernel.database.dispose()

    asyncio.run(make_tables())
    alice = project.add_user("alice@example.com", "one green door")
    own_page = {"Origin": "http://localhost:8000"}
    with TestClient(example.app, base_url="http://localhost:8000") as browser:
        body = {"email": "alice@example.com", "password": "one green door"}
        assert browser.post("/auth/supabase/sign-in", json=body).status_code == 200
        assert browser.post("/notes?text=milk", headers=own_page).json() == ["milk"]
        browser.cookies.clear()
        hers = {"Authorization": f"Bearer {project.token(alice)}"}
        assert browser.get("/notes", headers=hers).json() == ["milk"]
        said = {"issuer": project.issuer, "subject": str(alice.id), "aal": "aal1"}
        assert browser.get("/whoami", headers=hers).json() == said
        assert browser.delete("/notes", headers=hers).status_code == 403
        careful = {"Authorization": f"Bearer {project.sign_in(alice, aal='aal2').access_token}"}
        assert browser.delete("/notes", headers=careful).status_code == 204
        assert browser.get("/notes", headers=hers).json() == []
