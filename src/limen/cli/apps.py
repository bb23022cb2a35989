"""Finds the `Auth` that a command is about, and runs the command's work on it."""

import asyncio
import getpass
import importlib
import os
import re
import sys
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from limen.cli.errors import words_of
from limen.cli.existing_app import app_beside
from limen.core.cause import Operator, caused_by
from limen.errors import ConfigurationError

if TYPE_CHECKING:
    from limen.auth import Auth
    from limen.db.users import UserMixin

T = TypeVar("T")

ENVIRONMENT_NAME = "LIMEN_APP"
FOUND = ("main", "app", "app.main")
"""Modules that need not be named: FastAPI's documentation has its apps there."""

AppOption = Annotated[
    str | None,
    typer.Option(
        "--app",
        metavar="MODULE:ATTR",
        help="The Auth, or the app that it guards; else LIMEN_APP, main.py or app.py here, or limen's demo.",
    ),
]


def run(app: str | None, work: "Callable[[Auth[UserMixin]], Awaitable[T]]", *, started: bool = True) -> T:
    """Load the `Auth` and do `work` with it.

    Args:
        started: the database is checked first; else the work meets it as it is.

    Raises:
        ConfigurationError: there is no such `Auth`, or its database cannot be reached or is not migrated.
        AuthError: whatever the work refuses.
    """
    return asyncio.run(_run(load_auth(app), work, started=started))


async def _run(auth: "Auth[UserMixin]", work: "Callable[[Auth[UserMixin]], Awaitable[T]]", *, started: bool) -> T:
    _leave_mail_to_workers(auth)
    running: AbstractAsyncContextManager[object] = auth if started else nullcontext()
    try:
        with caused_by(Operator(_whoever_is_here())):
            async with running:
                return await work(auth)
    finally:
        await auth.kernel.database.dispose()  # an engine of the app's own too: this process ends here


def _leave_mail_to_workers(auth: "Auth[UserMixin]") -> None:
    """What a command posts waits in the outbox: it should not stay for a mail server, or print letters."""
    from limen.features.mail import Mail

    for feature in auth.features.values():
        if isinstance(feature, Mail):
            feature.delivery.is_left_to_others = True


def _whoever_is_here() -> str | None:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container's number without a name
        return None


def load_auth(app: str | None) -> "Auth[UserMixin]":
    """The `Auth` that `--app`, `LIMEN_APP` or the working directory names, or the demo's.

    Raises:
        ConfigurationError: it cannot be imported, or there is none, or more than one.
    """
    name = given_name(app)
    return _named(name) if name else _in_working_directory() or _demo()


def given_name(app: str | None) -> str | None:
    """What `--app` or `LIMEN_APP` says; from here on, modules of the working directory can be imported."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    # Taken, not read: it is a name of this command's, of which the settings would warn that nothing reads it.
    named = os.environ.pop(ENVIRONMENT_NAME, None)
    return app or named


def app_name(app: str | None) -> str:
    """The FastAPI app that is named or in the working directory, as a server takes it: `main:app`.

    Raises:
        ConfigurationError: there is none, or more than one.
    """
    from fastapi import FastAPI

    module_name, _, attribute = (given_name(app) or next(iter(found_here()), "")).partition(":")
    if not module_name:
        raise ConfigurationError(f"There is no main.py or app.py here{_named_beside()}: name the app, as in main:app")
    apps = {name for name, value in vars(import_module(module_name)).items() if isinstance(value, FastAPI)}
    chosen = attribute if attribute in apps else "app" if "app" in apps else next(iter(apps), None)
    if chosen is None or (len(apps) > 1 and chosen not in (attribute, "app")):
        raise ConfigurationError(f"Name the app in {module_name}, as in {module_name}:app")
    return f"{module_name}:{chosen}"


def _named(name: str) -> "Auth[UserMixin]":
    from limen.auth import Auth

    module_name, _, attribute = name.partition(":")
    module = import_module(module_name)
    if not attribute:
        return _one(_auths_of(module), name)
    thing: object = getattr(module, attribute, None)
    if thing is None:
        raise ConfigurationError(f"--app {name}: the module {module_name} has no {attribute}")
    return thing if isinstance(thing, Auth) else _one(_auths_of(module), name)


def found_here() -> "dict[str, Path]":
    """The files in the working directory that a server would take, by the names of their modules."""
    paths = {name: Path(*name.split(".")).with_suffix(".py") for name in FOUND}
    return {name: path for name, path in paths.items() if path.is_file()}


def _in_working_directory() -> "Auth[UserMixin] | None":
    for name, path in found_here().items():
        if not re.search(rb"\blimen\b", path.read_bytes()):
            continue  # importing a file runs it: only one that speaks of limen
        found = _auths_of(import_module(name))
        if found:
            return _one(found, name)
    return None


def _demo() -> "Auth[UserMixin]":
    tell_of_demo("no Auth in main.py or app.py here: using limen.demo")
    return _one(_auths_of(import_module("limen.demo")), "limen.demo")


def tell_of_demo(why: str) -> None:
    """That no app was named or found, and what the one is called that stands beside."""
    typer.echo(f"limen: no --app, no LIMEN_APP, {why}{_named_beside()}", err=True)


def _named_beside() -> str:
    app = app_beside(Path())
    return "" if app is None else f" ({app.path} has one: --app {app.module_in(Path())}:{app.name})"


def _auths_of(module: ModuleType) -> "dict[str, Auth[UserMixin]]":
    """The module's own or imported ones, by name."""
    from limen.auth import Auth

    return {name: value for name, value in vars(module).items() if isinstance(value, Auth)}


def _one(found: "dict[str, Auth[UserMixin]]", name: str) -> "Auth[UserMixin]":
    module = name.partition(":")[0]
    if not found:
        raise ConfigurationError(f"--app {name}: there is no Auth in the module {module}; name it, --app module:auth")
    if len({id(auth) for auth in found.values()}) > 1:
        choices = ", ".join(f"{module}:{each}" for each in sorted(found))
        raise ConfigurationError(f"The module {module} has more than one Auth: name one with --app, {choices}")
    return next(iter(found.values()))


def import_module(name: str) -> ModuleType:
    """The module of this name.

    Raises:
        ConfigurationError: there is none, or it fails; one sentence says where.
    """
    try:
        return importlib.import_module(name)
    except ConfigurationError:
        raise
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigurationError(
                f"--app {name}: there is no module {error.name} in {Path.cwd()} or among the installed packages"
            ) from None
        raise ConfigurationError(_failed_import(name, error)) from None
    except Exception as error:
        raise ConfigurationError(_failed_import(name, error)) from error


def _failed_import(name: str, error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    folder = f"{Path.cwd()}{os.sep}"
    own = [each for each in frames if each.filename.startswith(folder) and "site-packages" not in each.filename]
    last = (own or list(frames))[-1]
    return f"{name} cannot be imported: {words_of(error)} ({last.filename}, line {last.lineno})"
