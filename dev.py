#!/usr/bin/env python3
"""Everything one does in this repository. Needs Python 3.11 or newer, and nothing else.

    python3 dev.py run [args]         start the demo app on http://localhost:8000, its files in .dev/
    python3 dev.py test [args]        run the tests; args go to pytest (-n 0 for one process, -k, -x, a path …)
    python3 dev.py check              lint, format, types and the import contract
    python3 dev.py bench [name args]  run benchmarks/<name>.py; without a name, list them
    python3 dev.py docs               build the site into site/html, then run the tests of the documentation
    python3 dev.py docs build|test    only one of the two; args after `test` go to pytest
    python3 dev.py lock               pin the newest versions of all dependencies in constraints.txt

The first command makes a virtual environment in .venv (set DEV_VENV for another place) and installs what it
needs; later commands reuse it until pyproject.toml or constraints.txt change. Delete it to begin anew.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / os.environ.get("DEV_VENV", ".venv")
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = str(BIN / "python")
UV = str(BIN / "uv")
DEMO_FOLDER = ROOT / ".dev"
EXTRAS = "email,postgres,redis,server"
NO_PIP = (
    "dev.py: this Python has no pip; on Debian and Ubuntu `apt-get install python3-pip` brings it, then run this again."
)


def main(arguments: list[str]) -> None:
    commands = {"run": run, "test": test, "check": check, "bench": bench, "docs": docs, "lock": lock}
    name = arguments[0] if arguments else "help"
    os.chdir(ROOT)
    if name in ("help", "-h", "--help"):
        print(__doc__)
    elif name not in commands:
        sys.exit(f"dev.py: there is no command {name!r}; there are {', '.join(commands)}")
    else:
        commands[name](arguments[1:])


# --- the commands


def run(arguments: list[str]) -> None:
    install("run")
    DEMO_FOLDER.mkdir(exist_ok=True)
    os.chdir(DEMO_FOLDER)
    become([PYTHON, "-m", "limen", "demo", *arguments])


def test(arguments: list[str]) -> None:
    install("dev")
    keep_bytecode()
    become([PYTHON, "-m", "pytest", "-n", "logical", "--maxprocesses", "8", "--dist", "worksteal", *arguments])


def check(_: list[str]) -> None:
    install("dev")
    tools = {
        "lint": ["ruff", "check", "--quiet"],
        "format": ["ruff", "format", "--check", "--quiet"],
        "types": ["mypy", "--strict", "--no-error-summary"],
        "imports": ["lint-imports", "--no-logo", "--no-cache"],
    }
    failed = [name for name, command in tools.items() if not passes(name, command)]
    sys.exit(f"dev.py check: {', '.join(failed)} failed" if failed else 0)


def bench(arguments: list[str]) -> None:
    scripts = {path.stem: path for path in sorted((ROOT / "benchmarks").glob("[!_]*.py"))}
    if not arguments:
        print(
            "\n".join(f"{name:20} {first_line(path)}" for name, path in scripts.items())
            or "There are no benchmarks yet."
        )
    elif arguments[0] not in scripts:
        sys.exit(f"dev.py: there is no benchmark {arguments[0]!r}; `python3 dev.py bench` lists them")
    else:
        install("dev")
        become([PYTHON, str(scripts[arguments[0]]), *arguments[1:]])


def docs(arguments: list[str]) -> None:
    what, rest = (arguments[0], arguments[1:]) if arguments[:1] in (["build"], ["test"]) else ("", arguments)
    if what != "test":
        install("dev")
        if subprocess.call([PYTHON, str(ROOT / "docs" / "build.py")]) != 0:
            sys.exit("dev.py docs: the site could not be built; see above.")
    if what != "build":
        test(["tests/docs", *rest])


def lock(_: list[str]) -> None:
    install("dev")
    # constraints.txt must name no host: it holds versions and hashes, whichever index they were seen on.
    options = "--universal --python-version 3.11 --generate-hashes --all-extras --group dev --upgrade"
    silence = "--quiet --no-emit-index-url --no-emit-find-links --no-annotate --no-header"
    command = [UV, "pip", "compile", *options.split(), *silence.split(), "pyproject.toml", "-o", "constraints.txt"]
    sys.exit(subprocess.call(command, cwd=ROOT))


# --- the virtual environment


def install(purpose: str) -> None:
    """Make the environment ready to "run" the app or, with all tools, for "dev"; a stamp tells when it is already."""
    fingerprint = expected_stamp()
    if any(stamp(ready).read_text() == fingerprint for ready in (purpose, "dev") if stamp(ready).exists()):
        return
    print(f"dev.py: preparing {VENV.name} …", file=sys.stderr, flush=True)
    create_environment()
    packages = ["--constraints", "constraints.txt", "--editable", f".[{EXTRAS}]"]
    groups = ["--group", "dev"] if purpose == "dev" else []
    # Hashes in constraints.txt are checked for all it lists; --require-hashes would refuse the editable project itself.
    command = [UV, "pip", "install", "--quiet", "--python", PYTHON, "--verify-hashes", *packages, *groups]
    if subprocess.call(command, cwd=ROOT) != 0:
        sys.exit("dev.py: the dependencies could not be installed; see above.")
    stamp(purpose).write_text(expected_stamp())


def stamp(purpose: str) -> Path:
    return VENV / f".ready-to-{purpose}"


def expected_stamp() -> str:
    """A digest of all that decides what is installed: the Python, the project's needs and their versions."""
    made_by = [sys.version_info[:2], VENV, Path(PYTHON).exists()]
    sources = [path.read_bytes() for path in (ROOT / "pyproject.toml", ROOT / "constraints.txt")]
    return hashlib.sha256(repr([made_by, sources]).encode()).hexdigest()


