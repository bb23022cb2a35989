"""A line of marks is exact over any stretch of time, whatever is tried, given back and waited for."""

import asyncio

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from limen.core import tries
from limen.core.conditions import Rate
from limen.core.devices import Devices
from limen.core.tries import MARK, MAX_TRIES, PENDING, SPENT, Budget, parse_budget
from limen.core.turns import Turns
from limen.features.limits.service import canonical_address

START = 1_800_000_000.0


@given(st.integers(1, 999), st.integers(1, 999), st.sampled_from(["second", "minute", "hour", "day"]), st.booleans())
def test_what_is_written_as_a_rate_is_read_as_one(requests, count, unit, plural):
    seconds = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}[unit]
    assert parse_budget(f" {requests}/{count}{unit}{'s' if plural else ''} ") == Rate(requests, count * seconds)
    assert parse_budget(f"{requests}/{unit}") == Rate(requests, seconds)


@given(st.text(max_size=30))
def test_anything_else_is_refused_in_one_sentence(text):
    assume(text.strip() != "off" and "/" not in text)
    with pytest.raises(ValueError, match=r"^neither a rate such as 10/5minutes nor `off`$"):
        parse_budget(text)


@pytest.mark.parametrize(
    "text", ["", "0/minute", "10", "10/0minutes", "-1/minute", "1.5/minute", "OFF", "10/5 weeks", "\u0661/minute"]
)
def test_these_are_no_limits(text):
    with pytest.raises(ValueError, match="neither"):
        parse_budget(text)


@pytest.mark.parametrize("text", ["off", " off ", "10000/minute", "1000000/minute", "999999999/day"])
def test_what_limits_nothing_is_off(text):
    assert parse_budget(text) is None
    assert parse_budget(f"{MAX_TRIES - 1}/minute") is not None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 40), st.booleans()), max_size=120), st.integers(1, 6), st.integers(1, 60))
def test_no_window_ever_sees_more_than_the_budget(steps, requests, seconds):
    """Whatever is given back between: of those that stayed, no stretch of the rate's length holds more than allowed."""
    budget, marks, now, stayed = Budget.growing(Rate(requests, seconds)), "", START, []
    for wait, is_honest in steps:
        now += wait
        own = tries.mark(now, state=PENDING)
        taken = tries.take(marks, own, budget, now)
        if taken is None:
            assert tries.standing(marks, budget, now).is_certain, "all outcomes are known"
            continue
        marks = taken.replace(own, "" if is_honest else tries.settled(own))
        if not is_honest:
            stayed.append(now)
        assert len(marks) <= budget.kept * MARK
    for rate in budget.rates:
        for first in stayed:
            assert sum(first <= each < first + rate.seconds - 0.001 for each in stayed) <= rate.requests


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 20), min_size=1, max_size=60), st.integers(1, 5), st.integers(1, 60))
def test_whoever_waits_as_long_as_told_has_room(waits, requests, seconds):
    budget, marks, now = Budget.growing(Rate(requests, seconds)), "", START
    for wait in waits:
        now += wait
        taken = tries.take(marks, tries.mark(now), budget, now)
        if taken is not None:
            marks = taken
            continue
        told = tries.standing(marks, budget, now).wait
        assert 1 <= told <= budget.lasts
        assert tries.take(marks, tries.mark(now + told), budget, now + told) is not None


def test_a_line_with_tries_under_way_is_not_certain_until_they_are_old():
    budget, marks = Budget((Rate(2, 60),)), ""
    for state in (PENDING, SPENT):
        marks = tries.take(marks, tries.mark(START, state=state), budget, START)
    assert tries.take(marks, tries.mark(START), budget, START) is None
    assert not tries.standing(marks, budget, START + 1).is_certain
    assert tries.standing(marks, budget, START + 31).is_certain


def test_marks_tell_sources_apart():
    budget, marks = Budget((Rate(10, 60),)), ""
    for tag in ("aaaaaa", "bbbbbb", "bbbbbb", ""):
        marks = tries.take(marks, tries.mark(START, tag=tag), budget, START)
    assert {len(each) for each in tries.split(marks)} == {MARK}
    assert tries.counted(marks, budget, START) == {0: 4}
    assert tries.counted(marks, budget, START, tag="bbbbbb") == {0: 2}
    assert budget.less({0: 2}) == Budget((Rate(8, 60),))
    assert budget.less({0: 10}) is None


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::%eth0", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("nonsense", None),
        ("", None),
        (None, None),
    ],
)
def test_one_client_has_one_address(text, canonical):
    assert canonical_address(text) == canonical


def test_a_device_is_known_to_its_user_and_under_an_earlier_key():
    old, new = Devices([b"k" * 32]), Devices([b"n" * 32, b"k" * 32])
    kept = old.mint("7")
    device = old.read(kept, "7")
    assert device is not None
    assert new.read(kept, "7") == device
    assert new.mint("7", device=device) != kept
    assert new.read(new.mint("7", device=device), "7") == device
    assert old.read(kept, "8") is None
    assert Devices([b"n" * 32]).read(kept, "7") is None


@given(st.text(max_size=100))
def test_nothing_else_is_a_device(text):
    assert Devices([b"k" * 32]).read(text, "7") is None


@pytest.mark.anyio
async def test_turns_are_in_the_order_of_arrival_and_leave_nothing_behind():
    turns, order = Turns(), []

    async def come(number):
        async with turns.of("name"):
            order.append(number)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(come(number))
        group.create_task(come("other")).cancel()
    assert order == list(range(20))
    assert turns._lines == {}
    assert turns._waiting == 0
