"""`limen init`: the files that a new app begins with."""

import secrets
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from limen.errors import ConfigurationError

ENV = """\
# Read by limen and never committed. Every name is in limen's docs/settings.md.
LIMEN_SECRET_KEY={secret}
# LIMEN_DATABASE_URL=postgresql+psycopg://user:password@localhost/app
# LIMEN_BASE_URL=https://example.com
"""
NEXT = """
Next:
  limen migrate
  limen users create --email you@example.com --role admin
  uvicorn main:app --no-proxy-headers     then open http://localhost:8000/docs"""


def init(
    folder: Annotated[Path, typer.Argument(help="Where to.", file_okay=False)] = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Begin an app: a .env with a fresh secret, a main.py, .env in .gitignore. Overwrites nothing."""
    try:
        if not dry_run:
            folder.mkdir(parents=True, exist_ok=True)
        _write(folder / ".env", ENV.format(secret=secrets.token_urlsafe(48)), mode=0o600, dry_run=dry_run)
        _write(folder / "main.py", _quickstart(), mode=0o666, dry_run=dry_run)
        _ignore(folder / ".gitignore", ".env", dry_run=dry_run)
    except OSError as error:
        raise ConfigurationError(f"{error.filename} cannot be written: {error.strerror}") from None
    if not dry_run:
        typer.echo(NEXT)


def _quickstart() -> str:
    return (files("limen") / "templates" / "quickstart.py").read_text("utf-8")


def _write(path: Path, text: str, *, mode: int, dry_run: bool) -> None:
    if path.exists():
        typer.echo(f"skipped {path}, which exists{_what_it_lacks(path)}")
        return
    if not dry_run:
        path.touch(mode=mode, exist_ok=False)
        path.write_text(text, "utf-8")
    typer.echo(f"{'would write' if dry_run else 'wrote  '} {path}")


def _what_it_lacks(path: Path) -> str:
    if path.name != ".env" or "SECRET_KEY" in path.read_text("utf-8", errors="replace"):
        return ""
    return ' without LIMEN_SECRET_KEY: add one, made with python -c "import secrets; print(secrets.token_urlsafe(48))"'


def _ignore(path: Path, line: str, *, dry_run: bool) -> None:
    text = path.read_text("utf-8") if path.exists() else ""
    if line in text.splitlines():
        typer.echo(f"skipped {path}, which has {line} already")
        return
    if not dry_run:
        gap = "" if not text or text.endswith("\n") else "\n"
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{gap}{line}\n")
    typer.echo(f"{'would add' if dry_run else 'added  '} {line} to {path}")
