"""The demo turns the feature on when the project's URL is set; Supabase's people use it like anybody."""

import os
import subprocess
import sys
from pathlib import Path

from tests.features.supabase.contract import CheckedSupabase

PROGRAM = """
import asyncio, sys
import httpx2
from limen.demo import app, auth
from limen.testing import create_tables

async def main(token):
    await create_tables(auth)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
            headers = {"Authorization": f"Bearer {token}"}
            print((await client.get("/users/me", headers=headers)).json()["email"])
            made = await client.post("/items", json={"name": "x"}, headers=headers)
            print(made.status_code, (await client.get("/items", headers=headers)).status_code)
            me = (await client.get("/users/me", headers=headers)).json()
            print(made.json()["owner_id"] == me["id"])
            print((await client.delete(f"/items/{made.json()['id']}", headers=headers)).status_code)
            print((await client.get("/admin", headers=headers)).status_code)
            body = {"email": "alice@example.com", "password": "one green door"}
            print((await client.post("/auth/supabase/sign-in", json=body)).status_code)
            print((await client.get("/users/me")).json()["email"])

asyncio.run(main(sys.argv[1]))
"""


def test_the_demo_takes_supabases_people(tmp_path: Path) -> None:
    with CheckedSupabase() as project:
        alice = project.add_user("alice@example.com", "one green door")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LIMEN_", "SUPABASE_"))}
        settings = {
            "LIMEN_SECRET_KEY": "s" * 40,
            "LIMEN_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/demo.db",
            "SUPABASE_URL": project.url,
            "SUPABASE_KEY": project.key,
        }
        command = [sys.executable, "-c", PROGRAM, project.token(alice)]
        done = subprocess.run(
            command, env={**inherited, **settings}, cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
    assert done.returncode == 0, done.stderr
    said = done.stdout.split()
    assert said == ["alice@example.com", "201", "200", "True", "204", "403", "200", "alice@example.com"], done.stdout
    assert "limen.W0" not in done.stderr
    assert project.violations == []
