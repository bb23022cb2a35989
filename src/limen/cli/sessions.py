"""`limen sessions …`: end everybody's."""

from typing import TYPE_CHECKING, Annotated

import typer

from limen.cli.apps import AppOption, run

if TYPE_CHECKING:
    from limen.auth import Auth
    from limen.db.users import UserMixin

group = typer.Typer(help="End everybody's sessions.", no_args_is_help=True)


@group.callback()
def sessions() -> None:
    """One person's end by `limen users disable`, or by the route of administration."""


@group.command("end-all")
def end_all(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether that is meant.")] = False,
    app: AppOption = None,
) -> None:
    """Sign everybody out, on every device; API keys and sessions at other issuers go on."""

    async def work(auth: "Auth[UserMixin]") -> int:
        from limen.features.sessions import Sessions

        return await auth[Sessions].end_everybodys()

    if not yes:
        typer.confirm("Sign everybody out, on every device?", abort=True)
    typer.echo(f"Ended {run(app, work)} sessions.")
