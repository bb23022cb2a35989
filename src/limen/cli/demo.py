"""`limen demo`: the demo app with nothing to set up."""

import asyncio
import errno
import os
import secrets
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from limen.errors import ConfigurationError, EmailTaken

if TYPE_CHECKING:
    from collections.abc import Iterable

    from limen.auth import Auth
    from limen.core.roles import Role
    from limen.db.users import UserMixin

    U = TypeVar("U", bound=UserMixin)

ADMIN = "admin@example.com"


def demo(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    data: Annotated[Path, typer.Option(metavar="DIR", help="Where its secret and SQLite file are.")] = Path(
        ".limen-demo"
    ),
) -> None:
    """Serve the demo app: migrated, with a first admin, ready to try."""
    check_server(host, port, command="limen demo")
    _fill_settings(data, port)

    from limen.demo import auth

    password = asyncio.run(make_ready(auth))
    url = f"http://{name_of(host)}:{port}"
    typer.echo(greeting("limen demo", url, password, before=f"as before; to begin anew, delete {data}"))
    serve("limen.demo:app", host, port, workers=workers)


def check_server(host: str, port: int, *, command: str) -> None:
    """Say in one sentence what would fail two seconds later in many lines.

    Raises:
        ConfigurationError: there is no uvicorn, or nothing can listen there.
    """
    if find_spec("uvicorn") is None:
        raise ConfigurationError(f"{command} needs uvicorn, which is not installed: pip install 'limen[server]'")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"Port {port} of {host} is taken: stop what listens there, or take another, "
                f"`{command} --port {port + 1}`"
            ) from None
        reason = str(error.strerror).partition(" (while")[0]
        raise ConfigurationError(f"{command} --host {host} --port {port} cannot listen there: {reason}") from None


def _fill_settings(data: Path, port: int) -> None:
    """Set what the environment and `.env` leave open; worker processes inherit it."""
    from limen.settings import AuthSettings

    given = AuthSettings.load()
    if given.secret_key is None or not given.secret_key.get_secret_value():
        os.environ["LIMEN_SECRET_KEY"] = _kept_secret(data)
    if "database_url" not in given.model_fields_set:
        os.environ["LIMEN_DATABASE_URL"] = _sqlite_url(data)
    if "base_url" not in given.model_fields_set:
        os.environ["LIMEN_BASE_URL"] = f"http://localhost:{port}"


def _kept_secret(data: Path) -> str:
    """The secret of the last start, so that who was signed in still is."""
    path = _folder(data) / "secret"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(48), "ascii")
    return path.read_text("ascii").strip()


def _sqlite_url(data: Path) -> str:
    from sqlalchemy import URL

    path = _folder(data) / "limen.db"
    return URL.create("sqlite+aiosqlite", database=str(path)).render_as_string()


def _folder(data: Path) -> Path:
    """The data folder, for this user's eyes and no repository's."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data / ".gitignore").write_text("*\n", "ascii")
    except OSError as error:
        raise ConfigurationError(f"--data {data}: {error.strerror}") from None
    return data.resolve()


async def make_ready(auth: "Auth[U]") -> str | None:
    """Migrate and make the first admin where that is still to do; the admin's password if it was made now."""
    from limen.db.migrate import migrate

    try:
        await migrate(auth.kernel.database, auth.kernel.tables)
        return await _make_first_admin(auth)
    finally:
        await auth.kernel.database.dispose()


async def _make_first_admin(auth: "Auth[U]") -> str | None:
    from limen.features.accounts import Accounts

    if Accounts.name not in auth.features:  # people come from elsewhere
        return None
    if await auth[Accounts].list(limit=1):
        return None
    password = secrets.token_urlsafe(12)
    try:
        async with auth:
            await auth[Accounts].register(
                email=ADMIN, password=password, roles=_highest(auth.kernel.roles.values()), is_verified=True
            )
    except EmailTaken:  # another process was faster
        return None
    return password


def _highest(roles: "Iterable[Role]") -> list[str]:
    """The role that may do everything, if the app declares one."""
    return [role.name for role in roles if "*" in role.permissions][:1]


def name_of(host: str) -> str:
    return "localhost" if host in ("127.0.0.1", "::1", "0.0.0.0", "::") else host  # noqa: S104 - a comparison


def greeting(command: str, url: str, password: str | None, *, before: str) -> str:
    """Where the app is, and how its first admin signs in; `before` says what became of the users there were."""
    admin = f"  admin     {ADMIN}\n  password  {password}   (shown this once)" if password else f"  users     {before}"
    return f"\n{command}\n\n  app       {url}\n  try it    {url}/docs\n{admin}\n"


def serve(app: str, host: str, port: int, *, workers: int = 1) -> None:
    """Serve the app of this name until Ctrl-C; forwarded headers count only as the settings say."""
    import uvicorn

    uvicorn.run(app, host=host, port=port, workers=workers, proxy_headers=False)
