"""`limen api-keys …`: make, list, rotate and revoke API keys; report one that leaked."""

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from limen.cli.apps import AppOption, run
from limen.cli.printing import JsonOption, print_json, print_table
from limen.errors import ConfigurationError, NotFound

if TYPE_CHECKING:
    from limen.auth import Auth
    from limen.db.accounts import Account
    from limen.db.users import UserMixin
    from limen.features.api_keys.service import ApiKeyService, NewApiKey
    from limen.features.api_keys.store import ApiKey

MAX_LISTED = 1000

group = typer.Typer(help="Make, list, rotate and revoke API keys; report leaked ones.", no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="As `limen api-keys list` shows it.")]


@group.command("create")
def create(
    user: Annotated[str, typer.Argument(metavar="USER", help="E-mail address, username, service name or id.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="What it is for.")] = "unnamed",
    scope: Annotated[
        list[str] | None, typer.Option(metavar="PERMISSION", help="Once per scope; else all that the owner holds.")
    ] = None,
    expires_in_days: Annotated[int | None, typer.Option(metavar="DAYS", min=1, help="Else it never expires.")] = None,
    network: Annotated[
        list[str] | None, typer.Option(metavar="CIDR", help="Once per network that it may come from.")
    ] = None,
    rate_limit: Annotated[str | None, typer.Option(metavar="RATE", help="Such as 100/minute, in each process.")] = None,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, once."""

    async def work(auth: "Auth[UserMixin]") -> dict[str, object]:
        keys = _keys(auth)
        new = await keys.create(
            await _find(auth, user),
            name=name,
            scopes=scope,
            expires_in=None if expires_in_days is None else timedelta(days=expires_in_days),
            allowed_networks=network or (),
            rate_limit=rate_limit,
        )
        return _new(keys, new)

    _print_new(run(app, work), as_json=as_json)


@group.command("list")
def list_keys(
    user: Annotated[str | None, typer.Argument(metavar="[USER]", help="Only theirs.")] = None,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the keys that were not revoked, the newest first."""

    async def work(auth: "Auth[UserMixin]") -> list[dict[str, object]]:
        keys = _keys(auth)
        if user is None:
            found = await keys.store.list_all(limit=MAX_LISTED)
        else:
            found = await keys.list(await _find(auth, user))
        return [_described(keys, key) for key in found]

    rows = run(app, work)
    if as_json:
        print_json(rows)
        return
    columns = ("id", "name", "owner", "scopes", "expires_at", "last_used_at")
    print_table(tuple(map(str.upper, columns)), [tuple(_cell(row[name]) for name in columns) for row in rows])


@group.command("revoke")
def revoke(key_id: KeyId, app: AppOption = None, as_json: JsonOption = False) -> None:
    """Take a key back; it is refused everywhere within a second."""

    async def work(auth: "Auth[UserMixin]") -> dict[str, object]:
        keys = _keys(auth)
        return _described(keys, await keys.revoke(_bare(keys, key_id), reason="revoked_by_operator"))

    done = run(app, work)
    if as_json:
        print_json(done)
    else:
        typer.echo(f"Revoked {done['id']} ({done['name']}).")


@group.command("rotate")
def rotate(
    key_id: KeyId,
    overlap_seconds: Annotated[
        int | None, typer.Option(metavar="SECONDS", min=0, help="How long the old key lives on.")
    ] = None,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the successor of a key and print it, once; the old one lives on for the overlap."""

    async def work(auth: "Auth[UserMixin]") -> dict[str, object]:
        keys = _keys(auth)
        overlap = None if overlap_seconds is None else timedelta(seconds=overlap_seconds)
        return _new(keys, await keys.rotate(_bare(keys, key_id), overlap=overlap))

    _print_new(run(app, work), as_json=as_json)


@group.command("leak")
def leak(
    key: Annotated[
        str, typer.Argument(metavar="[KEY]", help="- or nothing reads stdin: a log, a page, whatever holds keys.")
    ] = "-",
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke at once whatever genuine keys a text holds, and tell owner and audit."""
    text = sys.stdin.read() if key == "-" else key

    async def work(auth: "Auth[UserMixin]") -> list[dict[str, object]]:
        keys = _keys(auth)
        return [_described(keys, found) for found in await keys.report_leak(text)]

    found = run(app, work)
    if as_json:
        print_json(found)
    for each in () if as_json else found:
        typer.echo(f"Revoked {each['id']} ({each['name']}) of {each['owner']}.")
    if not found:
        typer.echo("limen: there is no key of this app in it", err=True)
        raise typer.Exit(1)


def _keys(auth: "Auth[UserMixin]") -> "ApiKeyService":
    from limen.features.api_keys import ApiKeys

    try:
        return auth[ApiKeys]
    except LookupError:
        raise ConfigurationError("This app has no API keys: add ApiKeys() to Auth(features=[…])") from None


async def _find(auth: "Auth[UserMixin]", name: str) -> "Account":
    from limen.features.accounts import Accounts

    try:
        return await auth[Accounts].find(name)
    except NotFound:
        raise ConfigurationError(f"There is no user or service with the name or id {name!a}") from None


def _bare(keys: "ApiKeyService", key_id: str) -> str:
    """The id, of which people may have copied the prefix too."""
    return key_id.removeprefix(keys.prefix)


def _new(keys: "ApiKeyService", new: "NewApiKey") -> dict[str, object]:
    return {**_described(keys, new.key), "key": new.text}


def _described(keys: "ApiKeyService", key: "ApiKey") -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": keys.shown(key),
        "owner": key.subject,
        "scopes": None if key.scopes is None else list(key.scopes),
        "allowed_networks": list(key.allowed_networks),
        "rate_limit": key.rate_limit,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
    }


def _print_new(key: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(key)
        return
    typer.echo(f"Made {key['id']} ({key['name']}).")
    typer.echo(f"Key: {key['key']}  (shown this once)")


def _cell(value: object) -> str:
    if isinstance(value, list):
        return " ".join(value)
    return "" if value is None else str(value)[:36]
