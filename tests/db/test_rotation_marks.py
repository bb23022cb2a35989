"""Which rotations a session remembers: every one of the grace, however many there were."""

from datetime import UTC, datetime, timedelta

import pytest

from limen import Accounts, Auth, AuthSettings, Passwords, Roles, Sessions, Tokens
from limen.core.opaque import RefreshPair
from limen.db.sessions import Session
from limen.testing import PASSWORD, create_tables, fast_hasher

pytestmark = pytest.mark.anyio

GRACE = timedelta(seconds=10)
START = datetime(2026, 11, 22, 12, tzinfo=UTC)


class HandClock:
    """Moves only when it is told to."""

    def __init__(self) -> None:
        self.moment = START

    def now(self) -> datetime:
        return self.moment

    def time(self) -> float:
        return self.moment.timestamp()

    def monotonic(self) -> float:
        return self.moment.timestamp()


async def rotated(url: str, clock: HandClock, pauses: list[float]) -> tuple[Session, list[datetime]]:
    """A session after a rotation at the end of each pause, and when each generation went away."""
    settings = AuthSettings(secret_key="a secret of more than thirty-two bytes, for tests only", database_url=url)
    features = [Passwords(hasher=fast_hasher()), Tokens(), Sessions(), Accounts(), Roles()]
    auth = Auth(settings=settings, features=features, clock=clock)
    await create_tables(auth)
    async with auth:
        account = await auth[Accounts].register(email="alice@example.com", password=PASSWORD)
        store = auth.kernel.sessions
        session_id, went = await store.open(account.id, carrier="token", amr=("pwd",)), []
        for generation, pause in enumerate(pauses):
            clock.moment += timedelta(seconds=pause)
            went.append(clock.moment)
            assert await store.rotate(RefreshPair(session_id, generation), grace=GRACE)
        session = await store.find(session_id)
    assert session is not None
    return session, went


def honoured(session: Session, now: datetime) -> set[int]:
    return {each for each in range(session.generation + 1) if session.was_rotated_within(each, GRACE, now=now)}


@pytest.mark.parametrize("pause", [0.01, 0.1, 0.6, 1.25, 1.3, 3.0])
async def test_every_generation_of_the_grace_is_honoured_and_none_much_older(database_url: str, pause: float) -> None:
    session, went = await rotated(database_url, HandClock(), [pause] * 60)
    now = went[-1]
    of_the_grace = {each for each, at in enumerate(went) if now - at <= GRACE}
    of_a_little_more = {each for each, at in enumerate(went) if now - at <= GRACE * 9 / 8}
    assert of_the_grace <= honoured(session, now) <= of_a_little_more
    assert session.generation not in honoured(session, now)


async def test_two_rotations_in_a_row_both_end_with_their_grace(database_url: str) -> None:
    session, went = await rotated(database_url, HandClock(), [1, 0.02])
    assert honoured(session, went[0] + GRACE) == {0, 1}
    assert honoured(session, went[1] + GRACE) == {1}
    assert honoured(session, went[1] + GRACE + timedelta(seconds=0.01)) == set()


async def test_a_mark_from_a_clock_that_ran_ahead_keeps_no_later_rotation_unmarked(database_url: str) -> None:
    session, went = await rotated(database_url, HandClock(), [600, -600, 20])
    assert honoured(session, went[2] + timedelta(seconds=11)) == {0}
