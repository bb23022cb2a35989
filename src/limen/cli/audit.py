"""`limen audit …`: verify, read and export the record."""

import csv
import json
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from limen.cli.apps import AppOption, run
from limen.cli.printing import JsonOption, print_json, print_table
from limen.core.audit_chain import SAID
from limen.errors import ConfigurationError

if TYPE_CHECKING:
    from limen.auth import Auth
    from limen.core.audit_chain import Entry
    from limen.db.users import UserMixin
    from limen.features.audit import Audit
    from limen.features.audit.steps import Verification

MAX_SHOWN = 200
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""With what a cell begins that spreadsheets would calculate (OWASP, CSV Injection)."""

COLUMNS = ("id", "seq", *(name for name in SAID if name != "name_digest"))

group = typer.Typer(help="Verify, read and export the audit record.", no_args_is_help=True)


class Format(StrEnum):
    """How entries are exported."""

    jsonl = "jsonl"
    csv = "csv"


@group.command("verify")
def verify(
    head: Annotated[
        str | None,
        typer.Option(metavar="SEQ:HASH", help="A head that was noted before: the record must still contain it."),
    ] = None,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for whatever was changed, added or taken out; status 1 if anything was."""

    async def work(auth: "Auth[UserMixin]") -> "Verification":
        try:
            return await _audit(auth).verify(noted=head)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    found = run(app, work)
    if as_json:
        print_json(_verification(found))
    else:
        _print_verification(found)
    if not found.is_intact:
        raise typer.Exit(1)


@group.command("tail")
def tail(
    number: Annotated[int, typer.Option("-n", "--number", min=1, max=MAX_SHOWN, help="How many.")] = 20,
    user: Annotated[str | None, typer.Option(metavar="ID", help="Only what concerns this user, or they did.")] = None,
    event: Annotated[str | None, typer.Option(metavar="EVENT", help="Only events of this name.")] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only failed sign-ins under this e-mail address or username.")
    ] = None,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the latest entries, the newest last."""

    async def work(auth: "Auth[UserMixin]") -> "list[Entry]":
        return list(await _audit(auth).list(user=user, event=event, name=name, limit=number))

    entries = [_described(entry) for entry in reversed(run(app, work))]
    if as_json:
        print_json(entries)
        return
    columns = ("at", "event", "result", "subject", "actor", "method", "ip", "count")
    print_table(tuple(map(str.upper, columns)), [tuple(_cell(row[name]) for name in columns) for row in entries])


@group.command("export")
def export(
    form: Annotated[Format, typer.Option("--format", help="One JSON object a line, or CSV.")] = Format.jsonl,
    after: Annotated[int, typer.Option(metavar="ID", min=0, help="Only entries above this id.")] = 0,
    app: AppOption = None,
) -> None:
    """Write every entry to stdout, the oldest first."""

    async def work(auth: "Auth[UserMixin]") -> None:
        write = _write_csv if form is Format.csv else _write_json
        if form is Format.csv:
            typer.echo(",".join(COLUMNS))
        async for entry in _audit(auth).export(after=after):
            write(_described(entry))

    run(app, work)


def _audit(auth: "Auth[UserMixin]") -> "Audit":
    from limen.features.audit import Audit

    try:
        return auth[Audit]
    except LookupError:
        raise ConfigurationError("This app keeps no audit record: add Audit() to Auth(features=[…])") from None


def _described(entry: "Entry") -> dict[str, object]:
    return {**{name: getattr(entry, name) for name in COLUMNS}, "details": json.loads(entry.details)}


def _verification(found: "Verification") -> dict[str, object]:
    return {
        "intact": found.is_intact,
        "entries": found.checked,
        "first_seq": found.first_seq,
        "last_seq": found.last_seq,
        "head": found.head,
        "waiting": found.waiting,
        "unsealed": found.unsealed,
        "flaws": [
            {"kind": each.kind, "seq": each.seq, "last_seq": each.last_seq, "id": each.id, "sentence": each.sentence}
            for each in found.flaws
        ],
    }


def _print_verification(found: "Verification") -> None:
    for flaw in found.flaws:
        typer.echo(flaw.sentence)
    state = "intact" if found.is_intact else "NOT INTACT"
    typer.echo(f"{found.checked} entries, {found.first_seq} to {found.last_seq}: {state}.")
    if found.is_intact:
        typer.echo(f"Head: {found.head}")


def _write_json(entry: Mapping[str, object]) -> None:
    typer.echo(json.dumps(_plain(entry), default=str))


def _write_csv(entry: Mapping[str, object]) -> None:
    csv.writer(sys.stdout, lineterminator="\n").writerow(map(_harmless, _plain(entry).values()))


def _plain(entry: Mapping[str, object]) -> dict[str, object]:
    return {**entry, "at": _moment(entry["at"])}


def _moment(value: object) -> str:
    return str(value).replace(" ", "T").replace("+00:00", "Z")


def _harmless(value: object) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = json.dumps(value) if isinstance(value, dict) else "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def _cell(value: object) -> str:
    return "" if value is None else str(value)[:36]
