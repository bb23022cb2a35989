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
from tests.features.trusted_issuers.conftest import issuer, other_issuer
from tests.features.trusted_issuers.key_server import KeyServer
from tests.servers.postgres import PostgresServer

from limen import Auth, Principal, TrustedIssuer
from limen.db import rls
from limen.features import Supabase
from limen.features.trusted_issuers import TrustedIssuers
from limen.testing import FakeClock
from limen.testing.supabase import FakeUser

__all__ = ["issuer", "other_issuer"]
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


@pytest.fixture
async def app(
    engine: AsyncEngine, project: CheckedSupabase, clock: FakeClock, issuer: KeyServer, other_issuer: KeyServer
) -> AsyncIterator[SupabaseApp]:
    """An app that takes a project's people, an issuer's who get rows, and another's who do not."""
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

    trusted = TrustedIssuers([TrustedIssuer(issuer.issuer, users="make"), TrustedIssuer(other_issuer.issuer)])
    features = features_of(trusted, Supabase(project.url, key=project.key))
    url = engine.url.render_as_string(hide_password=False)
    async with open_app(url, features=features, routes=routes, clock=clock) as mini:
        yield SupabaseApp(mini, project)


@pytest.fixture
async def alice_and_bob(engine: AsyncEngine, app: SupabaseApp) -> tuple[FakeUser, FakeUser]:
    """At Supabase, with notes here."""
    alice, bob = app.user(), app.user("bob@example.com", app_metadata={"team": "blue"})
    async with engine.begin() as connection:
        for number, owner, team in ((1, alice, "red"), (2, bob, "red"), (3, alice, "blue")):
            values = {"number": number, "owner": owner.id, "team": team}
            await connection.execute(text("INSERT INTO notes VALUES (:number, :owner, :team)"), values)
    return alice, bob


async def test_policies_hold_for_supabases_people(
    engine: AsyncEngine, app: SupabaseApp, alice_and_bob: tuple[FakeUser, FakeUser]
) -> None:
    (alice, bob), project = alice_and_bob, app.project
    role = engine.get_execution_options()["limen_role"]
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


async def test_policies_know_no_namesakes(
    app: SupabaseApp, alice_and_bob: tuple[FakeUser, FakeUser], issuer: KeyServer, other_issuer: KeyServer
) -> None:
    """Whatever another issuer's `sub` is, `auth.uid()` is the id of the row here, or nothing."""
    alice, _ = alice_and_bob
    own = await app.mini.signed_in("own@example.com")
    assert (await own.get("/jwt")).json()["uid"] == own.account.subject
    for subject in (str(alice.id), own.account.subject):
        with_row = app.bearer(issuer.token(sub=subject))
        said, row = (await with_row.get("/jwt")).json(), (await with_row.me()).json()["id"]
        assert (said["uid"], said["sub"], said["iss"]) == (row, row, issuer.issuer)
        assert row != subject
        without = app.bearer(other_issuer.token(sub=subject))
        said = (await without.get("/jwt")).json()
        assert (said["uid"], said["sub"], said["iss"]) == ("None", None, other_issuer.issuer)
        assert (await with_row.get("/notes")).json() == (await without.get("/notes")).json() == []
