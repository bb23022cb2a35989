"""What happens again and again within a minute is written once and counted, so that nobody can fill the record.

The first of its kind is written at once. Those that follow are one more entry at the end of the minute, with their
number. Beyond so many kinds in a minute, whatever comes is only counted. So a process writes at most
`2 * MOST_KINDS + 1` entries a minute of each event, however many requests there are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address, ip_network
from uuid import uuid4

from limen.core.audit_chain import Entry

WINDOW_SECONDS = 60.0
MOST_KINDS = 60

Kind = tuple[object, ...]


@dataclass(slots=True)
class _Counted:
    latest: Entry
    again: int = 0


class Repetitions:
    """Counts what is alike: the same event about and by the same, from the same network, for the same reason."""

    def __init__(self, *, seconds: float = WINDOW_SECONDS, most: int = MOST_KINDS) -> None:
        self._seconds = seconds
        self._most = most
        self._began = 0.0
        self._counted: dict[str, dict[Kind, _Counted]] = {}
        self._others: dict[str, _Counted] = {}

    def is_first(self, entry: Entry, *, now: float) -> bool:
        """Whether to write it now; else it is counted.

        Args:
            now: seconds of a clock that only goes forward.
        """
        if not self._counted:
            self._began = now
        kinds = self._counted.setdefault(entry.event, {})
        known = kinds.get(_kind(entry))
        if known is None and len(kinds) < self._most:
            kinds[_kind(entry)] = _Counted(entry)
            return True
        known = known or self._others.setdefault(entry.event, _Counted(_of_no_kind(entry)))
        known.again += 1
        known.latest = replace(known.latest, at=entry.at)
        return False

    def due(self, *, now: float, is_end: bool = False) -> tuple[Entry, ...]:
        """The entries that say how often what was counted happened again, once the minute is over."""
        if not self._counted or (now - self._began < self._seconds and not is_end):
            return ()
        found = tuple(self._totals())
        self._counted, self._others = {}, {}
        return found

    def _totals(self) -> Iterator[Entry]:
        for counted in (*(each for kinds in self._counted.values() for each in kinds.values()), *self._others.values()):
            if counted.again:
                yield replace(counted.latest, event_id=uuid4().hex, count=counted.again)


def _kind(entry: Entry) -> Kind:
    return entry.subject, entry.actor, _network(entry.ip), entry.method, entry.name_digest, entry.details


def _network(ip: str | None) -> str | None:
    """One client has a whole IPv6 /64."""
    if ip is None or ":" not in ip:
        return ip
    try:
        address = ip_address(ip)
    except ValueError:
        return ip
    return str(ip_network((address, 64), strict=False)) if isinstance(address, IPv6Address) else ip


def _of_no_kind(entry: Entry) -> Entry:
    bare = Entry(event_id=entry.event_id, at=entry.at, event=entry.event, result=entry.result, actor_kind="various")
    return replace(bare, details='{"more_kinds_than_are_told_apart":true}')
