"""`limen users …`: make, list, disable, enable users, give them passwords."""

import secrets
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from limen.cli.apps import AppOption, run
from limen.cli.printing import JsonOption, print_json, print_table
from limen.errors import ConfigurationError, NotFound

if TYPE_CHECKING:
    from limen.auth import Auth
    from limen.db.accounts import Account
    from limen.db.database import ConstraintViolation
    from limen.db.users import UserMixin

PAGE = 500

group = typer.Typer(help="Make, list, disable and enable users; set passwords.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="USER", help="E-mail address, username or id.")]
PasswordOption = Annotated[
    str | None,
    typer.Option(
        "--password", metavar="PASSWORD", help="- reads it from stdin, which keeps it out of the process list."
    ),
]
GenerateOption = Annotated[bool, typer.Option("--generate-password", help="Make one up and print it, once.")]


@group.command("create")
def create(
    email: Annotated[str, typer.Option(metavar="EMAIL", help="Its e-mail address.")],
    password: PasswordOption = None,
    generate: GenerateOption = False,
    username: Annotated[str | None, typer.Option(metavar="NAME", help="A second name to sign in with.")] = None,
    role: Annotated[
        list[str] | None, typer.Option(metavar="ROLE", help="Once per role; else the app's default ones.")
    ] = None,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a user; without a password option, the terminal asks for it."""
    chosen = _choose_password(password, generate=generate)

    async def work(auth: "Auth[UserMixin]") -> dict[str, object]:
        from limen.db.database import ConstraintViolation
        from limen.features.accounts import Accounts

        _check_roles(auth, role or ())
        try:
            account = await auth[Accounts].register(email=email, password=chosen, username=username, roles=role)
        except ConstraintViolation as violation:
            raise ConfigurationError(_refused_row(violation)) from None
        return auth.kernel.users.describe(account)

    _report(run(app, work), "Created", password=chosen if generate else None, as_json=as_json)


@group.command("list")
def list_users(
    role: Annotated[str | None, typer.Option(metavar="ROLE", help="Only who holds it.")] = None,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """List users in the order of their ids."""

    async def work(auth: "Auth[UserMixin]") -> list[dict[str, object]]:
        _check_roles(auth, [role] if role else ())
        return [auth.kernel.users.describe(account) for account in await _every_account(auth, role)]

    found = run(app, work)
    if as_json:
        print_json(found)
    else:
        print_table(("EMAIL", "USERNAME", "ROLES", "STATE", "ID"), map(_row, found))


@group.command("disable")
def disable(user: Name, app: AppOption = None, as_json: JsonOption = False) -> None:
    """Shut a user out: every session ends, every credential is refused."""
    _report(_set_active(app, user, active=False), "Disabled", as_json=as_json)


@group.command("enable")
def enable(user: Name, app: AppOption = None, as_json: JsonOption = False) -> None:
    """Let a disabled user in again."""
    _report(_set_active(app, user, active=True), "Enabled", as_json=as_json)


@group.command("set-password")
def set_password(
    user: Name,
    password: PasswordOption = None,
    generate: GenerateOption = False,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a user another password; every session of theirs ends."""
    chosen = _choose_password(password, generate=generate)

    async def work(auth: "Auth[UserMixin]") -> dict[str, object]:
        from limen.features.passwords import Passwords

        account = await _find(auth, user)
        await auth[Passwords].set(account.id, chosen)
        return auth.kernel.users.describe(account)

    _report(run(app, work), "Set the password of", password=chosen if generate else None, as_json=as_json)


def _set_active(app: str | None, user: str, *, active: bool) -> dict[str, object]:
    async def work(auth: "Auth[UserMixin]") -> dict[str, object]:
        from limen.features.accounts import Accounts

        account = await _find(auth, user)
        return auth.kernel.users.describe(await auth[Accounts].set_active(account.id, active))

    return run(app, work)


async def _find(auth: "Auth[UserMixin]", name: str) -> "Account":
    from limen.features.accounts import Accounts

    try:
        return await auth[Accounts].find(name)
    except NotFound:
        raise ConfigurationError(f"There is no user with the e-mail address, username or id {name!a}") from None


async def _every_account(auth: "Auth[UserMixin]", role: str | None) -> "list[Account]":
    from limen.features.accounts import Accounts

    found: list[Account] = []
    while True:
        after = found[-1].subject if found else None
        page = await auth[Accounts].list(role=role, limit=PAGE, after=after)
        found.extend(page)
        if len(page) < PAGE:
            return found


def _check_roles(auth: "Auth[UserMixin]", names: Iterable[str]) -> None:
    declared = auth.kernel.roles
    unknown = [name for name in names if name not in declared]
    if unknown:
        there_are = f"this app declares {', '.join(sorted(declared))}" if declared else "this app declares none"
        raise ConfigurationError(f"There is no role {unknown[0]!a}: {there_are} (Auth(roles=[…]))")


def _refused_row(violation: "ConstraintViolation") -> str:
    """A constraint of the app's own columns, of which this command knows nothing."""
    said = violation.constraint.partition("\n")[0]
    return (
        f"The user table refuses the row ({said}): give the model's own columns defaults, "
        "or make the user in Python, auth[Accounts].register(…, values={…})"
    )


def _choose_password(given: str | None, *, generate: bool) -> str:
    if generate and given is not None:
        raise typer.BadParameter("give --password or --generate-password, not both")
    if generate:
        return secrets.token_urlsafe(18)
    if given == "-":
        return sys.stdin.readline().rstrip("\r\n")
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise typer.BadParameter("no terminal to ask on: give --password -, --password PASSWORD or --generate-password")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _report(user: dict[str, object], verb: str, *, password: str | None = None, as_json: bool) -> None:
    if as_json:
        print_json(user if password is None else {**user, "password": password})
        return
    roles = user["roles"]
    held = f" ({', '.join(roles)})" if isinstance(roles, list) and roles else ""
    typer.echo(f"{verb} {user['email']}{held}.")
    if password is not None:
        typer.echo(f"Password: {password}  (shown this once)")


def _row(user: dict[str, object]) -> tuple[str, ...]:
    roles = user["roles"]
    held = ", ".join(roles) if isinstance(roles, list) else ""
    state = "active" if user["is_active"] else "disabled"
    return str(user["email"]), str(user["username"] or ""), held, state, str(user["id"])
