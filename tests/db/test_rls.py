"""PostgreSQL's row-level security holds for the app's own queries, and nothing of it stays on a connection."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from tests.servers.postgres import PostgresServer

from limen import Auth, AuthSettings, Principal
from limen.db import rls
from limen.errors import ConfigurationError

pytestmark = pytest.mark.anyio

ALICE, BOB = (
    Principal(subject=str(UUID(int=number)), issuer="i", credential="access_token", session_id=str(uuid4()))
    for number in (1, 2)
)
TABLES = """
CREATE TABLE notes (id int PRIMARY KEY, owner_id uuid NOT NULL);
INSERT INTO notes VALUES (1, '00000000-0000-0000-0000-000000000001'), (2, '00000000-0000-0000-0000-000000000002');
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON notes USING (owner_id = auth.uid());
GRANT USAGE ON SCHEMA auth TO {role};
GRANT ALL ON notes TO {role};
"""
CLAIMS = text("SELECT coalesce(current_setting('request.jwt.claims', true), '') || current_user")
NOTES = text("SELECT id FROM notes ORDER BY id")


@pytest.fixture
def auth() -> Auth:
    return Auth(settings=AuthSettings(_env_file=None, secret_key="s" * 40, database_url="sqlite+aiosqlite://"))


@pytest.fixture(params=["psycopg", "asyncpg"])
async def engine(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> AsyncIterator[AsyncEngine]:
    """One connection for all: whatever were left on it would be the next one's."""
    url = postgres_server.create_database()
    engine = create_async_engine(url.replace("+psycopg", f"+{request.param}"), pool_size=1, max_overflow=0)
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
def role(engine: AsyncEngine) -> str:
    return str(engine.get_execution_options()["limen_role"])


async def notes(session: AsyncSession) -> list[int]:
    return list(await session.scalars(NOTES))


async def left_behind(engine: AsyncEngine) -> str:
    async with AsyncSession(engine) as session:
        return str(await session.scalar(CLAIMS))


async def test_each_sees_their_own_and_nothing_is_left_on_the_connection(engine, auth, role) -> None:
    for principal, seen in ((ALICE, [1]), (BOB, [2]), (None, []), (ALICE, [1])):
        async with AsyncSession(engine) as session:
            await auth.rls(session, principal, role=role)
            assert await notes(session) == seen
        assert await left_behind(engine) == "limen"


async def test_the_functions_say_who_acts(engine, auth, role) -> None:
    async with AsyncSession(engine) as session:
        assert list((await session.execute(text("SELECT auth.uid(), auth.role()"))).one()) == [None, None]
        await session.rollback()
        await auth.rls(session, ALICE, role=role)
        assert list((await session.execute(text("SELECT auth.uid(), auth.role()"))).one()) == [UUID(int=1), role]
        claims = await session.scalar(text("SELECT auth.jwt()"))
        assert (claims["sub"], claims["session_id"], claims["iss"]) == (ALICE.subject, ALICE.session_id, "i")
    async with AsyncSession(engine) as session:  # the setting is empty now, not absent
        assert list((await session.execute(text("SELECT auth.uid(), auth.role()"))).one()) == [None, None]


async def test_the_session_stays_who_it_is_after_commit_and_rollback(engine, auth, role) -> None:
    async with AsyncSession(engine) as session:
        await auth.rls(session, ALICE, role=role)
        for end in (session.commit, session.rollback, session.commit):
            assert await notes(session) == [1]
            await end()
        assert await notes(session) == [1]
        with pytest.raises(DBAPIError):
            await session.execute(text("SELECT 1/0"))
        await session.rollback()
        assert await notes(session) == [1]
    assert await left_behind(engine) == "limen"


async def test_savepoints_neither_lose_nor_leak_it(engine, auth, role) -> None:
    async with AsyncSession(engine) as session:
        await auth.rls(session, ALICE, role=role)
        async with session.begin_nested():
            assert await notes(session) == [1]
        nested = await session.begin_nested()
        with pytest.raises(DBAPIError):
            await session.execute(text("SELECT 1/0"))
        await nested.rollback()
        assert await notes(session) == [1]
        await session.begin_nested()
        with pytest.raises(ConfigurationError, match="savepoint"):
            await auth.rls(session, BOB, role=role)
    assert await left_behind(engine) == "limen"


