"""Worker processes of an app as production has them: uvicorn, one database, each killed and started by itself."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.ports import free_port
from tests.servers.process import ServerProcess

SECRET_KEY = "a secret of the tests, known to everybody and good for nothing"
CHEAP_HASHING = {"LIMEN_PASSWORDS_MEMORY_KIB": "8", "LIMEN_PASSWORDS_ITERATIONS": "1"}
NO_LIMITS = {"LIMEN_LOGIN_LIMIT": "1000000/minute", "LIMEN_ADDRESS_LIMIT": "1000000/minute"}

_MAKE_TABLES = """
import asyncio
from limen.demo import auth
from limen.testing import create_tables

async def main():
    await create_tables(auth)
    await auth.kernel.database.dispose()

asyncio.run(main())
"""


class Worker:
    """One uvicorn process with one port of its own, so that whoever kills it knows whom.

    Args:
        app: `module:attribute`.
        app_folder: where the module is, if it is not installed.
        environment: the whole of it.
    """

    def __init__(self, app: str, *, environment: Mapping[str, str], app_folder: Path | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = Path(tempfile.mkdtemp(prefix="limen-worker-"))
        self._command = [sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(self.port)]
        self._command += ["--lifespan", "on", "--no-access-log", "--no-proxy-headers", "--log-level", "warning"]
        self._command += ["--timeout-keep-alive", "60"]  # else it hangs up on the client that sends at that moment
        self._command += ["--app-dir", str(app_folder)] if app_folder else []
        self._environment = environment
        self._process: ServerProcess | None = None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def log(self) -> str:
        """What it wrote, over all its lives."""
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def launch(self) -> None:
        """Start the process without waiting for it to serve."""
        self._process = ServerProcess(self._command, folder=self.folder, environment=self._environment)

    def start(self) -> None:
        """Start it, again after `kill()` or `stop()` on the same port; return when it serves."""
        self.launch()
        assert self._process
        self._process.wait_until(self.is_healthy, seconds=60)

    def kill(self) -> None:
        """kill -9: no goodbye to anybody."""
        assert self._process
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.stop()

    def stop(self) -> None:
        """End it; `start()` brings it back."""
        if self._process:
            self._process.stop()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def is_healthy(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()


class Workers:
    """Several workers of the demo (or of `app`) on one database, for as long as the `with` block lasts.

    Args:
        number: how many processes.
        database_url: an empty database, or one that others of these have prepared.
        settings: `LIMEN_*` beside those that a test needs: hashing is cheap and nothing is limited unless they say so.
    """

    def __init__(
        self,
        number: int,
        *,
        database_url: str,
        settings: Mapping[str, str] | None = None,
        app: str = "limen.demo:app",
        app_folder: Path | None = None,
    ) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIMEN_")}
        own = {"LIMEN_SECRET_KEY": SECRET_KEY, "LIMEN_DATABASE_URL": database_url}
        self.environment = {**inherited, **own, **CHEAP_HASHING, **NO_LIMITS, **(settings or {})}
        self.database_url = database_url
        self._app, self._app_folder = app, app_folder
        self._turns = count()
        self._all = [self._worker() for _ in range(number)]
        self._extra: list[Worker] = []

    def __enter__(self) -> Self:
        try:
            self._make_tables()
            with ThreadPoolExecutor(len(self._all)) as threads:
                list(threads.map(Worker.start, self._all))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, index: int) -> Worker:
        return self._all[index]

    @property
    def urls(self) -> list[str]:
        return [worker.url for worker in self._all]

    def next_url(self) -> str:
        """The workers by turns, as a load balancer sends requests."""
        return self._all[next(self._turns) % len(self._all)].url

    def revive(self) -> None:
        """Start those that a failed test left dead."""
        for worker in self._all:
            if not worker.is_healthy():
                worker.stop()
                worker.start()

    def add(self) -> Worker:
        """One more, not started; it ends with the others and takes no turns."""
        worker = self._worker()
        self._extra.append(worker)
        return worker

    def close(self) -> None:
        for worker in (*self._all, *self._extra):
            worker.close()

    def _worker(self) -> Worker:
        return Worker(self._app, environment=self.environment, app_folder=self._app_folder)

    def _make_tables(self) -> None:
        command = [sys.executable, "-c", _MAKE_TABLES]
        done = subprocess.run(
            command, env=self.environment, cwd="/", capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"the tables could not be made:\n{done.stderr}")
