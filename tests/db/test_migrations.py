"""The packaged migrations make exactly the tables that the models declare, once, whoever runs them."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, String, Uuid, insert, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from limen.auth import Auth, default_features
from limen.db.database import Database
from limen.db.engine import create_engine
from limen.db.migrate import VERSION_TABLE, current_revision, migrate, needs_migration, newest_revision
from limen.db.tables import Tables
from limen.db.users import User, UserMixin
from limen.errors import ConfigurationError
from limen.features import OAuthLogin, Supabase
from limen.settings import AuthSettings

pytestmark = pytest.mark.anyio

SECRET = "a secret of the tests that is long enough"


class IntegerBase(DeclarativeBase):
    pass


class Member(UserMixin, IntegerBase):
    __tablename__ = "members"

    id: Mapped[int] = mapped_column(primary_key=True)
    nickname: Mapped[str | None]


class TextBase(DeclarativeBase):
    pass


class Customer(UserMixin, TextBase):
    __tablename__ = "customers"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)


class UuidBase(DeclarativeBase):
    pass


class Person(UserMixin, UuidBase):
    __tablename__ = "people"

    key: Mapped[UUID] = mapped_column(Uuid, primary_key=True)


OWN_MODELS = pytest.mark.parametrize("model", [Member, Customer, Person], ids=lambda model: model.__name__)


def tables_of(model: type[UserMixin]) -> Tables:
    """The tables of an `Auth` with this model; every feature's are in its metadata then."""
    settings = AuthSettings(secret_key=SECRET, database_url="sqlite://")
    features = (*default_features(), OAuthLogin(providers=[]), Supabase("https://project.supabase.co"))
    return Auth(user=model, settings=settings, features=features).kernel.tables


@asynccontextmanager
async def database_at(url: str) -> AsyncIterator[Database]:
    database = Database(create_engine(url))
    try:
        yield database
    finally:
        await database.dispose()


async def make_table_of(model: type[UserMixin], engine: AsyncEngine) -> None:
    table = tables_of(model).users
    async with engine.begin() as connection:
        await connection.run_sync(table.create)


def differences(metadata: MetaData) -> Callable[[Connection], list[object]]:
    """What alembic would still change so that the database is what the metadata says."""

    def compare(connection: Connection) -> list[object]:
        options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    return compare


async def test_migrated_schema_is_the_declared_one(database_url: str) -> None:
    tables = tables_of(User)
    async with database_at(database_url) as database:
        await migrate(database, tables)
        async with database.engine.connect() as connection:
            assert await connection.run_sync(differences(User.metadata)) == []


@OWN_MODELS
async def test_own_user_table_gives_the_others_its_key(database_url: str, model: type[UserMixin]) -> None:
    tables = tables_of(model)
    async with database_at(database_url) as database:
        await make_table_of(model, database.engine)
        await migrate(database, tables)
        async with database.engine.connect() as connection:
            assert await connection.run_sync(differences(tables.users.metadata)) == []


async def test_missing_own_user_table_is_named_and_nothing_is_made(database_url: str) -> None:
    async with database_at(database_url) as database:
        with pytest.raises(ConfigurationError, match=r"user table members does not exist.*limen migrate"):
            await migrate(database, tables_of(Member))
        assert await current_revision(database) is None


async def test_users_of_an_own_table_take_their_sessions_along(database_url: str) -> None:
    tables = tables_of(Member)
    async with database_at(database_url) as database:
        await make_table_of(Member, database.engine)
        await migrate(database, tables)
        async with database.transaction() as connection:
            member = {"id": 7, "email": "a@b.c", "email_canonical": "a@b.c"}
            await connection.execute(insert(tables.users).values(member))
            await connection.execute(insert(tables.user_roles).values(user_id=7, role="admin"))
            await connection.execute(tables.users.delete())
        assert await database.read(tables.user_roles.select()) == []


async def test_an_app_starts_on_what_was_migrated(database_url: str) -> None:
    settings = AuthSettings(secret_key=SECRET, database_url=database_url)
    auth = Auth(settings=settings)
    await migrate(auth.kernel.database, auth.kernel.tables)
    async with auth:
        assert not await needs_migration(auth.kernel.database)


async def test_second_migration_changes_nothing(database_url: str) -> None:
    async with database_at(database_url) as database:
        assert await needs_migration(database)
        first = await migrate(database, tables_of(User))
        second = await migrate(database, tables_of(User))
        assert (first.before, first.after, first.changed) == (None, newest_revision(), True)
        assert (second.before, second.after, second.changed) == (newest_revision(), newest_revision(), False)


async def test_database_of_a_newer_limen_is_left_alone(database_url: str) -> None:
    async with database_at(database_url) as database:
        await migrate(database, tables_of(User))
        await database.write(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
        assert not await needs_migration(database)
        assert (await migrate(database, tables_of(User))).after == "9999"


async def test_tables_that_something_else_made_are_refused(database_url: str) -> None:
    async with database_at(database_url) as database:
        async with database.engine.begin() as connection:
            await connection.run_sync(User.metadata.create_all)
        with pytest.raises(ConfigurationError, match="limen_sessions but no limen_version"):
            await migrate(database, tables_of(User))


async def test_works_over_asyncpg(database_url: str) -> None:
    if not database_url.startswith("postgresql"):
        pytest.skip("asyncpg speaks to PostgreSQL")
    async with database_at(database_url.replace("+psycopg", "+asyncpg")) as database:
        await migrate(database, tables_of(User))
        assert not await needs_migration(database)


async def test_two_tasks_that_migrate_at_once_do_it_once(database_url: str) -> None:
    async with database_at(database_url) as one, database_at(database_url) as other:
        done = await asyncio.gather(*(migrate(database, tables_of(User)) for database in (one, other)))
        assert sorted(each.changed for each in done) == [False, True]


MIGRATING = """
import asyncio, sys
import alembic.command  # so that both processes begin at the same time
from limen.db.database import Database
from limen.db.engine import create_engine
from limen.db.migrate import migrate
from limen.db.tables import derive_tables
from limen.db.users import User

async def main():
    database = Database(create_engine(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    print((await migrate(database, derive_tables(User))).changed)
    await database.dispose()

asyncio.run(main())
"""


def test_processes_that_migrate_at_once_do_it_once(database_url: str) -> None:
    command = [sys.executable, "-c", MIGRATING, database_url]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=60) for process in processes]
    assert sorted(out.strip() for out, _ in ended) == ["False", "False", "True"], ended


async def test_up_to_date_database_is_recognised_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/limen.db"
    async with database_at(url) as database:
        await migrate(database, tables_of(User))
    looks = f"""
import asyncio, sys
from limen.db.database import Database
from limen.db.engine import create_engine
from limen.db.migrate import needs_migration
async def main():
    database = Database(create_engine({url!r}))
    assert not await needs_migration(database)
    await database.dispose()
asyncio.run(main())
print("alembic" in sys.modules)
"""
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", looks], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