async def test_it_takes_hold_of_a_transaction_that_has_begun(engine, auth, role) -> None:
    async with AsyncSession(engine) as session:
        assert await notes(session) == [1, 2]  # the owner of the table is above its policies
        await auth.rls(session, ALICE, role=role)
        assert await notes(session) == [1]
        await auth.rls(session, BOB, role=role)
        assert await notes(session) == [2]
        await auth.rls(session, BOB)
        assert await session.scalar(text("SELECT current_user")) == "limen"


async def test_writing_obeys_too(engine, auth, role) -> None:
    async with AsyncSession(engine) as session:
        await auth.rls(session, ALICE, role=role)
        assert (await session.execute(text("DELETE FROM notes"))).rowcount == 1  # type: ignore[attr-defined]
        with pytest.raises(DBAPIError, match="row-level security"):
            await session.execute(text(f"INSERT INTO notes VALUES (3, '{BOB.subject}')"))


async def test_a_cancelled_request_leaves_nothing(engine, auth, role) -> None:
    async def request() -> None:
        async with AsyncSession(engine) as session:
            await auth.rls(session, ALICE, role=role)
            await session.execute(text("SELECT pg_sleep(10)"))

    task = asyncio.create_task(request())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await left_behind(engine) == "limen"


async def test_sessions_in_turn_do_not_meet(postgres_server: PostgresServer, auth: Auth) -> None:
    url = postgres_server.create_database()
    engine = create_async_engine(url, pool_size=3, max_overflow=0)

    async def request(number: int) -> None:
        principal = Principal(subject=str(number), issuer="i", credential="access_token")
        async with AsyncSession(engine) as session:
            if number % 3:
                await auth.rls(session, principal)
            claims = await session.scalar(text("SELECT nullif(current_setting('request.jwt.claims', true), '')"))
            assert (f'"sub": "{number}"' in claims) if number % 3 else claims is None

    await asyncio.gather(*map(request, range(60)))
    await engine.dispose()
    postgres_server.drop_database(url)


async def test_claims_cannot_break_out_and_cannot_overrule(engine, auth, role) -> None:
    mean = {"sub": "forged", "role": "postgres", "x": "'; DROP TABLE notes; --", "roles": ["admin"]}
    odd = Principal(subject="o'brien\\", issuer="i", credential="access_token", claims=mean)
    async with AsyncSession(engine) as session:
        await auth.rls(session, odd, role=role)
        claims = await session.scalar(text("SELECT auth.jwt()"))
        assert (claims["sub"], claims["role"], claims["roles"], claims["x"]) == ("o'brien\\", role, [], mean["x"])
        with pytest.raises(DBAPIError):
            await notes(session)  # auth.uid() is a UUID


async def test_where_settings_would_not_last_it_is_refused(engine, auth, role) -> None:
    async with AsyncSession(engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
        await auth.rls(session, ALICE, role=role)
        with pytest.raises(ConfigurationError, match="autocommit"):
            await notes(session)
    async with AsyncSession(engine) as session:
        with pytest.raises(ConfigurationError, match="none"):
            await auth.rls(session, ALICE, role="none")
        await auth.rls(session, ALICE, role="no_such_role")
        with pytest.raises(DBAPIError, match="no_such_role"):
            await notes(session)


async def test_other_databases_are_refused(auth: Auth) -> None:
    engine = create_async_engine("sqlite+aiosqlite://")
    async with AsyncSession(engine) as session:
        await auth.rls(session, ALICE)
        with pytest.raises(ConfigurationError, match="needs PostgreSQL"):
            await session.execute(text("SELECT 1"))
    await engine.dispose()


def test_functions_are_made_of_plain_names_only() -> None:
    for schema, key in (("a b", "uuid"), ("auth", "uuid; DROP"), ("äuth", "uuid"), ("", "uuid")):
        with pytest.raises(ConfigurationError):
            rls.functions(schema, key=key)
    assert "RETURNS bigint" in rls.functions(key="bigint")
