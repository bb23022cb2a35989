"""Brings a database to the schema of this limen.

The history is linear and packaged (`migrations/versions/`); the table `limen_version` says how far a database is.
`needs_migration` costs one look at that table and never loads alembic, which takes a second.

An app with migrations of its own chooses who makes limen's tables:

* limen does (`limen migrate` before the app's own `alembic upgrade`). Keep alembic's autogenerate away from them, in
  the app's `env.py`: `context.configure(…, include_name=lambda name, kind, _: kind != "table" or not
  name.startswith("limen_"))`.
* the app's own alembic does. Once `Auth(user=User, …)` has been made, all of limen's tables are in `User.metadata`:
  import that module in `env.py`, set `target_metadata = User.metadata`, and autogenerate sees them like the app's own.
  `limen migrate` is then never run on that database, and refuses to if it is.
"""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, column, inspect, select, table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.db.database import Database
from limen.db.tables import Tables
from limen.db.users import User
from limen.errors import ConfigurationError

VERSION_TABLE = "limen_version"

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = int.from_bytes(b"limen")
_PATIENCE = ("SET LOCAL lock_timeout = '120s'", "SET LOCAL statement_timeout = 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """What `migrate` did.

    Attributes:
        before: the revision that the database was at, or None for one that had nothing of limen's.
        after: the revision that it is at now.
    """

    before: str | None
    after: str

    @property
    def changed(self) -> bool:
        """Whether there was anything to do."""
        return self.before != self.after


def newest_revision() -> str:
    """The number of the newest packaged revision, by file name."""
    return max(path.name.partition("_")[0] for path in (_FOLDER / "versions").glob("[0-9]*_*.py"))


async def current_revision(database: Database) -> str | None:
    """The revision that the database is at, or None when limen never migrated it.

    Raises:
        ConfigurationError: the database cannot be reached.
    """
    await database.check(())
    async with database.engine.connect() as connection:
        return await connection.run_sync(_revision)


async def needs_migration(database: Database) -> bool:
    """Whether `migrate` has anything to do; a database that a newer limen migrated needs nothing from this one.

    Raises:
        ConfigurationError: the database cannot be reached.
    """
    return _is_behind(await current_revision(database))


async def migrate(database: Database, tables: Tables) -> Migration:
    """Make or change limen's tables, all of them or none; processes that try at once do it once.

    Args:
        tables: of the `Auth`; they say what the user's table and key are. A user table of the app's own is not made.

    Raises:
        ConfigurationError: the database cannot be reached, the app's own user table is not there, or limen's tables
            were made by something else.
    """
    before = await current_revision(database)
    if not _is_behind(before):
        return Migration(before=before, after=before or newest_revision())
    # Who waited for the lock must then see what the other one committed.
    level = {} if database.is_sqlite else {"isolation_level": "READ COMMITTED"}
    async with Database(database.engine.execution_options(**level)).transaction() as connection:
        if not database.is_sqlite:
            await _wait_for_turn(connection)
        return await connection.run_sync(_upgrade, tables)


def _is_behind(revision: str | None) -> bool:
    return revision is None or revision < newest_revision()


async def _wait_for_turn(connection: AsyncConnection) -> None:
    for statement in _PATIENCE:
        await connection.execute(text(statement))
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)").bindparams(lock=_LOCK))


def _upgrade(connection: Connection, tables: Tables) -> Migration:
    before = _revision(connection)
    if not _is_behind(before):
        return Migration(before=before, after=before or newest_revision())
    makes_users = tables.users is User.__table__
    _check_ground(connection, tables, before=before, makes_users=makes_users)
    _run_alembic(
        connection=connection,
        version_table=VERSION_TABLE,
        makes_users=makes_users,
        user_key=f"{tables.users.fullname}.{tables.user_key.name}",
        user_key_type=tables.user_key.type,
    )
    return Migration(before=before, after=newest_revision())


def _run_alembic(**attributes: object) -> None:
    from alembic import command  # a second to load, for nothing in most starts
    from alembic.config import Config

    config = Config(attributes=attributes)
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE))).scalar()
    return found


def _check_ground(connection: Connection, tables: Tables, *, before: str | None, makes_users: bool) -> None:
    """Refuse what would fail half-way, with the cure instead of the database's words."""
    present = inspect(connection)
    if not makes_users and not present.has_table(tables.users.name, schema=tables.users.schema):
        raise ConfigurationError(
            f"The app's own user table {tables.users.fullname} does not exist: make it with the app's own migrations "
            "(or metadata.create_all), then run `limen migrate`"
        )
    if before is None and present.has_table(tables.sessions.name):
        raise ConfigurationError(
            f"The database has {tables.sessions.name} but no {VERSION_TABLE}: its tables were made by the app's own "
            "migrations or create_all, so change them there, or drop them and run `limen migrate`"
        )
