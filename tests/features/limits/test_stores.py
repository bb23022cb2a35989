"""Four stores, one behaviour: what each does in one step is what `core.tries` says."""

import random

import pytest
from tests.features.limits.conftest import everywhere

from limen.core import tries
from limen.core.conditions import Rate
from limen.core.tries import PENDING, Budget
from limen.features import Limits
from limen.features.limits.store import MemoryTries
from limen.testing import FakeClock

pytestmark = pytest.mark.anyio

START = 1_800_000_000.0


@everywhere
async def test_every_store_does_what_the_core_says(mini):
    store, chance = mini.auth[Limits].store, random.Random(7)
    for budget in (Budget((Rate(3, 10),)), Budget.growing(Rate(2, 5))):
        name, marks, now = f"line.{len(budget.rates)}", "", START
        for _ in range(40):
            now += chance.choice([0, 0, 0, 1, 4, 30])
            own = tries.mark(now, tag="source", state=PENDING)
            expected = tries.take(marks, own, budget, now)
            assert await store.take(name, own, budget, now) == (expected is not None, expected or marks)
            if expected is not None:
                becomes = chance.choice(["", tries.settled(own), own])
                marks = expected.replace(own, becomes)
                await store.settle({name: (own, becomes), "another": ("x" * 26, "")})


@everywhere
async def test_a_line_is_forgotten_with_those_that_hang_on_it_and_no_others(mini):
    store, budget = mini.auth[Limits].store, Budget((Rate(1, 10),))
    for name in ("a_b", "a_b.c", "axb", "axb.c", "a_bc"):
        assert (await store.take(name, tries.mark(START), budget, START))[0]
    await store.forget("a_b")
    left = [name for name in ("a_b", "a_b.c", "axb", "axb.c", "a_bc") if not await has_room(store, name, budget)]
    assert left == ["axb", "axb.c", "a_bc"]


async def has_room(store, name, budget):
    return (await store.take(name, tries.mark(START), budget, START))[0]


async def test_memory_is_bounded_and_forgets_first_what_says_nothing():
    clock = FakeClock()
    store, budget = MemoryTries(clock, max_lines=100), Budget((Rate(5, 60),))
    for number in range(1000):
        await store.take(f"line {number}", tries.mark(clock.time()), budget, clock.time())
        assert len(store._lines) <= 100
    assert "line 999" in store._lines
