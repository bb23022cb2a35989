"""The lives of signing keys: who signs and who verifies at every moment, and what a plan changes."""

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limen.core.key_plans import NOTHING, KeyChange, RotationRules
from limen.core.key_timeline import KeyState, KeyTimeline, KeyTimes
from limen.core.keys import MAX_KEYS
from limen.errors import ConfigurationError

TOKEN = 1000.0
RULES = RotationRules(algorithm="ES256", announce=600, rotate_after=90 * 86_400, token=TOKEN)


def key(generation: int, *, signs_from: float, retired_at: float | None = None) -> KeyTimes:
    return KeyTimes(
        kid=f"k{generation}",
        generation=generation,
        algorithm="ES256",
        created_at=signs_from - RULES.announce,
        signs_from=signs_from,
        retired_at=retired_at,
    )


def timeline(*keys: KeyTimes) -> KeyTimeline:
    return KeyTimeline(keys, token_seconds=TOKEN)


def signer(keys: KeyTimeline, now: float) -> str | None:
    found = keys.signing(now)
    return found.kid if found else None


def verifiers(keys: KeyTimeline, now: float) -> set[str]:
    return {each.kid for each in keys.live(now)}


TWO = timeline(key(1, signs_from=0), key(2, signs_from=100))


@pytest.mark.parametrize(
    ("now", "states"),
    [
        (0, (KeyState.SIGNING, KeyState.ANNOUNCED)),
        (99.9, (KeyState.SIGNING, KeyState.ANNOUNCED)),
        (100, (KeyState.VERIFYING, KeyState.SIGNING)),
        (1099.9, (KeyState.VERIFYING, KeyState.SIGNING)),
        (1100, (KeyState.ENDED, KeyState.SIGNING)),
    ],
)
def test_a_key_is_announced_then_signs_then_verifies_then_ends(now, states):
    assert tuple(TWO.state(each, now) for each in TWO.keys) == states


def test_the_next_change_is_the_next_takeover_or_end():
    assert [TWO.next_change(now) for now in (0, 99, 100, 1100)] == [100, 100, 1100, inf]


def test_a_retired_key_neither_signs_nor_verifies():
    keys = timeline(key(1, signs_from=0), key(2, signs_from=100, retired_at=150))
    assert keys.state(keys.keys[1], 150) is KeyState.RETIRED
    assert (signer(keys, 150), verifiers(keys, 150)) == (None, {"k1"})


def test_the_predecessor_of_a_retired_key_still_ends_when_its_last_token_does():
    keys = timeline(key(1, signs_from=0), key(2, signs_from=100, retired_at=150), key(3, signs_from=150))
    assert keys.ends_at(keys.keys[0]) == 1100


def test_a_key_that_was_retired_before_its_turn_took_over_from_nobody():
    keys = timeline(key(1, signs_from=0), key(2, signs_from=100, retired_at=50))
    assert (signer(keys, 5000), verifiers(keys, 5000)) == ("k1", {"k1"})


def test_without_a_key_whose_turn_has_come_the_announced_one_signs_early():
    keys = timeline(key(1, signs_from=0, retired_at=50), key(2, signs_from=100))
    assert signer(keys, 50) == "k2"


def test_retiring_twice_keeps_the_first_moment():
    keys = TWO.without("k2", 50).without("k2", 500)
    assert signer(keys, 500) == "k1"


LIVES = st.lists(st.tuples(st.integers(0, 5000), st.none() | st.integers(0, 5000)), min_size=1, max_size=6)


@given(lives=LIVES, now=st.integers(0, 8000), skew=st.floats(-50, 50))
def test_what_one_worker_signs_every_other_verifies_until_the_token_ends(lives, now, skew):
    """Whatever the keys, and though the signer's clock is wrong by less than the slack in a token's life."""
    keys = timeline(*(key(at, signs_from=life[0], retired_at=life[1]) for at, life in enumerate(lives, 1)))
    signing = keys.signing(now + skew)
    if signing is not None and signing.retired_at is None:
        assert now + TOKEN - abs(skew) <= keys.ends_at(signing)


@given(lives=LIVES, now=st.integers(0, 8000))
def test_between_two_changes_nothing_changes(lives, now):
    keys = timeline(*(key(at, signs_from=life[0], retired_at=life[1]) for at, life in enumerate(lives, 1)))
    until = min(keys.next_change(now), 20_000)
    later = now + (until - now) * 0.999
    assert (signer(keys, now), verifiers(keys, now)) == (signer(keys, later), verifiers(keys, later))


# --- plans


def test_a_rotation_announces_a_key():
    assert RULES.plan_rotation(TWO, 200) == KeyChange(new_from=800)


def test_a_takeover_takes_the_announced_key_and_else_a_new_one():
    assert RULES.plan_takeover(TWO, 50) == KeyChange(advanced="k2")
    assert RULES.plan_takeover(TWO, 100) == KeyChange(new_from=100)


def test_upkeep_makes_the_first_key_at_once_and_then_one_each_period():
    assert RULES.plan_upkeep(timeline(), 5) == KeyChange(new_from=5)
    made = timeline(replace(key(1, signs_from=0), created_at=0))
    assert RULES.plan_upkeep(made, 90 * 86_400 - 1) == NOTHING
    assert RULES.plan_upkeep(made, 90 * 86_400) == KeyChange(new_from=90 * 86_400 + 600)
    assert replace(RULES, rotate_after=inf).plan_upkeep(made, 1e12) == NOTHING


def test_another_algorithm_is_a_rotation_that_only_a_start_asks_for():
    rules = replace(RULES, algorithm="EdDSA")
    assert rules.plan_start(TWO, 200) == KeyChange(new_from=800)
    assert rules.plan_upkeep(TWO, 200) == NOTHING


def test_phasing_out_replaces_the_signing_key_and_withdraws_an_announced_one():
    assert RULES.phase_out("k2")(TWO, 200) == KeyChange(new_from=800)
    assert RULES.phase_out("k2")(TWO, 50) == KeyChange(retired="k2")
    assert RULES.phase_out("k1")(TWO, 50) == NOTHING  # the announced one replaces it already
    assert RULES.phase_out("k1")(TWO, 200) == NOTHING


def test_refusing_a_key_makes_a_new_one_only_where_none_could_sign():
    assert RULES.refuse("k1")(TWO, 200) == KeyChange(retired="k1")
    assert RULES.refuse("k2")(TWO, 200) == KeyChange(retired="k2", new_from=200)
    assert RULES.refuse("k1")(TWO, 50) == KeyChange(retired="k1")  # the announced one signs early


@pytest.mark.parametrize("plan", [RULES.phase_out, RULES.refuse])
@pytest.mark.parametrize("kid", ["k1", "k9"])
def test_a_key_that_has_ended_or_never_was_cannot_be_retired(plan, kid):
    with pytest.raises(LookupError, match=kid):
        plan(kid)(TWO, 5000)


def test_a_full_ring_takes_no_key():
    full = timeline(*(key(at, signs_from=at) for at in range(1, MAX_KEYS + 1)))
    with pytest.raises(ConfigurationError, match="at most 32"):
        RULES.plan_rotation(full, 50)
