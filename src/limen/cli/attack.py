"""`limen attack`: the known attacks, mounted on one's own app."""

import asyncio
import os
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limen.cli.apps import AppOption, load_auth
from limen.cli.printing import JsonOption, print_json, print_table
from limen.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from limen.attack.campaign import Bounds
    from limen.attack.report import Hole, Report
    from limen.auth import Auth
    from limen.db.users import UserMixin

SIGNS = {"refused": ".", "CAME IN": "IN", "BROKE": "500", "-": " "}


def attack(
    name: Annotated[str | None, typer.Argument(metavar="MODULE:ATTR", help="The app; the same as --app.")] = None,
    app: AppOption = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Attack a server of this machine instead: http://127.0.0.1:8000.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="Instead of a new SQLite file; it gets three accounts.")
    ] = None,
    writes: Annotated[
        bool, typer.Option("--writes", help="Also make things and change them, as ordinary people would.")
    ] = False,
    requests: Annotated[int, typer.Option(min=1, help="How many requests at most.")] = 50_000,
    seconds: Annotated[float, typer.Option(min=1, help="How long at most.")] = 300,
    as_json: JsonOption = False,
) -> None:
    """Mount the known attacks on your own app, in this process and on a new database; status 1 if something came in."""
    from limen.attack.campaign import Bounds

    bounds = Bounds(requests=requests, seconds=seconds)
    if url is not None:
        report = _by_http(name or app, url, bounds, writes)
    else:
        with _database(database) as chosen:
            report = _in_process(name or app, chosen, bounds, writes)
    if as_json:
        print_json(report.described())
    else:
        _print(report)
    if report.holes or report.is_cut:
        raise typer.Exit(1)


@contextmanager
def _database(given: str | None) -> "Iterator[str]":
    """The database to attack on: a new one that is thrown away, or the one that was named for it."""
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="limen-attack-", ignore_cleanup_errors=True) as folder:
        yield f"sqlite+aiosqlite:///{Path(folder) / 'limen.db'}"


def _in_process(name: str | None, database: str, bounds: "Bounds", writes: bool) -> "Report":
    nowhere = {"LIMEN_DATABASE_URL": database, "LIMEN_REDIS_URL": ""}  # what it takes back is told to nobody
    if _is_set("LIMEN_SMTP_URL"):
        nowhere["LIMEN_SMTP_URL"] = "smtp://127.0.0.1:1"  # nor does mail leave
    with _settings(nowhere):
        auth = load_auth(name)
    _check_database(auth, database)
    return asyncio.run(_attack(auth, bounds, writes))


async def _attack(auth: "Auth[UserMixin]", bounds: "Bounds", writes: bool) -> "Report":
    from limen.attack.run import attack_in_process
    from limen.testing import create_tables

    if auth.app is None:
        raise ConfigurationError("auth.install(app) was not called: call it once, after app = FastAPI()")
    await create_tables(auth)
    try:
        async with auth.app.router.lifespan_context(auth.app):
            return await attack_in_process(auth, auth.app, bounds=bounds, may_write=writes)
    finally:
        await auth.kernel.database.dispose()


def _by_http(name: str | None, url: str, bounds: "Bounds", writes: bool) -> "Report":
    from limen.attack.asking import Loopback
    from limen.attack.run import attack_by_http

    Loopback(url)  # refuses another machine before anything is loaded
    with _settings({}):
        auth = load_auth(name)
    return asyncio.run(attack_by_http(auth, url, bounds=bounds, may_write=writes))


@contextmanager
def _settings(settings: "Mapping[str, str]") -> "Iterator[None]":
    """These settings while the app is loaded, and a secret for once where there is none."""
    from secrets import token_urlsafe

    from limen.settings import AuthSettings

    before = dict(os.environ)
    for name in before:
        if name.upper() in settings:  # settings are read in any case: none of them may stand beside these
            del os.environ[name]
    os.environ.update(settings)
    if not AuthSettings.load().secret_key:
        os.environ["LIMEN_SECRET_KEY"] = token_urlsafe(48)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _is_set(name: str) -> bool:
    """In the environment or `.env`, in any case, as settings are read."""
    from dotenv import dotenv_values

    given = (*os.environ.items(), *dotenv_values(".env").items())
    return any(value for each, value in given if each.upper() == name)


def _check_database(auth: "Auth[UserMixin]", chosen: str) -> None:
    """An app that brings its own engine would be attacked on whatever that is connected to."""
    from sqlalchemy import make_url

    engine, wanted = auth.kernel.database.engine.url, make_url(chosen)
    if (engine.host, engine.port, engine.database) != (wanted.host, wanted.port, wanted.database):
        raise ConfigurationError(
            f"The app brings an engine of its own, {engine.render_as_string(hide_password=True)}, and an attack makes "
            "accounts in it: name it with --database if it may be spoilt, or let the app read LIMEN_DATABASE_URL"
        )


def _print(report: "Report") -> None:
    from limen.attack.attempts import ATTACKS

    rows = [(route, *(SIGNS[row[attack]] for attack in ATTACKS)) for route, row in report.rows.items()]
    print_table(("ROUTE", *(attack.upper() for attack in ATTACKS)), rows)
    typer.echo("")
    for words in _said(report):
        typer.echo(words)


def _grouped(report: "Report") -> "dict[tuple[str, str], list[Hole]]":
    found: dict[tuple[str, str], list[Hole]] = {}
    for hole in report.holes:
        found.setdefault((hole.route, hole.attack), []).append(hole)
    return found


def _told(holes: "list[Hole]") -> str:
    """The first way in, and how many more there are: --json has them all."""
    first, more = holes[0], len(holes) - 1
    return f"IN  {first}{f' and {more} more ways' if more > 1 else ' and another way' if more else ''}"


def _said(report: "Report") -> Sequence[str]:
    lines = [_told(holes) for holes in _grouped(report).values()]
    lines += [f"not tried: {why}" for why in report.untried]
    if report.is_cut:
        lines.append("the bound was reached before everything was tried: --requests, --seconds")
    verdict = f"{len(report.holes)} attempts came in" if report.holes else "nothing came in"
    return [*lines, f"{report.requests} requests on {len(report.rows)} routes: {verdict}."]
