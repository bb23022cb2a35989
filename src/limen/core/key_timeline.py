"""Which signing key does what, and when. Pure: the answer follows from the keys and the time.

A key is announced, then signs until a newer one takes over, then verifies until its last token has ended:

    announced ──signs_from──▶ signing ──the next key's signs_from──▶ verifying ──one token's life──▶ ended

Every key verifies from the moment that it is known, announced ones too. So a worker whose clock is ahead, and which
signs with the next key a little early, harms nobody.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf

from limen.core.jwk import Algorithm


class KeyState(StrEnum):
    """What a key does at a moment."""

    ANNOUNCED = "announced"
    SIGNING = "signing"
    VERIFYING = "verifying"
    ENDED = "ended"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTimes:
    """The life of one key; times in seconds since the epoch.

    Attributes:
        generation: counts the keys of one database, from 1: no two have the same.
        signs_from: when it takes over; it is announced until then.
        retired_at: from then on it neither signs nor verifies, if it was retired by hand.
    """

    kid: str
    generation: int
    algorithm: Algorithm
    created_at: float
    signs_from: float
    retired_at: float | None = None

    @property
    def rank(self) -> tuple[float, int]:
        """The higher takes over from the lower."""
        return self.signs_from, self.generation

    @property
    def was_in_force(self) -> bool:
        """False for one that was retired before its turn came: it took over from nobody."""
        return self.retired_at is None or self.retired_at > self.signs_from


class KeyTimeline:
    """The lives of all keys together.

    Args:
        token_seconds: how long a token that is signed now could still be accepted, differing clocks included.
    """

    def __init__(self, keys: Iterable[KeyTimes], *, token_seconds: float) -> None:
        self.keys: Sequence[KeyTimes] = sorted(keys, key=lambda key: key.rank)
        self.token_seconds = token_seconds
        self._superseded_at = {key.kid: self._next_takeover(key) for key in self.keys}

    def ends_at(self, key: KeyTimes) -> float:
        """When it verifies nothing any more; infinite as long as no other key takes over."""
        by_itself = self._superseded_at[key.kid] + self.token_seconds
        return by_itself if key.retired_at is None else min(by_itself, key.retired_at)

    def live(self, now: float) -> tuple[KeyTimes, ...]:
        """The keys that verify, in the order of their turns."""
        return tuple(key for key in self.keys if now < self.ends_at(key))

    def signing(self, now: float) -> KeyTimes | None:
        """The newest key whose turn has come; where there is none (it was retired), the one that is announced next."""
        live = self.live(now)
        in_turn = [key for key in live if key.signs_from <= now < self._superseded_at[key.kid]]
        announced = [key for key in live if key.signs_from > now]
        return in_turn[-1] if in_turn else announced[0] if announced else None

    def state(self, key: KeyTimes, now: float) -> KeyState:
        """What it does now."""
        if key.retired_at is not None and key.retired_at <= now:
            return KeyState.RETIRED
        if now >= self.ends_at(key):
            return KeyState.ENDED
        if key == self.signing(now):
            return KeyState.SIGNING
        return KeyState.ANNOUNCED if key.signs_from > now else KeyState.VERIFYING

    def next_change(self, now: float) -> float:
        """The first moment after `now` at which a key's state changes by itself; infinite if none does."""
        moments = [moment for key in self.keys for moment in (key.signs_from, self.ends_at(key))]
        return min((moment for moment in moments if moment > now), default=inf)

    def without(self, kid: str, now: float) -> "KeyTimeline":
        """The same with this key retired at `now`, if it was not before."""
        is_it = (key.kid == kid and key.retired_at is None for key in self.keys)
        keys = (replace(key, retired_at=now) if it else key for key, it in zip(self.keys, is_it, strict=True))
        return KeyTimeline(keys, token_seconds=self.token_seconds)

    def _next_takeover(self, key: KeyTimes) -> float:
        return min(
            (other.signs_from for other in self.keys if other.rank > key.rank and other.was_in_force), default=inf
        )
