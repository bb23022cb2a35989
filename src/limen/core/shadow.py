"""A policy that is tried out: it is decided on every request, what it would change is logged, nobody is refused by it.

auth.require("items:write" & shadow(fresh(minutes=10)))                  # would refuse more
auth.require(shadow("items:publish", instead_of="items:write"))          # would refuse, or allow, others
"""

import logging
from dataclasses import dataclass, replace

from limen.core.decision import Refusal, Step
from limen.core.policy import Policy
from limen.core.principal import Principal
from limen.core.rules import PolicyLike, as_policy, authenticated

_log = logging.getLogger("limen.shadow")


def shadow(policy: PolicyLike, *, instead_of: PolicyLike | None = None) -> Policy:
    """`policy` on trial: who it would refuse, or let in, is logged by `limen.shadow` as a warning; it decides nothing.

    Args:
        policy: the one on trial.
        instead_of: the one that decides meanwhile; without it, everybody who is authenticated passes, so that it only
            stands beside others: `"items:write" & shadow(…)`.

    Raises:
        ConfigurationError: it is not a policy.
    """
    present = authenticated() if instead_of is None else as_policy(instead_of)
    return _Shadow(as_policy(policy), present, decides=instead_of is not None)


@dataclass(frozen=True, slots=True, repr=False)
class _Shadow(Policy):
    trial: Policy
    present: Policy
    decides: bool
    is_reported: bool = False

    def decide(self, principal: Principal, now: float) -> Refusal | None:
        refusal = self.present.decide(principal, now)
        if not self.is_reported:
            self._report(principal, refusal, self.trial.decide(principal, now))
        return refusal

    async def resolve(self, principal: Principal, *, now: float) -> Policy:
        present = await self.present.resolve(principal, now=now)
        trial = await self.trial.resolve(principal, now=now)
        self._report(principal, present.decide(principal, now), trial.decide(principal, now))
        return replace(self, present=present, trial=trial, is_reported=True)

    @property
    def is_async(self) -> bool:
        return self.trial.is_async or self.present.is_async

    @property
    def runs_functions(self) -> bool:
        return True  # so that nothing is decided, and logged, that the request did not reach

    @property
    def scopes(self) -> tuple[str, ...]:
        return self.present.scopes

    def permissions_named(self) -> frozenset[str]:
        return self.trial.permissions_named() | self.present.permissions_named()

    def roles_named(self) -> frozenset[str]:
        return self.trial.roles_named() | self.present.roles_named()

    def _steps(self, principal: Principal, now: float, *, depth: int, reached: bool) -> list[Step]:
        deciding = self.present._steps(principal, now, depth=depth + 1, reached=reached)
        trying = self.trial._steps(principal, now, depth=depth + 1, reached=reached)
        return [Step(depth, str(self), deciding[0].allowed), *deciding, *trying]

    def _report(self, principal: Principal, refusal: Refusal | None, on_trial: Refusal | None) -> None:
        if (refusal is None) is not (on_trial is None):
            would = "let in" if on_trial is None else "refuse"
            _log.warning("%s would %s %s by %s", self.trial, would, principal.subject, principal.credential)

    def __str__(self) -> str:
        return f"shadow ({self.trial})" + (f" instead of ({self.present})" if self.decides else "")
