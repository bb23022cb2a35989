"""pytest fixtures of `limen.testing`; nothing of limen loads before a test asks for one."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from limen.testing import FakeClock


@pytest.fixture
def fake_clock() -> "FakeClock":
    """A clock that a test can turn: `Auth(clock=fake_clock)`."""
    from limen.testing import FakeClock

    return FakeClock()
