"""The first of a kind is written at once, the rest is counted; nothing is lost, and nothing grows without end."""

from datetime import UTC, datetime
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from limen.core.audit_chain import Entry
from limen.core.repetitions import Repetitions

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def refused(ip="203.0.113.7", subject=None, event="login_failed"):
    return Entry(event_id=uuid4().hex, at=NOW, event=event, result="refused", ip=ip, subject=subject)


def test_the_first_is_written_and_the_others_are_one_entry_a_minute_later():
    counted = Repetitions()
    assert [counted.is_first(refused(), now=second) for second in range(5)] == [True, False, False, False, False]
    assert counted.due(now=59) == ()
    (total,) = counted.due(now=60)
    assert (total.count, total.event) == (4, "login_failed")
    assert counted.due(now=200) == ()
    assert counted.is_first(refused(), now=200)


def test_one_client_is_a_whole_network():
    counted = Repetitions()
    assert counted.is_first(refused("2001:db8::1"), now=0)
    assert not counted.is_first(refused("2001:db8::2"), now=0)
    assert counted.is_first(refused("2001:db8:0:1::1"), now=0)
    assert counted.is_first(refused("203.0.113.7"), now=0)
    assert counted.is_first(refused("203.0.113.8"), now=0)


def test_one_events_flood_leaves_room_for_others():
    counted = Repetitions(most=3)
    for each in range(10):
        counted.is_first(refused(subject=str(each)), now=0)
    assert counted.is_first(refused(event="request_refused"), now=0)
    (others,) = counted.due(now=60)
    assert (others.count, others.subject, others.actor_kind) == (7, None, "various")


@given(st.lists(st.integers(0, 20), max_size=300), st.integers(1, 10))
def test_whatever_happens_is_written_or_counted_and_the_number_of_entries_is_bounded(subjects, most):
    counted = Repetitions(most=most)
    written = sum(counted.is_first(refused(subject=str(each)), now=0) for each in subjects)
    totals = counted.due(now=0, is_end=True)
    assert written + sum(each.count for each in totals) == len(subjects)
    assert written + len(totals) <= 2 * most + 1
