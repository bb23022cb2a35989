"""`limen services …`: make and list service accounts, give and take back what proves them."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limen.cli.apps import AppOption, run
from limen.cli.printing import JsonOption, print_json, print_table
from limen.errors import ConfigurationError, NotFound

if TYPE_CHECKING:
    from limen.auth import Auth
    from limen.db.accounts import Account
    from limen.db.users import UserMixin
    from limen.features.services.service import ServiceAccounts

group = typer.Typer(help="Make and list service accounts, their secrets and keys.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="SERVICE", help="Its name or client id.")]
Expires = Annotated[int | None, typer.Option(metavar="DAYS", min=1, help="Else the secret never expires.")]


@group.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Unique among the usernames.")],
    role: Annotated[list[str] | None, typer.Option(metavar="ROLE", help="Once per role.")] = None,
    permission: Annotated[list[str] | None, typer.Option(metavar="PERMISSION", help="Once per permission.")] = None,
    secret: Annotated[bool, typer.Option(help="Give it a first secret and print it, once.")] = True,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a service account: it cannot sign in, it gets tokens and API keys."""

    async def work(auth: "Auth[UserMixin]") -> dict[str, object]:
        services = _services(auth)
        account = await services.create(name, roles=role or (), permissions=permission or ())
        shown = _described(account)
        return {**shown, "client_secret": (await services.add_secret(account)).text} if secret else shown

    _print_made(run(app, work), "Made", as_json=as_json)


@group.command("list")
def list_services(app: AppOption = None, as_json: JsonOption = False) -> None:
    """List service accounts by name."""

    async def work(auth: "Auth[UserMixin]") -> list[dict[str, object]]:
        return [_described(account) for account in await _services(auth).list()]

    found = run(app, work)
    if as_json:
        print_json(found)
        return
    states = {True: "active", False: "disabled"}
    rows = [(str(each["name"]), str(each["client_id"]), states[bool(each["is_active"])]) for each in found]
    print_table(("NAME", "CLIENT ID", "STATE"), rows)


@group.command("add-secret")
def add_secret(
    service: Name,
    expires_in_days: Expires = None,
    overlap_seconds: Annotated[
        int | None, typer.Option(metavar="SECONDS", min=0, help="Its present secrets end after this long.")
    ] = None,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give it another secret and print it, once."""

    async def work(auth: "Auth[UserMixin]") -> dict[str, object]:
        services = _services(auth)
        account = await _find(services, service)
        new = await services.add_secret(
            account,
            expires_in=None if expires_in_days is None else timedelta(days=expires_in_days),
            overlap=None if overlap_seconds is None else timedelta(seconds=overlap_seconds),
        )
        return {**_described(account), "credential_id": new.credential.id, "client_secret": new.text}

    _print_made(run(app, work), "Gave a secret to", as_json=as_json)


@group.command("add-key")
def add_key(
    service: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A public key, as PEM or JWK.", exists=True)],
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let it prove itself by assertions that it signs (private_key_jwt)."""
    text = file.read_text()

    async def work(auth: "Auth[UserMixin]") -> dict[str, object]:
        services = _services(auth)
        account = await _find(services, service)
        return {**_described(account), "credential_id": (await services.add_key(account, text)).id}

    _print_made(run(app, work), "Gave a key to", as_json=as_json)


@group.command("credentials")
def list_credentials(service: Name, app: AppOption = None, as_json: JsonOption = False) -> None:
    """List the secrets and keys that it can use."""

    async def work(auth: "Auth[UserMixin]") -> list[dict[str, object]]:
        services = _services(auth)
        found = await services.credentials(await _find(services, service))
        names = ("id", "method", "created_at", "expires_at")
        return [{name: getattr(each, name) for name in names} for each in found]

    found = run(app, work)
    if as_json:
        print_json(found)
    else:
        rows = [tuple("" if value is None else str(value) for value in each.values()) for each in found]
        print_table(("ID", "METHOD", "CREATED AT", "EXPIRES AT"), rows)


@group.command("revoke")
def revoke(
    service: Name,
    credential_id: Annotated[str, typer.Argument(metavar="ID", help="As `limen services credentials` shows it.")],
    app: AppOption = None,
) -> None:
    """Take a secret or key back, and every token that the service has."""

    async def work(auth: "Auth[UserMixin]") -> None:
        services = _services(auth)
        await services.revoke_credential(await _find(services, service), credential_id)

    run(app, work)
    typer.echo(f"Revoked {credential_id}.")


def _services(auth: "Auth[UserMixin]") -> "ServiceAccounts":
    from limen.features.services import Services

    try:
        return auth[Services]
    except LookupError:
        raise ConfigurationError("This app has no service accounts: add Services() to Auth(features=[…])") from None


async def _find(services: "ServiceAccounts", name: str) -> "Account":
    try:
        return await services.find(name)
    except NotFound:
        raise ConfigurationError(f"There is no service account with the name or client id {name!a}") from None


def _described(account: "Account") -> dict[str, object]:
    return {
        "client_id": account.subject,
        "name": account.columns["username"],
        "is_active": account.held.is_active,
        "roles": sorted(account.held.roles),
        "permissions": sorted(account.held.permissions),
        "created_at": account.columns["created_at"],
    }


def _print_made(service: dict[str, object], verb: str, *, as_json: bool) -> None:
    if as_json:
        print_json(service)
        return
    typer.echo(f"{verb} {service['name']}.")
    typer.echo(f"Client id: {service['client_id']}")
    if "client_secret" in service:
        typer.echo(f"Client secret: {service['client_secret']}  (shown this once)")
