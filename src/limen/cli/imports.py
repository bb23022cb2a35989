"""`limen import …`: take over the accounts of another app, with their passwords."""

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
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Write nothing, report what would be.")]
RoleOption = Annotated[
    list[str] | None, typer.Option("--role", metavar="ROLE", help="Once per role; else the app's default ones.")
]
SuperuserRoleOption = Annotated[
    list[str] | None,
    typer.Option("--superuser-role", metavar="ROLE", help="What the other app's superusers get beside these."),
]
MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map", metavar="NAME=COLUMN", help="Take a column of limen's or of your own from this one of theirs."
    ),
]
KeepIdsOption = Annotated[bool, typer.Option("--keep-ids", help="Keep the users' ids; the key must be of their type.")]
VerifiedOption = Annotated[bool, typer.Option("--all-verified", help="The other app had verified every address.")]
NoUsernamesOption = Annotated[bool, typer.Option("--without-usernames", help="Leave the usernames behind.")]
NoBadPasswordsOption = Annotated[
    bool,
    typer.Option(
        "--without-unreadable-passwords", help="Take a user whose hash limen cannot check without a password."
    ),
]


@group.command("fastapi-users")
def import_fastapi_users(
    source: FromOption,
    table: Annotated[str, typer.Option(metavar="TABLE", help="Where its users are.")] = "user",
    dry_run: DryRunOption = False,
    role: RoleOption = None,
    superuser_role: SuperuserRoleOption = None,
    mapped: MapOption = None,
    keep_ids: KeepIdsOption = False,
    all_verified: VerifiedOption = False,
    without_unreadable_passwords: NoBadPasswordsOption = False,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take over the users of fastapi-users (SQLAlchemy, SQLModel)."""
    from limen.features.imports import Terms
    from limen.features.imports.sources import FastapiUsers

    terms = Terms(
        roles=_names(role),
        superuser_roles=_names(superuser_role) or (),
        keep_ids=keep_ids,
        all_verified=all_verified,
        without_unreadable_passwords=without_unreadable_passwords,
        dry_run=dry_run,
    )
    _take_over(app, _rows(source, table=table), FastapiUsers(), terms, mapped, as_json=as_json)


@group.command("django")
def import_django(
    source: FromOption,
    table: Annotated[str, typer.Option(metavar="TABLE", help="Where its users are.")] = "auth_user",
    dry_run: DryRunOption = False,
    role: RoleOption = None,
    superuser_role: SuperuserRoleOption = None,
    mapped: MapOption = None,
    keep_ids: KeepIdsOption = False,
    all_verified: VerifiedOption = False,
    without_usernames: NoUsernamesOption = False,
    without_unreadable_passwords: NoBadPasswordsOption = False,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take over the users of django.contrib.auth."""
    from limen.features.imports import Terms
    from limen.features.imports.sources import Django

    terms = Terms(
        roles=_names(role),
        superuser_roles=_names(superuser_role) or (),
        keep_ids=keep_ids,
        all_verified=all_verified,
        without_usernames=without_usernames,
        without_unreadable_passwords=without_unreadable_passwords,
        dry_run=dry_run,
    )
    _take_over(app, _rows(source, table=table), Django(), terms, mapped, as_json=as_json)


@group.command("supabase")
def import_supabase(
    source: FromOption,
    project_url: Annotated[
        str, typer.Option(metavar="URL", help="https://<ref>.supabase.co: whose tokens name these users.")
    ],
    dry_run: DryRunOption = False,
    role: RoleOption = None,
    superuser_role: SuperuserRoleOption = None,
    mapped: MapOption = None,
    keep_ids: KeepIdsOption = False,
    all_verified: VerifiedOption = False,
    without_unreadable_passwords: NoBadPasswordsOption = False,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take over the users of Supabase Auth, and who they are elsewhere."""
    from limen.core.discovery import check_url
    from limen.features.imports import Terms
    from limen.features.imports.sources import Supabase

    terms = Terms(
        roles=_names(role),
        superuser_roles=_names(superuser_role) or (),
        keep_ids=keep_ids,
        all_verified=all_verified,
        without_unreadable_passwords=without_unreadable_passwords,
        dry_run=dry_run,
    )
    product = Supabase(check_url(project_url, of="--project-url"))
    rows = _rows(source, table="auth.users", identities="auth.identities")
    _take_over(app, rows, product, terms, mapped, as_json=as_json)


@group.command("firebase")
def import_firebase(
    source: Annotated[
        Path, typer.Option("--from", metavar="FILE", help="What `firebase auth:export users.json` wrote.")
    ],
    hash_config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The project's password hash parameters, as the console shows them."),
    ] = None,
    dry_run: DryRunOption = False,
    role: RoleOption = None,
    mapped: MapOption = None,
    keep_ids: KeepIdsOption = False,
    all_verified: VerifiedOption = False,
    without_unreadable_passwords: NoBadPasswordsOption = False,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take over the users of Firebase Authentication, and who they are elsewhere."""
    from limen.features.imports import Terms
    from limen.features.imports.sources import Firebase, FirebaseRows, HashConfig

    terms = Terms(
        roles=_names(role),
        keep_ids=keep_ids,
        all_verified=all_verified,
        without_unreadable_passwords=without_unreadable_passwords,
        dry_run=dry_run,
    )
    config = None if hash_config is None else HashConfig.parse(_text_of(hash_config))
    _take_over(app, FirebaseRows(source), Firebase(config), terms, mapped, as_json=as_json)


@group.command("csv")
def import_csv(
    source: FromOption,
    table: Annotated[str, typer.Option(metavar="TABLE", help="Where the users are, in a database.")] = "users",
    dry_run: DryRunOption = False,
    role: RoleOption = None,
    superuser_role: SuperuserRoleOption = None,
    mapped: MapOption = None,
    keep_ids: KeepIdsOption = False,
    all_verified: VerifiedOption = False,
    without_usernames: NoUsernamesOption = False,
    without_unreadable_passwords: NoBadPasswordsOption = False,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take over the users of a file or any table: id, email, username, password_hash, is_active, is_verified, …"""
    from limen.features.imports import Terms
    from limen.features.imports.sources import Plain

    terms = Terms(
        roles=_names(role),
        superuser_roles=_names(superuser_role) or (),
        keep_ids=keep_ids,
        all_verified=all_verified,
        without_usernames=without_usernames,
        without_unreadable_passwords=without_unreadable_passwords,
        dry_run=dry_run,
    )
    _take_over(app, _rows(source, table=table), Plain(), terms, mapped, as_json=as_json)


def _take_over(
    app: str | None, rows: "Rows", product: "Product", terms: "Terms", mapped: list[str] | None, *, as_json: bool
) -> None:
    async def work(auth: "Auth[UserMixin]") -> "Report":
        from limen.features.imports import Imports
        from limen.features.imports.sources import Users

        users = Users(rows, product, renamed=_pairs(mapped or ()), own=_own_columns(auth))
        return await Imports(auth.kernel, terms).run(users)

    report = run(app, work)
    if as_json:
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


def _pairs(given: "list[str] | tuple[()]") -> dict[str, str]:
    pairs = dict[str, str]()
    for text in given:
        name, separator, column = text.partition("=")
        if not separator or not name or not column:
            raise ConfigurationError(f"--map {text}: write it as NAME=COLUMN, for example --map email=mail")
        pairs[name] = column
    return pairs


def _names(given: list[str] | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(given)


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
