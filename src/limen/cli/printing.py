"""How commands answer: lines for people, JSON with stable keys for scripts."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")]


def print_json(value: object) -> None:
    """One JSON document on stdout; moments as in the HTTP API."""
    typer.echo(json.dumps(value, indent=2, default=_plain))


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Aligned columns under their names."""
    lines = [head, *rows]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _plain(value: object) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)
