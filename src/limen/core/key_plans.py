"""What has to happen to the signing keys. Pure: a plan looks at the keys as they are and says what to change.

A plan is made again inside the transaction that carries it out, so of many workers that plan the same at once, one does
it and the others find nothing left to do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from limen.core.jwk import Algorithm
from limen.core.key_timeline import KeyState, KeyTimeline, KeyTimes
from limen.core.keys import MAX_KEYS
from limen.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """What has to happen, all of it or nothing.

    Attributes:
        new_from: when a new key's turn comes, if one is needed.
        advanced: the announced key whose turn comes at once.
        retired: the key that is refused from now on.
    """

    new_from: float | None = None
    advanced: str | None = None
    retired: str | None = None


NOTHING = KeyChange()

Plan = Callable[[KeyTimeline, float], KeyChange]
"""Given the keys and the time in seconds since the epoch.

Raises:
    LookupError: the key that it is about is not live.
    ConfigurationError: the ring is full.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationRules:
    """When keys come and go; times in seconds.

    Attributes:
        algorithm: of new keys.
        announce: for how long a new key is published before it signs.
        rotate_after: how old a key gets before the next one is made by itself; infinite for never.
        token: how long a token that is signed now could still be accepted, differing clocks included.
    """

    algorithm: Algorithm
    announce: float
    rotate_after: float
    token: float

    def plan_rotation(self, timeline: KeyTimeline, now: float) -> KeyChange:
        """One new key, announced."""
        return _new_key(timeline, now, signs_from=now + self.announce)

    def plan_takeover(self, timeline: KeyTimeline, now: float) -> KeyChange:
        """Another key signs from now on: the announced one, which everyone knows, or else a new one."""
        announced = [key for key in timeline.live(now) if key.signs_from > now]
        return KeyChange(advanced=announced[0].kid) if announced else _new_key(timeline, now, signs_from=now)

    def plan_upkeep(self, timeline: KeyTimeline, now: float) -> KeyChange:
        """A key if none signs, the next one if the last one is old enough."""
        if timeline.signing(now) is None:
            return self.plan_takeover(timeline, now)
        is_due = timeline.live(now)[-1].created_at + self.rotate_after <= now
        return self.plan_rotation(timeline, now) if is_due else NOTHING

    def plan_start(self, timeline: KeyTimeline, now: float) -> KeyChange:
        """The same, and a key of the algorithm that the settings ask for: changing it is a rotation like any other.

        Only a worker that starts asks for that: in a rolling restart the old ones would ask for theirs back.
        """
        live = timeline.live(now)
        if live and live[-1].algorithm != self.algorithm:
            return self.plan_rotation(timeline, now)
        return self.plan_upkeep(timeline, now)

    def phase_out(self, kid: str) -> Plan:
        """The key ends without any token failing: another takes over from it, or its turn never comes."""

        def plan(timeline: KeyTimeline, now: float) -> KeyChange:
            key = _live_key(timeline, kid, now)
            if timeline.state(key, now) is KeyState.ANNOUNCED:
                return KeyChange(retired=kid)
            return self.plan_rotation(timeline, now) if timeline.ends_at(key) == inf else NOTHING

        return plan

    def refuse(self, kid: str) -> Plan:
        """The key is refused from now on; where no other could sign, a new one does at once."""

        def plan(timeline: KeyTimeline, now: float) -> KeyChange:
            _live_key(timeline, kid, now)
            is_missed = timeline.without(kid, now).signing(now) is None
            return KeyChange(retired=kid, new_from=now if is_missed else None)

        return plan


def _new_key(timeline: KeyTimeline, now: float, *, signs_from: float) -> KeyChange:
    if len(timeline.live(now)) >= MAX_KEYS:
        raise ConfigurationError(f"The key ring holds at most {MAX_KEYS} keys: retire some, or wait until some end")
    return KeyChange(new_from=signs_from)


def _live_key(timeline: KeyTimeline, kid: str, now: float) -> KeyTimes:
    for key in timeline.live(now):
        if key.kid == kid:
            return key
    raise LookupError(f"no live signing key is named {kid}")
