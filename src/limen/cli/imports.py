"""`limen import …`: take over the accounts of another app, with their passwords."""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limen.cli.apps import AppOption, run
from limen.cli.printing import JsonOption, print_json
from limen.errors import ConfigurationError

if TYPE_CHECKING:
    from limen.auth import Auth
    from limen.db.users import UserMixin
    from limen.features.imports import Report, Terms
    from limen.features.imports.sources import Product
    from limen.features.imports.sources.rows import Rows

SHOWN = 50
"""Rows that people see one by one; scripts get all with --json."""

group = typer.Typer(
    help="Take over the accounts of another app, with their passwords; run it again to go on.", no_args_is_help=True
)

FromOption = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="URL|FILE",
        envvar="LIMEN_IMPORT_FROM",
        help="A database URL, or a file: .csv, .tsv, .jsonl. A URL with a password is better set as LIMEN_IMPORT_FROM.",
    ),
]
TableOption = Annotated[str, typer.Option("--table", metavar="TABLE", help="Where the users are, in a database.")]


def _terms(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing, report what would be.")] = False,
    role: Annotated[
        list[str] | None, typer.Option("--role", metavar="ROLE", help="Once per role; else the app's default ones.")
    ] = None,
    superuser_role: Annotated[
        list[str] | None,
        typer.Option("--superuser-role", metavar="ROLE", help="What the other app's superusers get beside these."),
    ] = None,
    keep_ids: Annotated[
        bool, typer.Option("--keep-ids", help="Keep the users' ids; the key must be of their type.")
    ] = False,
    all_verified: Annotated[
        bool, typer.Option("--all-verified", help="The other app had verified every address.")
    ] = False,
    without_usernames: Annotated[bool, typer.Option("--without-usernames", help="Leave the usernames behind.")] = False,
    without_unreadable_passwords: Annotated[
        bool,
        typer.Option(
            "--without-unreadable-passwords", help="Take a user whose hash limen cannot check without a password."
        ),
    ] = False,
) -> "Terms":
    """The options that every source has, as what they mean."""
    from limen.features.imports import Terms

    return Terms(
        roles=None if role is None else tuple(role),
        superuser_roles=tuple(superuser_role or ()),
        keep_ids=keep_ids,
        all_verified=all_verified,
        without_usernames=without_usernames,
        without_unreadable_passwords=without_unreadable_passwords,
        dry_run=dry_run,
    )


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a command was asked for beside its source."""

    terms: "Terms"
    mapped: list[str]
    app: str | None
    as_json: bool


def _wanted(
    terms: "Terms",
    mapped: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="NAME=COLUMN", help="Take a column of limen's or of your own from this of theirs."
        ),
    ] = None,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> _Wanted:
    return _Wanted(terms, mapped or [], app, as_json)


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes the options of every source beside its own, and gets them as one value, `wanted`."""
    shared = [*signature(_terms).parameters.values(), *list(signature(_wanted).parameters.values())[1:]]
    own = [each for each in signature(command).parameters.values() if each.name != "wanted"]

    def run_with(**given: object) -> None:
        terms = _terms(**{name: given.pop(name) for name in signature(_terms).parameters})  # type: ignore[arg-type]
        rest = {name: given.pop(name) for name in ("mapped", "app", "as_json")}
        command(**given, wanted=_wanted(terms, **rest))  # type: ignore[arg-type]

    parameters = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in (*own, *shared)]
    run_with.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    run_with.__annotations__ = {each.name: each.annotation for each in parameters}
    run_with.__doc__ = command.__doc__
    return run_with


@group.command("fastapi-users")
@_with_options
def import_fastapi_users(source: FromOption, wanted: _Wanted, table: TableOption = "user") -> None:
    """Take over the users of fastapi-users (SQLAlchemy, SQLModel)."""
    from limen.features.imports.sources import FastapiUsers

    _take_over(_rows(source, table=table), FastapiUsers(), wanted)


@group.command("django")
@_with_options
def import_django(source: FromOption, wanted: _Wanted, table: TableOption = "auth_user") -> None:
    """Take over the users of django.contrib.auth."""
    from limen.features.imports.sources import Django

    _take_over(_rows(source, table=table), Django(), wanted)


@group.command("supabase")
@_with_options
def import_supabase(
    source: FromOption,
    wanted: _Wanted,
    project_url: Annotated[
        str,
        typer.Option("--project-url", metavar="URL", help="https://<ref>.supabase.co: whose tokens name these users."),
    ],
) -> None:
    """Take over the users of Supabase Auth, and who they are elsewhere."""
    from limen.core.discovery import check_url
    from limen.features.imports.sources import Supabase

    product = Supabase(check_url(project_url, of="--project-url"))
    _take_over(_rows(source, table="auth.users", identities="auth.identities"), product, wanted)


