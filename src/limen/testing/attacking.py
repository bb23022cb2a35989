"""The known attacks on the app under test, as `limen attack` mounts them.

async def test_nothing_comes_in(auth, app):
    report = await attack(auth, app)
    report.assert_closed()
"""

from starlette.types import ASGIApp

from limen.attack.campaign import Bounds
from limen.attack.report import Report
from limen.attack.run import attack_in_process
from limen.auth import Auth
from limen.db.users import UserMixin


async def attack(auth: Auth[UserMixin], app: ASGIApp, *, writes: bool = False, requests: int = 50_000) -> Report:
    """Mount the known attacks on every route; three accounts are made in the test's database.

    Args:
        app: the app as it is served; its lifespan, or `async with auth`, is running.
        writes: whether ordinary people may make and change things, so that others can reach for them.
        requests: how many are sent at most.
    """
    return await attack_in_process(auth, app, bounds=Bounds(requests=requests), may_write=writes)
