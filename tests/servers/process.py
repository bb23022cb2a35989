"""A server process that cannot outlive the tests, however they end."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# A shell owns the server and its folder. Another reads a pipe of which only we hold the other end: a line or the end of
# the pipe ends that one server. A second line keeps the folder; without one we died (of anything, even kill -9).
_KEEPER = """
folder=$1 ending=$2; shift 2
exec 3<&0
"$@" </dev/null >>"$folder/log" 2>&1 3<&- &
server=$!
{ read -r _ <&3; kill -s "$ending" "$server"; kill -s CONT "$server"; } &
reader=$!
echo "$server"
wait "$server"
kill "$reader"
read -r _ <&3 || rm -rf "$folder"
"""


class MissingWheel(Exception):
    """The package that brings the server's binaries is not installed here; tests skip and say so."""


class ServerProcess:
    """One running server.

    Args:
        command: the program, as an absolute path, and its arguments.
        folder: what it writes, its output in `log` among them; removed when we are killed, else left to the caller.
        ending: the signal that makes it stop at once.
        identity: `user`, `group` and `extra_groups` as `subprocess` takes them.
        environment: instead of ours.
    """

    def __init__(
        self,
        command: list[str],
        *,
        folder: Path,
        ending: str = "TERM",
        identity: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = folder / "log"
        self._keeper = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "keeper", str(folder), ending, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=environment,
            start_new_session=True,  # Ctrl-C is for the tests
            **(identity or {}),
        )
        assert self._keeper.stdout
        self.pid = int(self._keeper.stdout.readline())

    def is_alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def wait_until(self, ready: Callable[[], bool], *, seconds: float = 20) -> None:
        """Return when `ready()` holds; a server that ends before, or never gets there, raises with its log."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the server did not start:\n{self.log.read_text()}")
            time.sleep(0.01)

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers, as on a network that swallows packets."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it, keep its folder, return when it is gone. Twice is once."""
        assert self._keeper.stdin
        assert self._keeper.stdout
        if not self._keeper.stdin.closed:
            self._keeper.stdin.write(b"\n\n")
            self._keeper.stdin.close()
            self._keeper.stdout.close()
            self._keeper.wait(timeout=20)