def create_environment() -> None:
    import venv

    if not fits_this_python():
        venv.create(VENV, with_pip=False, clear=VENV.exists(), symlinks=os.name != "nt")
    if not Path(UV).exists() and not Path(UV + ".exe").exists():
        install_uv()


def fits_this_python() -> bool:
    """True when .venv works and has the minor version that dev.py was started with."""
    version = "import sys; print(sys.version_info[:2])"
    try:
        answer = subprocess.run([PYTHON, "-c", version], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return answer.stdout.strip() == str(sys.version_info[:2])


def install_uv() -> None:
    import importlib.util

    pip = [sys.executable, "-m", "pip", "--python", PYTHON]
    if importlib.util.find_spec("pip") is None:
        pip = [PYTHON, "-m", "pip"]
        if subprocess.run([PYTHON, "-m", "ensurepip"], capture_output=True, check=False).returncode != 0:
            sys.exit(NO_PIP)
    if subprocess.call([*pip, "install", "--quiet", "--disable-pip-version-check", "uv"]) != 0:
        sys.exit("dev.py: pip could not install uv; see above.")


# --- small things


def become(command: list[str]) -> None:
    """Go on as this command: it gets the signals, and its exit status is ours."""
    sys.stdout.flush()
    if os.name == "nt":  # there exec returns to the shell at once
        sys.exit(subprocess.call(command))
    os.execv(command[0], command)


def keep_bytecode() -> None:
    """Compile each module once, even where the shell wants no bytecode beside the sources: it is kept in .venv.

    The tests start many processes; one that compiles all it imports needs seconds for it.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        os.environ.setdefault("PYTHONPYCACHEPREFIX", str(VENV / "bytecode"))


def passes(name: str, command: list[str]) -> bool:
    program, *options = command
    result = subprocess.run([str(BIN / program), *options], cwd=ROOT, capture_output=True, text=True, check=False)
    print(f"{name:8} {'passed' if result.returncode == 0 else 'FAILED'}  ({' '.join(command)})", flush=True)
    if result.returncode != 0:
        print(result.stdout + result.stderr, flush=True)
    return result.returncode == 0


def first_line(path: Path) -> str:
    import ast

    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python can read this file, and gets a sentence
        sys.exit("dev.py: limen needs Python 3.11 or newer; this is Python {}.{}.".format(*sys.version_info))
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
