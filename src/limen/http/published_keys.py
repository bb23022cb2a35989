"""The keys that another issuer publishes: fetched when first needed, kept fresh, kept when that fails."""

import asyncio
import logging
from collections.abc import Collection, Mapping
from math import ceil, inf
from typing import Protocol

from limen.core.clock import Clock
from limen.core.keys import KeyRing, Keys
from limen.core.revocations import Revocation, Revoked
from limen.errors import Unavailable
from limen.http.outgoing import FETCH_SECONDS, DocumentRefused

_log = logging.getLogger("limen.trusted_issuers")

COOLDOWN_SECONDS = 30.0  # between fetches for unknown keys, and after a failed one while there are keys
RETRY_SECONDS = 5.0  # after a failed fetch while there are none


class KeySource(Protocol):
    """Where the keys of one issuer come from.

    Attributes:
        issuer: whose they are.
    """

    issuer: str

    async def fetch(self) -> tuple[KeyRing, float]:
        """The keys, and for how many seconds they are fresh; called by one task at a time.

        Raises:
            Exception: whatever a network or a stranger's document brings; what is known stays good.
        """
        ...


class PublishedKeys(Keys):
    """The keys of another issuer: fetched when first needed, refreshed on use, kept when that fails."""

    def __init__(self, source: KeySource, *, clock: Clock) -> None:
        super().__init__(KeyRing(None, ()))
        self._source = source
        self._clock = clock
        self._due_at = self._may_look_at = -inf
        self._is_failing = False
        self._refused: set[str] = set()
        self._flight: asyncio.Task[None] | None = None

    async def keep_up(self) -> None:
        """Begin a refresh that is due, and wait for it only where no key is known yet.

        Raises:
            Unavailable: no key is known and the issuer cannot be asked.
        """
        if self._clock.monotonic() >= self._due_at:
            self._begin()
        if not self.ring.verifying:
            await self._landed()
        if not self.ring.verifying:
            raise self._unavailable(until=self._due_at)

    async def look_again(self) -> bool:
        if not self._is_flying:
            now = self._clock.monotonic()
            if now < self._may_look_at and not self._is_failing:
                return False
            if now < self._may_look_at:
                raise self._unavailable(until=self._may_look_at)
            self._may_look_at = now + COOLDOWN_SECONDS
            self._begin()
        await self._landed()
        if self._is_failing:
            raise self._unavailable(until=self._may_look_at)
        return True

    def hear(self, revocation: Revocation) -> None:
        """Take in what the issuer says of a key: a refusal at once, the rest at the next use."""
        if revocation.kind is Revoked.KEY:
            self._due_at = -inf
            if revocation.refuses_a_key:
                self._refused.add(revocation.target)
                self._use(self.ring)

    async def start(self) -> None:
        """Begin to fetch; whoever needs the keys waits for them, the start of the app does not."""
        self._begin()

    async def stop(self) -> None:
        """End a fetch that is under way."""
        if self._flight is not None:
            self._flight.cancel()
            await self._landed()

    @property
    def _is_flying(self) -> bool:
        return self._flight is not None and not self._flight.done()

    def _begin(self) -> None:
        """One fetch at a time, however many ask."""
        if not self._is_flying:
            self._flight = asyncio.create_task(self._fetch())

    async def _landed(self) -> None:
        if self._flight is not None:
            await asyncio.wait({self._flight})  # who gives up waiting does not end it for the others

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                ring, fresh_for = await self._source.fetch()
        except Exception as error:  # whatever a network or a stranger's document brings; what is known stays good
            if not self._is_failing:
                _log.warning("the keys of %s cannot be fetched: %s", self._source.issuer, _told(error))
            self._is_failing = True
            self._due_at = self._clock.monotonic() + (COOLDOWN_SECONDS if self.ring.verifying else RETRY_SECONDS)
        else:
            self._is_failing = False
            self._due_at = self._clock.monotonic() + fresh_for
            self._use(ring)

    def _use(self, ring: KeyRing) -> None:
        self._ring = KeyRing(None, tuple(key for key in ring.verifying if key.kid not in self._refused))

    def _unavailable(self, *, until: float) -> Unavailable:
        seconds = max(1, ceil(min(until - self._clock.monotonic(), COOLDOWN_SECONDS)))
        return Unavailable("an issuer's keys cannot be fetched", retry_after=seconds, issuer=self._source.issuer)


def usable_keys(jwks: Mapping[str, object], *, algorithms: Collection[str]) -> KeyRing:
    """The keys of a JWK Set that are of an allowed algorithm.

    Raises:
        DocumentRefused, ValueError: there are none, or it is no JWK Set.
    """
    usable = tuple(key for key in KeyRing.from_jwks(jwks).verifying if key.algorithm in algorithms)
    if not usable:
        raise DocumentRefused("no key is of an allowed algorithm")
    return KeyRing(None, usable)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
