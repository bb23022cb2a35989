"""Other people's things: what one ordinary person gets, asked for by another with the same rights (OWASP API1:2023)."""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from limen.attack.answers import Answer
from limen.attack.asking import Ask
from limen.attack.attempts import Aim, Attempt
from limen.attack.people import Person
from limen.attack.routes import MAX_LIST, Attackable, sample_body

_OWNER = re.compile(r"(owner|user|author|account|customer|member|creator|created_by|email)(_?(id|name|email))?$", re.I)
_ID = re.compile(r"^(id|uuid|.*_id)$")
MAX_IDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a stranger got that is the victim's, or somebody else's."""

    path: str
    status: int
    why: str


class OtherPeople:
    """Looks for routes that hand one person's things to another.

    Args:
        may_write: whether things are made for it, and whether changing somebody else's is tried.

    Attributes:
        compared: how often both were asked.
    """

    def __init__(self, asking: Ask, victim: Person, stranger: Person, *, may_write: bool) -> None:
        self._ask = asking
        self._victim, self._stranger = victim, stranger
        self._may_write = may_write
        self._ids: list[str] = []
        self.compared = 0

    async def prepare(self, routes: Sequence[Attackable], document: Mapping[str, object]) -> None:
        """Collect ids that the victim can see; make things of the victim's first, where that is allowed."""
        if self._may_write:
            for route in routes:
                if route.aim.method == "POST" and not route.has_parameters and route.is_the_apps:
                    body = json.dumps(sample_body(document, route.pattern)).encode()
                    answer = await self._as(self._victim, route.aim.method, route.path_with({}), body=body)
                    self._collect(answer)
        for route in routes:
            if route.aim.method == "GET" and not route.has_parameters and route.is_the_apps:
                self._collect(await self._as(self._victim, "GET", route.path_with({})))

    async def look(self, route: Attackable) -> AsyncIterator[Seen]:
        """What the stranger gets there that is not theirs."""
        for path in self._paths(route):
            if route.aim.is_safe:
                seen = await self._read(route, path)
            else:
                seen = await self._write(route, path) if self._may_write else None
            if seen is not None:
                yield seen

    def can_look(self, aim: Aim) -> bool:
        """Whether this route is one that can be looked at this way."""
        return aim.is_safe or self._may_write

    async def _read(self, route: Attackable, path: str) -> Seen | None:
        own = await self._as(self._victim, route.aim.method, path)
        if own is None or not 200 <= own.status < 300:
            return None
        self.compared += 1
        other = await self._as(self._stranger, route.aim.method, path)
        if other is None or not 200 <= other.status < 300 or not other.body:
            return None
        why = self._whose(route, path, other)
        return Seen(path=path, status=other.status, why=why) if why else None

    async def _write(self, route: Attackable, path: str) -> Seen | None:
        """Only what is the victim's for certain: the path names it, and the victim made it."""
        if not self._ids or not any(f"/{id}" in path for id in self._ids):
            return None
        self.compared += 1
        other = await self._as(self._stranger, route.aim.method, path)
        if other is None or not 200 <= other.status < 300:
            return None
        return Seen(path=path, status=other.status, why=f"{route.aim.method} of what another made")

    def _whose(self, route: Attackable, path: str, answer: Answer) -> str:
        if any(mark in path.split("/") for mark in self._victim.marks):
            return "the path names another person"
        values = list(_values(answer.json()))
        if any(str(value) in self._victim.marks for _, value in values):
            return "it names another person"
        owners = [str(value) for name, value in values if _OWNER.search(name) and value not in (None, "")]
        is_nobodys = not owners or any(owner in self._stranger.marks for owner in owners)
        return "" if is_nobodys or route.has_object_guard else f"its owner is {owners[0]}"

    def _paths(self, route: Attackable) -> Iterator[str]:
        if not route.has_parameters or not (route.is_the_apps or route.aim.is_safe):
            return
        candidates = [self._victim.subject, *self._ids, "1", "2"]
        for candidate in list(dict.fromkeys(candidates))[:MAX_IDS]:
            yield route.path_with(dict.fromkeys(route.parameters, candidate))

    def _collect(self, answer: Answer | None) -> None:
        if answer is None or not 200 <= answer.status < 300:
            return
        for name, value in list(_values(answer.json()))[:MAX_LIST]:
            if _ID.match(name) and str(value) not in (*self._ids, *self._stranger.marks) and len(self._ids) < MAX_IDS:
                self._ids.append(str(value))

    async def _as(self, person: Person, method: str, path: str, *, body: bytes = b"") -> Answer | None:
        return await self._ask(method, path, Attempt(headers=person.headers, body=body))


def _values(document: object) -> Iterator[tuple[str, object]]:
    """Every named value in a JSON document that is not itself one."""
    if isinstance(document, dict):
        for name, value in document.items():
            if isinstance(value, dict | list):
                yield from _values(value)
            else:
                yield str(name), value
    elif isinstance(document, list):
        for each in document[:MAX_LIST]:
            yield from _values(each)
