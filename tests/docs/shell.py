"""One shell that runs the blocks of a page in order, as a reader would type them."""

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from threading import Timer

END = "--- end of block"
SECONDS = 60
PORT = "8000"
BYTECODE = ("PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE")  # as the rest of the tests: compiled once

# Bash tells of every command that fails, in a pipe too; it ends with its stdin, and what it serves ends with it.
PROLOGUE = f"""\
set -o pipefail
trap 'echo "exit status $?: $BASH_COMMAND" >> "$FAILURES"' ERR
trap 'kill $server 2>/dev/null; wait' EXIT
end_block() {{ printf '\\n{END}\\n'; }}
"""


class Shell:
    """Bash in an empty folder, with limen's commands on its path and no settings of whoever runs the tests.

    Args:
        port: stands for 8000 wherever a block says localhost:8000.
        programs: the folder of `limen` and `python`; else those of the tests.
    """

    def __init__(self, folder: Path, *, port: int, programs: Path | None = None) -> None:
        self.folder = folder
        self._port = str(port)
        self._failures = folder.with_name(f"{folder.name}.failures")
        self._failures.touch()
        folder.mkdir()
        environment = {
            "PATH": f"{programs or Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "LIMEN_BASE_URL": f"http://localhost:{port}",
            "FAILURES": str(self._failures),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # a reader has few; ours take seconds to load
            "PYTEST_PLUGINS": "limen.testing.plugin",
            **{name: os.environ[name] for name in BYTECODE if name in os.environ},
        }
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.run(PROLOGUE + "true")

    def run(self, text: str) -> str:
        """What the commands say; each of them must succeed."""
        stuck = Timer(SECONDS, self._bash.kill)
        stuck.start()
        try:
            said = self._tell(self._here(text))
        finally:
            stuck.cancel()
        failures = self._failures.read_text()
        self._failures.write_text("")
        assert not failures, f"{failures}{said}"
        return said.replace(f"localhost:{self._port}", f"localhost:{PORT}")

    def serve(self, command: str) -> None:
        """Start what goes on, instead of what did, and return when it answers."""
        self.run(f"kill $server 2>/dev/null || true; wait; {command} --port {self._port} >server.log 2>&1 & server=$!")
        deadline = time.monotonic() + SECONDS
        while not self._answers():
            alive = "yes" in self.run('kill -0 "$server" 2>/dev/null && echo yes || echo no')
            assert alive, self.run("cat server.log")
            assert time.monotonic() < deadline, self.run("cat server.log")
            time.sleep(0.05)

    def write(self, name: str, text: str) -> None:
        """Put a file where the shell is."""
        self.run(f"cat > {name} <<'END_OF_FILE'\n{text}\nEND_OF_FILE")

    def close(self) -> None:
        assert self._bash.stdin
        assert self._bash.stdout
        self._bash.stdin.close()
        self._bash.wait(timeout=SECONDS)
        self._bash.stdout.close()

    def _tell(self, text: str) -> str:
        assert self._bash.stdin
        assert self._bash.stdout
        self._bash.stdin.write(f"{text}\nend_block\n")
        self._bash.stdin.flush()
        said: list[str] = []
        for line in self._bash.stdout:
            if line.rstrip("\n") == END:
                return "".join(said).rstrip("\n")
            said.append(line)
        raise AssertionError(f"the shell ended or took over {SECONDS} s:\n{text}\n{''.join(said)}")

    def _here(self, text: str) -> str:
        return text.replace(f"localhost:{PORT}", f"localhost:{self._port}")

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://localhost:{self._port}/openapi.json", timeout=2).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True


def says(expected: str, said: str) -> bool:
    """Whether `said` is `expected`, in which `…` stands for anything within a line, and alone for any lines."""
    lines = [r"(?s:.*)" if line == "…" else _pattern(line) for line in expected.strip().splitlines()]
    return re.fullmatch(r"\n".join(lines), said.strip()) is not None


def _pattern(line: str) -> str:
    return ".*".join(re.escape(part) for part in line.split("…"))
