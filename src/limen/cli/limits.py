"""`limen limits …`: give an account its tries back."""

from typing import TYPE_CHECKING, Annotated

import typer

from limen.cli.apps import AppOption, run

if TYPE_CHECKING:
    from limen.auth import Auth
    from limen.db.users import UserMixin

group = typer.Typer(help="Give an account its tries back.", no_args_is_help=True)


@group.callback()
def limits() -> None:
    """Tries are counted by account and by address."""


@group.command("clear")
def clear(
    user: Annotated[str, typer.Argument(metavar="USER", help="E-mail address, username or id.")],
    app: AppOption = None,
) -> None:
    """Give an account its tries back; what addresses used up stays used up."""

    async def work(auth: "Auth[UserMixin]") -> str:
        from limen.features.accounts import Accounts
        from limen.features.limits import Limits

        account = await auth[Accounts].find(user)
        await auth[Limits].clear(account)
        return account.email

    typer.echo(f"{run(app, work)} has its tries back")
