"""What the database says of itself, and whether something lies in it that should not; read only, and bounded."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, inspect, select
from sqlalchemy.exc import SQLAlchemyError

from limen.auth import Auth
from limen.checks.evidence import Database, PlainSecret
from limen.db.database import Database as AppDatabase
from limen.db.migrate import current_revision, newest_revision
from limen.db.types import DatabaseSeconds
from limen.db.users import UserMixin
from limen.errors import ConfigurationError

MAX_TABLES, MAX_COLUMNS, MAX_ROWS = 200, 400, 50
_SECONDS = 20.0

_PASSWORD_COLUMN = re.compile(r"pass[\W_]*(wor|wd|phrase|code)|pwd", re.IGNORECASE)
_DIGEST = re.compile(
    r"^(\$|\{|pbkdf2|scrypt|argon2|bcrypt|md5\$|sha\d+[$:]|[0-9a-f]{32,128}$|[A-Za-z0-9+/]{43}=$|!|\*)"
)
_CREDENTIALS = (
    ("an access token", re.compile(r"^eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*$")),
    ("a credential of limen's", re.compile(r"^lm[rsk]_[A-Za-z0-9_-]{20,}[.][A-Za-z0-9_.-]{16,}$")),
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")),
    ("an API key", re.compile(r"^(sk_live_|ghp_|github_pat_|xox[bp]-|AKIA|sb_secret_)[A-Za-z0-9_-]{12,}$")),
)


async def look_at_database(auth: Auth[UserMixin]) -> Database:
    """Whether it answers, has limen's tables, agrees about the time, and keeps no secret in the open."""
    database = auth.kernel.database
    url = database.engine.url
    shown = url.render_as_string(hide_password=True)
    if database.is_sqlite and _is_missing(url.database):
        return Database(url=shown, is_sqlite=True, lacks="there is no such file yet")
    try:
        await database.check(())
    except ConfigurationError as error:
        outage = str(error).partition("cannot be reached: ")[2] or str(error)
        return Database(url=shown, is_sqlite=database.is_sqlite, outage=outage)
    try:
        async with asyncio.timeout(_SECONDS):
            return Database(
                url=shown,
                is_sqlite=database.is_sqlite,
                lacks=await _lacks(auth),
                clock_ahead=await _clock_ahead(auth),
                plain_secrets=await _plain_secrets(database),
            )
    except (TimeoutError, SQLAlchemyError) as error:
        return Database(url=shown, is_sqlite=database.is_sqlite, outage=f"it stopped answering: {type(error).__name__}")


def _is_missing(path: str | None) -> bool:
    """Connecting would make the file, and a check leaves nothing behind."""
    return bool(path) and path != ":memory:" and not str(path).startswith("file:") and not Path(str(path)).exists()


async def _lacks(auth: Auth[UserMixin]) -> str:
    try:
        await auth.kernel.database.check(auth.tables())
    except ConfigurationError as error:
        return str(error).partition(": run")[0]
    revision = await current_revision(auth.kernel.database)
    if revision is not None and revision < newest_revision():
        return f"it is at {revision}, and this limen at {newest_revision()}"
    return ""


async def _clock_ahead(auth: Auth[UserMixin]) -> float:
    rows = await auth.kernel.database.read(select(DatabaseSeconds()))
    told: object = rows[0][0]
    ahead = float(str(told)) - auth.kernel.clock.time()
    return ahead if ahead > 0 else min(0.0, ahead + 1)  # whole seconds, rounded down


async def _plain_secrets(database: AppDatabase) -> tuple[PlainSecret, ...]:
    async with database.engine.connect() as connection:
        return await connection.run_sync(lambda it: tuple(_scan(it)))


def _scan(connection: Connection) -> Iterator[PlainSecret]:
    """Look into the text columns of every table, at a few rows each."""
    looked_at = 0
    for name in inspect(connection).get_table_names()[:MAX_TABLES]:
        table = Table(name, MetaData(), autoload_with=connection, resolve_fks=False)
        for column in table.columns:
            if looked_at >= MAX_COLUMNS or not isinstance(column.type, String):
                continue
            looked_at += 1
            kind = _kind_in(connection, column)
            if kind:
                yield PlainSecret(table=name, column=column.name, kind=kind)


def _kind_in(connection: Connection, column: Column[object]) -> str:
    rows = connection.execute(select(column).where(column.is_not(None)).limit(MAX_ROWS))
    values = [value.strip() for (value,) in rows if isinstance(value, str) and value.strip()]
    for kind, pattern in _CREDENTIALS:
        if any(pattern.search(value) for value in values):
            return kind
    is_of_passwords = _PASSWORD_COLUMN.search(column.name) and not isinstance(column.type, Integer)
    return "a password" if is_of_passwords and any(_DIGEST.match(value) is None for value in values) else ""
