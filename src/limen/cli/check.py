"""`limen check`: validates the app, its settings and what it stands on."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from limen.cli.apps import AppOption, found_here, given_name, load_auth, tell_of_demo
from limen.cli.printing import JsonOption, print_json
from limen.errors import ConfigurationError

if TYPE_CHECKING:
    from limen.checks.check import Check
    from limen.feature import Finding


class Threshold(StrEnum):
    """From where on a finding makes the command fail."""

    WARNING = "warning"
    ERROR = "error"
    NEVER = "never"


FAILING = {Threshold.ERROR: ("error",), Threshold.WARNING: ("error", "warning"), Threshold.NEVER: ()}
SaidAs = {"error": "ERROR  ", "warning": "WARNING", "note": "note   "}


def check(
    name: Annotated[str | None, typer.Argument(metavar="MODULE:ATTR", help="The app; the same as --app.")] = None,
    app: AppOption = None,
    as_json: JsonOption = False,
    as_sarif: Annotated[bool, typer.Option("--sarif", help="Answer in SARIF 2.1.0, for code hosts.")] = False,
    fail_on: Annotated[Threshold, typer.Option(help="The least severity that ends in status 1.")] = Threshold.ERROR,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no server but the database.")] = False,
    explain: Annotated[
        str | None, typer.Option(metavar="ID", help="Only tell what a finding means: limen.E201, or E201.")
    ] = None,
) -> None:
    """Validate the app: packages, secret, settings, hashing, tokens, routes, database, what is beside it."""
    if explain is not None:
        _explain(explain)
        return
    with _quietly():
        findings = _findings(given_name(name or app) or _name_here(), ask=not offline)
    if as_sarif:
        _print_sarif(findings)
    elif as_json:
        print_json([_described(finding) for finding in findings])
    else:
        _print(findings)
    if any(finding.severity in FAILING[fail_on] for finding in findings):
        raise typer.Exit(1)


def _name_here() -> str:
    """A file that a server would take; its app may not speak of limen yet."""
    found = next(iter(found_here()), None)
    if found is None:
        tell_of_demo("no main.py or app.py here: checking limen.demo")
    return found or "limen.demo"


@contextmanager
def _quietly() -> Iterator[None]:
    """What would be logged is among the findings."""
    log = logging.getLogger("limen")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _findings(name: str, *, ask: bool) -> "Sequence[Finding]":
    from limen.checks.check import judge
    from limen.checks.gathering import gather, gather_files, stand_in_for

    seen = gather_files(name)
    auth = None
    if seen.sources.speaks_of_limen and not seen.settings_failure:
        stand_in_for(seen)
        try:
            auth = load_auth(name)
        except ConfigurationError as error:
            seen = replace(seen, load_failure=str(error).removeprefix("--app "))
    installed = None if auth is None else auth.app
    if auth is not None and installed is None:
        seen = replace(seen, load_failure="auth.install(app) was not called: no route is guarded by it")
    return judge(asyncio.run(gather(seen, auth, installed, ask=ask)))


def _print(findings: "Sequence[Finding]") -> None:
    for finding in findings:
        place = f"{finding.where}:{finding.line}" if finding.line is not None else finding.where
        typer.echo(f"{SaidAs[finding.severity]} {finding.id}  {f'{place}: ' if place else ''}{finding.sentence}")
        if finding.severity != "note":
            for words in (finding.reason, finding.cure):
                if words:
                    typer.echo(f"        {'':13}{words}")
    typer.echo(_summary(findings))


def _summary(findings: "Sequence[Finding]") -> str:
    counts = [sum(finding.severity == severity for finding in findings) for severity in ("error", "warning", "note")]
    words = ("error", "warning", "note")
    said = ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in zip(counts, words, strict=True))
    return f"{said}. `limen check --explain ID` and docs/checks.md tell more." if any(counts[:2]) else f"{said}."


def _described(finding: "Finding") -> dict[str, object]:
    return {
        "id": finding.id,
        "severity": finding.severity,
        "sentence": finding.sentence,
        "where": finding.where,
        "line": finding.line,
        "reason": finding.reason,
        "cure": finding.cure,
        "docs": finding.docs,
    }


def _print_sarif(findings: "Sequence[Finding]") -> None:
    from limen import __version__
    from limen.checks.check import all_checks
    from limen.checks.sarif import sarif

    print_json(sarif(findings, all_checks(), version=__version__))


def _explain(id: str) -> None:
    from limen.checks.check import all_checks

    wanted = id.lower().removeprefix("limen.")
    found = next((each for each in all_checks() if each.id.lower().removeprefix("limen.") == wanted), None)
    if found is None:
        raise ConfigurationError(
            f"There is nothing to explain for {id!a}: E101 to E805 are explained, a feature's own finding (below 100) "
            "says all there is; docs/checks.md lists them"
        )
    typer.echo(_explained(found))


def _explained(check: "Check") -> str:
    return f"{check.id} ({check.severity}): {check.title}\n\nWhy   {check.reason}\nCure  {check.cure}"
