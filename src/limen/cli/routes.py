"""`limen routes`: every route of the app and who comes in."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limen.cli.apps import AppOption, load_auth
from limen.cli.printing import JsonOption, print_json, print_table
from limen.errors import ConfigurationError

if TYPE_CHECKING:
    from limen.http.route_diff import Change
    from limen.http.route_map import MappedRoute

HEAD = ("METHODS", "PATH", "ACCESS", "GUARDS", "SCHEMES")


def routes(
    name: Annotated[str | None, typer.Argument(metavar="MODULE:ATTR", help="The app; the same as --app.")] = None,
    app: AppOption = None,
    as_json: JsonOption = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Answer with a table for a pull request.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Fail when a route is neither guarded nor public, or --diff opened one.")
    ] = False,
    diff: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An earlier --json: show what changed since.", dir_okay=False)
    ] = None,
) -> None:
    """List every HTTP and WebSocket route with its guards; mounted apps included."""
    found = load_auth(name or app).routes()
    changes = None if diff is None else _changes(diff, found)
    if as_json:
        print_json(_described(found, changes))
    elif changes is not None:
        typer.echo("\n".join(map(str, changes)) or "Nothing changed.")
    elif as_markdown:
        _print_markdown(found)
    else:
        print_table(HEAD, map(_row, found))
    if check:
        _fail_if_open(found, changes or ())


def _changes(path: Path, found: "Sequence[MappedRoute]") -> "tuple[Change, ...]":
    from limen.http.route_diff import compare

    try:
        before = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"--diff {path} cannot be read: {error}") from None
    lines = before.get("routes") if isinstance(before, dict) else before
    return compare(lines if isinstance(lines, list) else [{}], [route.described() for route in found])


def _described(found: "Sequence[MappedRoute]", changes: "Sequence[Change] | None") -> dict[str, object]:
    described: dict[str, object] = {"routes": [route.described() for route in found]}
    if changes is not None:
        fields = ("kind", "method", "path", "before", "after")
        described["changes"] = [{name: getattr(change, name) for name in fields} for change in changes]
    return described


def _print_markdown(found: "Sequence[MappedRoute]") -> None:
    rows = [[_escaped(cell) for cell in _row(route)] for route in found]
    for cells in (HEAD, ["---"] * len(HEAD), *rows):
        typer.echo(f"| {' | '.join(cells)} |")


def _escaped(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|")


def _row(route: "MappedRoute") -> tuple[str, ...]:
    access = {"guarded": "guarded", "public": f"PUBLIC ({route.because})", "unguarded": "UNGUARDED"}[route.access]
    return ",".join(route.methods), route.path, access, " ; ".join(route.guards), ", ".join(route.schemes)


def _fail_if_open(found: "Sequence[MappedRoute]", changes: "Sequence[Change]") -> None:
    unguarded = [str(route) for route in found if route.access == "unguarded"]
    opened = [f"{change.method} {change.path}" for change in changes if change.kind == "opened"]
    for words, those in (("Neither guarded nor marked @auth.public", unguarded), ("Opened", opened)):
        if those:
            typer.echo(f"limen: {words}: {'; '.join(those)}", err=True)
    if unguarded or opened:
        raise typer.Exit(1)
