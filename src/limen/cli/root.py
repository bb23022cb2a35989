"""The root of the command line: its groups, and the one place where an error becomes a sentence."""

import os
from difflib import get_close_matches
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from limen.cli import (
    api_keys,
    attack,
    audit,
    check,
    database,
    demo,
    dev,
    explain,
    imports,
    keys,
    limits,
    mail,
    project,
    purge,
    routes,
    services,
    sessions,
    users,
)
from limen.cli.apps import ENVIRONMENT_NAME
from limen.cli.errors import sentence
from limen.errors import AuthError, ConfigurationError


class Root(TyperGroup):
    """Knows limen's own groups, and finds those of an app's features when one is asked for."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """limen's own command, or the group of a feature; a slip of the pen does not load the app."""
        own = super().get_command(ctx, cmd_name)
        if own is not None or get_close_matches(cmd_name, self.commands):
            return own
        return _feature_group(cmd_name, ctx.params.get("app"))  # the callback has not run yet

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what limen refuses ends in one sentence on stderr and status 1."""
        try:
            return super().invoke(ctx)
        except (ConfigurationError, AuthError) as error:
            typer.echo(f"limen: {sentence(error)}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=Root,
    help="Authentication and authorization for FastAPI: set up, migrate, manage users and keys, see who may do what.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # they show local variables, passwords among them
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(project.init)
app.command("migrate")(database.migrate)
app.add_typer(users.group, name="users")
app.add_typer(sessions.group, name="sessions")
app.add_typer(api_keys.group, name="api-keys")
app.add_typer(services.group, name="services")
app.add_typer(keys.group, name="keys")
app.add_typer(mail.group, name="mail")
app.add_typer(audit.group, name="audit")
app.add_typer(limits.group, name="limits")
app.add_typer(imports.group, name="import")
app.command("purge")(purge.purge)
app.command("routes")(routes.routes)
app.command("explain")(explain.explain)
app.command("check")(check.check)
app.command("attack")(attack.attack)
app.command("dev")(dev.dev)
app.command("demo")(demo.demo)


def _show_version(wanted: bool) -> None:
    if wanted:
        from limen import __version__

        typer.echo(f"limen {__version__}")
        raise typer.Exit


@app.callback()
def root(
    app: Annotated[str | None, typer.Option(metavar="MODULE:ATTR", help="The Auth, or the app that it guards.")] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The options that stand before a command."""
    if app:
        os.environ[ENVIRONMENT_NAME] = app


def _feature_group(name: str, app: str | None) -> Any:
    from limen.cli.apps import load_auth

    for feature in load_auth(app).features.values():
        group = feature.cli() if feature.name == name else None
        if group is not None:
            return typer.main.get_command(group)
    return None
