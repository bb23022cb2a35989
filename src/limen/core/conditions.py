"""What a credential asks of each request that carries it, verified before or not."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Protocol

from limen.core.clock import Clock
from limen.errors import InvalidCredential, TooManyRequests

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_NETWORKS = 32
MAX_REQUESTS = 999_999
_RATE = re.compile(r"([1-9][0-9]{0,8})\s*/\s*([1-9][0-9]{0,5})?\s*(second|minute|hour|day)s?")
_ROUNDING = 1e-4
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


class Condition(Protocol):
    """Asked on every request, so it must be quick and without I/O."""

    def check(self, address: Address | None) -> None:
        """Pass, or raise what refuses the request that comes from there.

        Raises:
            InvalidCredential: the credential is worth nothing from there.
            TooManyRequests: it is used too often.
        """
        ...


@dataclass(frozen=True, slots=True)
class FromNetworks:
    """Only from these networks; a request whose address is not known comes from none of them."""

    networks: tuple[Network, ...]
    credential_id: str

    def check(self, address: Address | None) -> None:
        """The refusal is that of a wrong credential: whoever found one does not learn that it is good elsewhere."""
        if address is not None:
            for network in self.networks:
                if address in network:
                    return
        raise InvalidCredential("from outside the allowed networks", credential=self.credential_id, ip=str(address))


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so many seconds."""

    requests: int
    seconds: int

    @classmethod
    def parse(cls, text: str, *, most: int = MAX_REQUESTS) -> "Rate":
        """The rate that `100/minute` or `10/5minutes` says.

        Raises:
            ValueError: it says none, or one of more requests than this.
        """
        found = _RATE.fullmatch(text.strip())
        if found is None or int(found[1]) > most:
            raise ValueError("not a rate such as 100/minute")
        return cls(int(found[1]), int(found[2] or 1) * _SECONDS[found[3]])


class Meter:
    """Measures how often each credential is used in this process (the generic cell rate algorithm: one number each).

    A credential may use its whole rate at once and has it back at the rate's own pace.
    """

    MAX_MEASURED = 10_000

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.time()
        self._due: dict[str, float] = {}

    def take(self, name: str, rate: Rate) -> None:
        """Count one use of `name`.

        Raises:
            TooManyRequests: the rate is used up.
        """
        now = self._clock.time() - self._began  # small numbers, so that adding up loses nothing that matters
        due = self._due_after(name, rate, now)
        if len(self._due) >= self.MAX_MEASURED and name not in self._due:
            self._make_room(now)
        self._due[name] = due

    def check(self, name: str, rate: Rate) -> None:
        """Whether one more use of `name` would pass; nothing is counted.

        Raises:
            TooManyRequests: the rate is used up.
        """
        self._due_after(name, rate, self._clock.time() - self._began)

    def _due_after(self, name: str, rate: Rate, now: float) -> float:
        due = max(self._due.get(name, now), now)
        if due > now + 2 * rate.seconds:  # the clock was set back, or the rate was another
            due = now
        due += rate.seconds / rate.requests
        wait = due - now - rate.seconds
        if wait > _ROUNDING:
            raise TooManyRequests("a rate is used up", retry_after=math.ceil(wait), name=name)
        return due

    def _make_room(self, now: float) -> None:
        self._due = {name: due for name, due in self._due.items() if due > now}
        if len(self._due) >= self.MAX_MEASURED:
            del self._due[next(iter(self._due))]


@dataclass(frozen=True, slots=True)
class AtRate:
    """No more often than this."""

    rate: Rate
    credential_id: str
    meter: Meter

    def check(self, address: Address | None) -> None:  # noqa: ARG002 - a condition's shape
        self.meter.take(self.credential_id, self.rate)


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks that these CIDRs name; a plain address is a network of one.

    Raises:
        ValueError: one names none or has host bits set, or there are over 32.
    """
    if len(texts) > MAX_NETWORKS:
        raise ValueError(f"at most {MAX_NETWORKS} networks")
    return tuple(ip_network(text) for text in texts)
