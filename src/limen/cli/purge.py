"""`limen purge`: delete what has expired now, not only when a worker does."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from limen.cli.apps import AppOption, run
from limen.cli.printing import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from limen.auth import Auth
    from limen.db.users import UserMixin


def purge(app: AppOption = None, as_json: JsonOption = False) -> None:
    """Delete whatever has expired, and the accounts whose grace is over; status 1 if something could not be."""

    async def work(auth: "Auth[UserMixin]") -> Mapping[str, int | None]:
        return await auth.kernel.follower.purge()

    purged = run(app, work)
    if as_json:
        print_json(dict(purged))
    else:
        print_table(("WHAT", "DELETED"), [(name, _said(count)) for name, count in purged.items()])
    if None in purged.values():
        raise typer.Exit(1)


def _said(count: int | None) -> str:
    return "failed" if count is None else str(count)
