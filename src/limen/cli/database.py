"""`limen migrate`."""

from typing import TYPE_CHECKING

import typer

from limen.cli.apps import AppOption, run
from limen.cli.printing import JsonOption, print_json

if TYPE_CHECKING:
    from limen.auth import Auth
    from limen.db.migrate import Migration
    from limen.db.users import UserMixin


def migrate(app: AppOption = None, as_json: JsonOption = False) -> None:
    """Bring the database to the tables of this limen; safe to run again, and by several at once."""
    done = run(app, _migrate, started=False)
    if as_json:
        print_json({"before": done.before, "after": done.after, "changed": done.changed})
    elif done.changed:
        typer.echo(f"Migrated the database from {done.before or 'nothing'} to {done.after}.")
    else:
        typer.echo(f"The database is up to date ({done.after}).")


async def _migrate(auth: "Auth[UserMixin]") -> "Migration":
    from limen.db.migrate import migrate

    return await migrate(auth.kernel.database, auth.kernel.tables)
