"""pytest fixtures of `limen.testing`; nothing of limen loads before a test asks for one."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from limen.testing import FakeClock


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest --update-matrix` accepts who may do what as it is now."""
    group = parser.getgroup("limen")
    group.addoption("--update-matrix", action="store_true", help="write the snapshots of authorization matrices anew")


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
