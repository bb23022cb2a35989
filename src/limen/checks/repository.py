"""What git knows of `.env` and of the secret. The secret goes to git by its stdin, never by its command line."""

import os
import stat
import subprocess
from pathlib import Path

from limen.checks.evidence import EnvFile

_SECONDS = 20
_COMMITS = "200"
# A repository's own configuration must not start programs because somebody asked a question of it.
_GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.pager=cat", "-c", "diff.external=", "--no-optional-locks")


def look_at_env_file(folder: Path) -> EnvFile:
    """Whether `.env` is there, who may read it, and what git would do with it."""
    path = folder / ".env"
    if not path.is_file():
        return EnvFile()
    mode = None if os.name == "nt" else stat.S_IMODE(path.stat().st_mode)
    if _git(folder, "rev-parse", "--is-inside-work-tree") != "true":
        return EnvFile(exists=True, mode=mode)
    return EnvFile(
        exists=True,
        mode=mode,
        in_repository=True,
        is_ignored=_git(folder, "check-ignore", ".env") is not None,
        is_tracked=_git(folder, "ls-files", "--error-unmatch", ".env") is not None,
    )


def where_committed(secret: str, folder: Path) -> tuple[str, ...]:
    """The files of the repository that have this secret, and an earlier `.env` that had it."""
    if not secret or _git(folder, "rev-parse", "--is-inside-work-tree") != "true":
        return ()
    tracked = _git(folder, "grep", "--cached", "-lF", "-f", "-", "--", ".", stdin=secret) or ""
    found = tuple(tracked.splitlines())
    history = _git(folder, "log", "--all", "-p", "--no-ext-diff", "--format=", "-n", _COMMITS, "--", ".env") or ""
    if secret in history and ".env" not in found:
        found = (*found, ".env (an earlier commit)")
    return found


def _git(folder: Path, *arguments: str, stdin: str = "") -> str | None:
    """What git answers; None when it refuses, there is none, or it takes too long."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, and paths that git itself named
            [*_GIT, *arguments],
            cwd=folder,
            input=stdin.encode(),
            capture_output=True,
            check=False,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None
