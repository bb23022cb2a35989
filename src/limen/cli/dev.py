"""`limen dev`: one's own app as `limen demo` serves the demo, migrated and with a first admin."""

import asyncio
import os
from typing import Annotated

import typer

from limen.cli.apps import AppOption, app_name, load_auth
from limen.cli.demo import check_server, greeting, make_ready, name_of, serve
from limen.errors import ConfigurationError

DEFAULT_PORT = 8000


def dev(
    name: Annotated[str | None, typer.Argument(metavar="MODULE:ATTR", help="The app; the same as --app.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = DEFAULT_PORT,
    app: AppOption = None,
) -> None:
    """Serve your app to yourself: migrated, and with a first admin where there is no user yet."""
    check_server("127.0.0.1", port, command="limen dev")
    if port != DEFAULT_PORT:
        os.environ.setdefault("LIMEN_BASE_URL", f"http://localhost:{port}")
    served = app_name(name or app)
    auth = load_auth(served)
    if auth.settings.is_secure:
        raise ConfigurationError(
            f"LIMEN_BASE_URL is {auth.settings.base_url}: limen dev is for this machine, and would make an admin in "
            "that app's database. Unset it here, or run `limen migrate` and uvicorn."
        )
    password = asyncio.run(make_ready(auth))
    typer.echo(greeting("limen dev", f"http://{name_of('127.0.0.1')}:{port}", password, before="as before"))
    serve(served, "127.0.0.1", port)
