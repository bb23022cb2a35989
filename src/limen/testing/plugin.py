"""The pytest plugin: fixtures of `limen.testing`; nothing of limen loads before a test asks for one.

    [tool.pytest.ini_options]
    limen_app = "main:app"

Without that setting nothing happens but that the fixtures can be asked for.
"""

import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fastapi import FastAPI
    from sqlalchemy import MetaData

    from limen.auth import Auth
    from limen.core.passwords import PasswordHasher
    from limen.testing import AsyncAuthClient, AuthClient, FakeClock, Rehearsal

SECRET_KEY = "a secret of the tests, known to everybody and good for nothing"  # noqa: S105 - as it says


def pytest_addoption(parser: pytest.Parser) -> None:
    """The plugin's settings, and `--update-matrix`, which accepts who may do what as it is now."""
    parser.addini("limen_app", "the FastAPI app under test, as module:attribute", default="")
    parser.addini(
        "limen_database_url",
        "its database: emptied before each test; {worker} is pytest-xdist's; a temporary SQLite file otherwise",
        default="",
    )
    group = parser.getgroup("limen")
    group.addoption("--update-matrix", action="store_true", help="write the snapshots of authorization matrices anew")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before any file of the tests can import the app: it must not meet the developer's database and secret."""
    if not early_config.getini("limen_app"):
        return
    folder = Path(tempfile.mkdtemp(prefix="limen-tests-"))
    url = str(early_config.getini("limen_database_url")) or f"sqlite+aiosqlite:///{folder}/limen.db"
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    settings = pytest.MonkeyPatch()
    settings.setenv("LIMEN_SECRET_KEY", SECRET_KEY)
    settings.setenv("LIMEN_DATABASE_URL", url.replace("{worker}", worker))
    settings.setenv("LIMEN_REDIS_URL", "")  # what tests take back is nobody else's news
    early_config.add_cleanup(settings.undo)
    early_config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


# --- what an app's own conftest.py may say in another way


@pytest.fixture
def limen_app(pytestconfig: pytest.Config) -> "FastAPI":
    """The app under test: that of `limen_app = "main:app"`, or a fixture of this name in conftest.py."""
    from pkgutil import resolve_name

    from fastapi import FastAPI

    name = str(pytestconfig.getini("limen_app"))
    if not name:
        raise pytest.UsageError(
            'Which app? Put limen_app = "main:app" into pytest\'s settings, or write such a fixture'
        )
    app: object = resolve_name(name)
    if not isinstance(app, FastAPI):
        raise pytest.UsageError(f"limen_app = {name!r} names no FastAPI app, but {app!r}")
    return app


@pytest.fixture
def limen_auth(limen_app: "FastAPI") -> "Auth[Any]":
    """The `Auth` that is installed on it."""
    auth: Auth[Any] | None = getattr(limen_app.state, "limen", None)
    if auth is None:
        raise pytest.UsageError("auth.install(app) was not called for the app of the fixture limen_app")
    return auth


@pytest.fixture
def limen_metadata(limen_auth: "Auth[Any]") -> "Sequence[MetaData]":
    """Whose tables are made and emptied: the user model's metadata, unless the app has others."""
    return (limen_auth.kernel.tables.users.metadata,)


@pytest.fixture
def limen_hasher() -> "PasswordHasher | None":
    """What hashes passwords meanwhile; None for the app's own, at its real cost."""
    from limen.testing import fast_hasher

    return fast_hasher()


# --- what tests ask for


@pytest.fixture
def limen_rehearsal(
    limen_app: "FastAPI",
    limen_auth: "Auth[Any]",
    limen_metadata: "Sequence[MetaData]",
    limen_hasher: "PasswordHasher | None",
) -> "Iterator[Rehearsal]":
    """What stands around the app for one test: clock, outbox, hasher, empty database."""
    from limen.testing import rehearse

    with rehearse(limen_app, limen_auth, metadata=limen_metadata, hasher=limen_hasher) as rehearsal:
        yield rehearsal


@pytest.fixture
def auth_client(limen_rehearsal: "Rehearsal") -> "Iterator[AuthClient]":
    """A client of the running app, which is nobody; `auth_client.as_user(roles=["editor"])` is somebody."""
    from limen.testing import AuthClient

    with AuthClient(limen_rehearsal) as client:
        yield client


@pytest.fixture
def async_auth_client(limen_rehearsal: "Rehearsal") -> "AsyncAuthClient":
    """The same for tests that await: `async with async_auth_client as client:`."""
    from limen.testing import AsyncAuthClient

    return AsyncAuthClient(limen_rehearsal)


@pytest.fixture
def auth_clock(limen_rehearsal: "Rehearsal") -> "FakeClock":
    """What the app believes: `auth_clock.advance(minutes=16)`."""
    return limen_rehearsal.clock


@pytest.fixture
def fake_clock() -> "FakeClock":
    """A clock that a test can turn: `Auth(clock=fake_clock)`."""
    from limen.testing import FakeClock

    return FakeClock()


@pytest.fixture
def attack_app() -> Callable[..., Awaitable[None]]:
    """`await attack_app(auth, app)`: the test fails if something comes in that must be refused; options of `attack`."""
    from limen.testing import attack

    async def mount(auth: object, app: object, **options: object) -> None:
        report = await attack(auth, app, **options)  # type: ignore[arg-type]  # as the test gives them
        report.assert_closed()

    return mount


@pytest.fixture
def authorization_matrix(request: pytest.FixtureRequest) -> Callable[..., Awaitable[None]]:
    """`await authorization_matrix(auth, app, "tests/authorization.txt")`: every route, as every role and as nobody.

    Compared with the snapshot, written anew by `--update-matrix`; the options are those of `call_matrix`.
    """
    from limen.testing import call_matrix

    async def compare(auth: object, app: object, path: str, **options: object) -> None:
        matrix = await call_matrix(auth, app, **options)  # type: ignore[arg-type]  # as the test gives them
        matrix.assert_matches(path, update=bool(request.config.getoption("--update-matrix")))

    return compare
