"""Mounts the attacks on every route, one request after the other, within bounds."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from limen.attack.answers import Answer, Outcome, outcome_of, worst
from limen.attack.asking import Asking
from limen.attack.attempts import ATTACKS, Attempt, attempts
from limen.attack.other_people import OtherPeople
from limen.attack.people import Cast
from limen.attack.report import Hole, Report
from limen.attack.routes import Attackable


class BoundReached(Exception):
    """No request is left."""


@dataclass
class Bounds:
    """How much is sent at most.

    Attributes:
        requests: in all.
        seconds: from the first one on.
    """

    requests: int = 50_000
    seconds: float = 300.0
    sent: int = 0
    _begun: float = field(default_factory=time.monotonic)

    def take(self) -> None:
        """Count one request.

        Raises:
            BoundReached: it would be one too many, or too late.
        """
        if self.sent >= self.requests or time.monotonic() - self._begun > self.seconds:
            raise BoundReached
        self.sent += 1


class Campaign:
    """One run.

    Args:
        may_write: whether ordinary people may make and change things, so that others can reach for them.
    """

    def __init__(self, asking: Asking, cast: Cast, *, bounds: Bounds, may_write: bool = False) -> None:
        self._asking = asking
        self._cast = cast
        self._bounds = bounds
        self._may_write = may_write
        self._holes: list[Hole] = []

    async def run(self, routes: Sequence[Attackable], document: Mapping[str, object]) -> Report:
        """Attack every route."""
        rows = {str(route): dict.fromkeys(ATTACKS, Outcome.UNTRIED) for route in routes}
        is_cut = False
        try:
            others = await self._others(routes, document)
            for route in sorted(routes, key=_harm):
                row = rows[str(route)]
                row.update(await self._attack(route))
                if others is not None and route.has_parameters and others.can_look(route.aim):
                    row["other user"] = await self._look(others, route)
        except BoundReached:
            is_cut = True
        return Report(
            rows=rows, holes=self._holes, requests=self._bounds.sent, is_cut=is_cut, untried=self._cast.untried
        )

    async def _others(self, routes: Sequence[Attackable], document: Mapping[str, object]) -> OtherPeople | None:
        victim, stranger = self._cast.victim, self._cast.stranger
        if victim is None or stranger is None:
            return None
        others = OtherPeople(self._send, victim, stranger, may_write=self._may_write)
        await others.prepare(routes, document)
        return others

    async def _attack(self, route: Attackable) -> dict[str, Outcome]:
        found: dict[str, list[Outcome]] = {}
        for attempt in attempts(self._cast.means, route.aim):
            if route.is_open and Outcome.CAME_IN in found.get("anonymous", ()):
                break  # it is open: what else would come in says nothing
            outcome = await self._try(route, attempt)
            if outcome is not None:
                found.setdefault(attempt.attack, []).append(outcome)
        return {attack: worst(outcomes) for attack, outcomes in found.items()}

    async def _try(self, route: Attackable, attempt: Attempt) -> Outcome | None:
        answer = await self._send(route.aim.method, route.path_with({}), attempt)
        if answer is None or (route.is_mount and answer.status == 404):
            return None
        outcome = outcome_of(answer)
        if outcome is not Outcome.REFUSED:
            self._note(route, attempt.attack, attempt.name, answer.status, outcome)
        return outcome

    async def _look(self, others: OtherPeople, route: Attackable) -> Outcome:
        compared = others.compared
        async for seen in others.look(route):
            self._note(route, "other user", f"{seen.path}: {seen.why}", seen.status, Outcome.CAME_IN)
            return Outcome.CAME_IN
        return Outcome.REFUSED if others.compared > compared else Outcome.UNTRIED

    def _note(self, route: Attackable, attack: str, name: str, status: int, outcome: Outcome) -> None:
        self._holes.append(Hole(route=str(route), attack=attack, name=name, status=status, outcome=outcome))

    async def _send(self, method: str, path: str, attempt: Attempt) -> Answer | None:
        self._bounds.take()
        return await self._asking.ask(method, path, attempt)


def _harm(route: Attackable) -> tuple[bool, bool]:
    """What only shows comes first, and limen's own last: an attack that comes in there may sign everybody out."""
    return not route.is_the_apps, not route.aim.is_safe