@group.command("better-auth")
@_with_options
def import_better_auth(
    source: FromOption,
    wanted: _Wanted,
    table: TableOption = "user",
    accounts: Annotated[
        str, typer.Option("--accounts", metavar="TABLE", help="Where their passwords and providers are.")
    ] = "account",
) -> None:
    """Take over the users of better-auth, and who they are elsewhere."""
    from limen.features.imports.sources import BetterAuth, DatabaseRows

    if "://" not in source:
        raise ConfigurationError("--from: better-auth keeps passwords in a table of their own: give the database's URL")
    _take_over(DatabaseRows(source, table=table, identities=accounts), BetterAuth(), wanted)


@group.command("firebase")
@_with_options
def import_firebase(
    source: Annotated[
        Path, typer.Option("--from", metavar="FILE", help="What `firebase auth:export users.json` wrote.")
    ],
    wanted: _Wanted,
    hash_config: Annotated[
        Path | None,
        typer.Option("--hash-config", metavar="FILE", help="The password hash parameters, as the console shows them."),
    ] = None,
) -> None:
    """Take over the users of Firebase Authentication, and who they are elsewhere."""
    from limen.features.imports.sources import Firebase, FirebaseRows, HashConfig

    config = None if hash_config is None else HashConfig.parse(_text_of(hash_config))
    _take_over(FirebaseRows(source), Firebase(config), wanted)


@group.command("csv")
@_with_options
def import_csv(source: FromOption, wanted: _Wanted, table: TableOption = "users") -> None:
    """Take over the users of a file or any table: id, email, username, password_hash, is_active, is_verified, …"""
    from limen.features.imports.sources import Plain

    _take_over(_rows(source, table=table), Plain(), wanted)


def _take_over(rows: "Rows", product: "Product", wanted: _Wanted) -> None:
    async def work(auth: "Auth[UserMixin]") -> "Report":
        from limen.features.imports import Imports
        from limen.features.imports.sources import Users

        users = Users(rows, product, renamed=_pairs(wanted.mapped), own=_own_columns(auth))
        return await Imports(auth.kernel, wanted.terms).run(users)

    report = run(wanted.app, work)
    if wanted.as_json:
        print_json(_described(report))
    else:
        _print(report)
    if report.refused:
        raise typer.Exit(1)


def _rows(source: str, *, table: str, identities: str | None = None) -> "Rows":
    from limen.features.imports.sources import DatabaseRows, rows_of_file

    if "://" in source:
        return DatabaseRows(source, table=table, identities=identities)
    return rows_of_file(Path(source))


def _own_columns(auth: "Auth[UserMixin]") -> list[str]:
    """What `--map` may set beside limen's columns: neither these nor the key."""
    from limen.db.users import UserMixin

    columns = auth.kernel.tables.users.c
    return [column.name for column in columns if column.name not in vars(UserMixin) and not column.primary_key]


def _pairs(given: list[str]) -> dict[str, str]:
    pairs = dict[str, str]()
    for text in given:
        name, separator, column = text.partition("=")
        if not separator or not name or not column:
            raise ConfigurationError(f"--map {text}: write it as NAME=COLUMN, for example --map email=mail")
        pairs[name] = column
    return pairs


def _text_of(path: Path) -> str:
    try:
        return path.read_bytes()[:65536].decode("utf-8", "replace")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None


def _described(report: "Report") -> dict[str, object]:
    return {
        "source": report.source,
        "dry_run": report.dry_run,
        "read": report.read,
        "imported": report.imported,
        "already_there": report.already_there,
        "refused": report.refused,
        "without_password": report.without_password,
        "identities": report.identities,
        "bad_rows": [{"row": row.number, "id": row.id, "reason": row.reason} for row in report.bad_rows],
    }


def _print(report: "Report") -> None:
    verb = "Would import" if report.dry_run else "Imported"
    beside = [f"{report.without_password:,} without a password" if report.without_password else ""]
    beside.append(f"identities elsewhere: {report.identities:,}" if report.identities else "")
    said = ", ".join(each for each in beside if each)
    typer.echo(f"{verb} {report.imported:,} of {report.read:,} users{f' ({said})' if said else ''}.")
    typer.echo(f"There already, and left as they are: {report.already_there:,}.")
    if not report.refused:
        return
    typer.echo(f"Left out: {report.refused:,}.")
    for row in report.bad_rows[:SHOWN]:
        known_as = f" (id {row.id})" if row.id else ""
        typer.echo(f"  row {row.number}{known_as}: {row.reason}")
    if report.refused > SHOWN:
        typer.echo(f"  … and {report.refused - SHOWN:,} more: --json names them all")
