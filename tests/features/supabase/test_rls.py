"""Row-level security on the app's own connection decides for Supabase's people as it does at Supabase."""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import uuid4

import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from tests.features.mini_app import features_of, open_app
from tests.features.supabase.conftest import SupabaseApp
from tests.features.supabase.contract import CheckedSupabase
from tests.servers.postgres import PostgresServer

from limen import Auth, Principal
from limen.db import rls
from limen.features import Supabase
from limen.testing import FakeClock

pytestmark = pytest.mark.anyio

TABLES = """
CREATE TABLE notes (id int PRIMARY KEY, owner_id uuid NOT NULL, team text NOT NULL);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON notes USING (owner_id = auth.uid());
CREATE POLICY team ON notes USING (team = auth.jwt() -> 'app_metadata' ->> 'team');
CREATE POLICY careful ON notes AS RESTRICTIVE FOR DELETE USING (auth.jwt() ->> 'aal' = 'aal2');
GRANT USAGE ON SCHEMA auth TO {role};
GRANT ALL ON notes TO {role};
"""


@pytest.fixture
async def engine(postgres_server: PostgresServer) -> AsyncIterator[AsyncEngine]:
    url = postgres_server.create_database()
    engine = create_async_engine(url, pool_size=2, max_overflow=0)
    role = f"authenticated_{uuid4().hex}"
    async with engine.begin() as connection:
        for statement in (*rls.functions().split(";\n"), f"CREATE ROLE {role}", *TABLES.format(role=role).split(";\n")):
            if statement.strip():
                await connection.execute(text(statement.replace(":", r"\:")))
    yield engine.execution_options(limen_role=role)
    async with engine.begin() as connection:
        await connection.execute(text(f"DROP OWNED BY {role}"))
        await connection.execute(text(f"DROP ROLE {role}"))
    await engine.dispose()
    postgres_server.drop_database(url)


async def test_policies_hold_for_supabases_people(
    engine: AsyncEngine, project: CheckedSupabase, clock: FakeClock
) -> None:
    role = str(engine.get_execution_options()["limen_role"])

    def routes(app: FastAPI, auth: Auth[Any]) -> None:
        someone = Annotated[Principal, Depends(auth.current_principal)]

        @app.get("/notes")
        async def notes(principal: someone) -> list[int]:
            async with AsyncSession(engine) as session:
                await auth.rls(session, principal, role=role)
                return list(await session.scalars(text("SELECT id FROM notes ORDER BY id")))

        @app.delete("/notes")
        async def remove(principal: someone) -> int:
            async with AsyncSession(engine) as session:
                await auth.rls(session, principal, role=role)
                done = await session.execute(text("DELETE FROM notes"))
                await session.commit()
                return int(done.rowcount)  # type: ignore[attr-defined]

        @app.get("/jwt")
        async def jwt(principal: someone) -> dict[str, Any]:
            async with AsyncSession(engine) as session:
                await auth.rls(session, principal, role=role)
                found = (await session.execute(text("SELECT auth.uid(), auth.jwt()"))).one()
                return {**found[1], "uid": str(found[0])}

    features = features_of(Supabase(project.url, key=project.key))
    url = engine.url.render_as_string(hide_password=False)
    async with open_app(url, features=features, routes=routes, clock=clock) as mini:
        app = SupabaseApp(mini, project)
        alice, bob = app.user(), app.user("bob@example.com", app_metadata={"team": "blue"})
        async with engine.begin() as connection:
            for number, owner, team in ((1, alice, "red"), (2, bob, "red"), (3, alice, "blue")):
                values = {"number": number, "owner": owner.id, "team": team}
                await connection.execute(text("INSERT INTO notes VALUES (:number, :owner, :team)"), values)
        hers, his = app.bearer(project.token(alice)), app.bearer(project.token(bob))
        cookie = app.browser()
        await cookie.post("/auth/supabase/sign-in", json={"email": bob.email, "password": bob.password})
        for browser, seen in ((hers, [1, 3]), (his, [2, 3]), (cookie, [2, 3]), (hers, [1, 3])):
            assert (await browser.get("/notes")).json() == seen
        said = (await his.get("/jwt")).json()
        assert (said["uid"], said["sub"], said["iss"]) == (str(bob.id), str(bob.id), project.issuer)
        assert (said["aal"], said["amr"][0]["method"], said["role"]) == ("aal1", "password", role)
        assert (await hers.delete("/notes")).json() == 0
        careful = app.bearer(project.sign_in(alice, aal="aal2").access_token)
        assert (await careful.delete("/notes")).json() == 2
