"""`limen init`: the files that a new app begins with, or the lines that an existing one lacks."""

import re
import secrets
import shlex
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from limen.cli.apps import FOUND
from limen.cli.existing_app import ExistingApp, app_in, find_app
from limen.cli.templates import TEMPLATES, Strategy, Template
from limen.errors import ConfigurationError

ENV = """\
# Read by limen and never committed. Every name is in limen's docs/settings.md.
LIMEN_SECRET_KEY={secret}
{database}
# LIMEN_BASE_URL=https://example.com
"""
POSTGRESQL = "postgresql+psycopg://user:password@localhost/app"
SERVE = "uvicorn main:app --no-proxy-headers     then open http://localhost:8000/docs"
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_+.:/@%?&=,~\[\]-]+")


def init(
    folder: Annotated[Path, typer.Argument(help="Where to.", file_okay=False)] = Path(),
    template: Annotated[
        Strategy | None, typer.Option(help="What main.py begins with; asked for, or quickstart without a terminal.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="sqlite, postgresql, or the URL of a database.")
    ] = None,
    app: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The app that exists, instead of looking for one.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Begin an app: a .env with a fresh secret, a main.py, .env in .gitignore. Overwrites nothing, edits nothing."""
    existing = app_in(app) if app else find_app(folder)
    chosen = TEMPLATES[template or _asked_strategy()]
    url = database or _asked_database()
    env = ENV.format(secret=secrets.token_urlsafe(48), database=_database_line(url)) + chosen.settings
    try:
        if not dry_run:
            folder.mkdir(parents=True, exist_ok=True)
        _write(folder / ".env", env, mode=0o600, dry_run=dry_run)
        if existing is None:
            _write(folder / "main.py", chosen.text(), mode=0o666, dry_run=dry_run)
        _ignore(folder / ".gitignore", ".env", dry_run=dry_run)
    except OSError as error:
        raise ConfigurationError(f"{error.filename} cannot be written: {error.strerror}") from None
    first = _before_anything(folder, url, chosen)
    if existing is not None:
        typer.echo(_lines_to_add(existing, chosen, first=first, folder=folder))
    elif not dry_run:
        typer.echo(_next(first, chosen))


def _before_anything(folder: Path, database: str, template: Template) -> Sequence[str]:
    """What the commands that come next need."""
    needs_driver = database.partition(":")[0] in ("postgresql", "postgresql+psycopg") and find_spec("psycopg") is None
    unknown = (*(("LIMEN_DATABASE_URL",) if database == "postgresql" else ()), *template.to_fill_in)
    steps = [
        f"cd {shlex.quote(str(folder))}" if folder.resolve() != Path.cwd() else "",
        "pip install 'limen[postgres]'" if needs_driver else "",
        f"fill in {' and '.join(unknown)} in .env" if unknown else "",
    ]
    return [step for step in steps if step]


def _next(first: Sequence[str], template: Template) -> str:
    admin = ["limen users create --email you@example.com --role admin"] if template.has_accounts else []
    told = _listed("Next:", [*first, "limen migrate", *admin, SERVE])
    return f"{told}\nor all of it at once, for development:\n  limen dev"


def _listed(head: str, steps: Sequence[str]) -> str:
    return "\n".join(["", head, *(f"  {step}" for step in steps)])


def _asked_strategy() -> Strategy:
    if not sys.stdin.isatty():
        return Strategy.QUICKSTART
    typer.echo("How do people prove who they are?")
    for strategy, each in TEMPLATES.items():
        typer.echo(f"  {strategy:12} {each.sentence}")
    return Strategy(typer.prompt("Template", default=Strategy.QUICKSTART.value, type=_choice(), show_choices=False))


def _choice() -> type[Strategy]:
    return Strategy


def _asked_database() -> str:
    if not sys.stdin.isatty():
        return "sqlite"
    typer.echo("Where are accounts kept? sqlite is a file here; postgresql or a whole URL for more than one machine.")
    answer: str = typer.prompt("Database", default="sqlite")
    return answer.strip()


def _database_line(database: str) -> str:
    """The setting; SQLite's is limen's default, so it is shown as what could be set instead."""
    if database == "sqlite":
        return f"# LIMEN_DATABASE_URL={POSTGRESQL}"
    url = POSTGRESQL if database == "postgresql" else database
    if "://" not in url or "'" in url or not url.isprintable():
        raise ConfigurationError("--database takes sqlite, postgresql or a URL such as postgresql://user@localhost/app")
    return f"LIMEN_DATABASE_URL={url if _PLAIN_VALUE.fullmatch(url) else repr(url)}"


def _lines_to_add(app: ExistingApp, template: Template, *, first: Sequence[str], folder: Path) -> str:
    if app.guarded_by_limen:
        return f"\n{app.path}, line {app.line}, speaks of limen already: nothing to add. `limen check` looks at it."
    lines = "\n".join(f"    {line}".rstrip() for line in template.lines_for(app.name).splitlines())
    module = app.module_in(folder)
    named = "" if module in FOUND else f" --app {module}:{app.name}"
    return f"""
There is an app already: {app.path}, line {app.line}. It stays as it is; after that line, add:

{lines}
{_listed("Next:", [*first, f"limen migrate{named}", f"limen check{named}"])}"""


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
    text = path.read_text("utf-8", errors="replace") if path.exists() else ""
    if line in text.splitlines():
        typer.echo(f"skipped {path}, which has {line} already")
        return
    if not dry_run:
        gap = "" if not text or text.endswith("\n") else "\n"
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{gap}{line}\n")
    typer.echo(f"{'would add' if dry_run else 'added  '} {line} to {path}")
