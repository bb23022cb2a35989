"""Engines made from `LIMEN_DATABASE_URL`: SQLite in WAL mode as the embedded default, PostgreSQL for production."""

from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from limen.db.pragmas import prepare_sqlite
from limen.errors import ConfigurationError

POSTGRES_POOL = {"pool_size": 10, "max_overflow": 10, "pool_timeout": 15}
_ASYNC_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}


def create_engine(url: str) -> AsyncEngine:
    """An engine for `url`; a bare `sqlite://` or `postgresql://` gets the async driver that limen ships with.

    Raises:
        ConfigurationError: the URL cannot be read, or its driver is not installed.
    """
    try:
        parsed = make_url(url)
        parsed = parsed.set(drivername=_ASYNC_DRIVERS.get(parsed.drivername, parsed.drivername))
        return _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _server(parsed)
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigurationError(f"LIMEN_DATABASE_URL cannot be read: {type(error).__name__}") from None
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"LIMEN_DATABASE_URL needs the driver {error.name}, which is not installed: {_cure(error.name, url)}"
        ) from None


def _cure(driver: str | None, url: str) -> str:
    if not url.startswith(("sqlite", "postgres")):
        return "limen keeps its tables in SQLite or PostgreSQL"
    return f"pip install {driver}" if driver in ("asyncpg", "aiosqlite") else "pip install 'limen[postgres]'"


def _sqlite(url: URL) -> AsyncEngine:
    engine = create_async_engine(url, hide_parameters=True)
    event.listen(engine.sync_engine, "connect", prepare_sqlite)
    return engine


def _server(url: URL) -> AsyncEngine:
    limits: dict[str, object] = {}
    if url.drivername == "postgresql+psycopg":
        limits = {"connect_timeout": 5, "options": "-c statement_timeout=10000 -c lock_timeout=10000"}
    elif url.drivername == "postgresql+asyncpg":
        limits = {"timeout": 5, "server_settings": {"statement_timeout": "10000", "lock_timeout": "10000"}}
    return create_async_engine(url, connect_args=limits, hide_parameters=True, **POSTGRES_POOL)
