"""Policies: rules over a principal that compose with `&`, `|` and `~`, and say what would have been enough.

    may_publish = "items:write" & (role("editor") | fresh(minutes=10))

A policy only ever sees a verified principal, so `~` cannot let the anonymous in. Deciding is synchronous; an app's
asynchronous rules are answered first, by `resolve`. The rules themselves are in `rules`.
"""

# ruff: noqa: ARG002  every policy is asked the same question, and few need all of it

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, NoReturn

from limen.core.decision import FORBIDDEN, Refusal, Step
from limen.core.permissions import check_permission, covering, minimal
from limen.core.principal import Principal
from limen.errors import ConfigurationError


class Policy(ABC):
    """A rule over a principal. Build one with `permission`, `role`, `fresh`, `method`, `authenticated` or `rule`."""

    __slots__ = ()

    @abstractmethod
    def decide(self, principal: Principal, now: float) -> Refusal | None:
        """None when `principal` is allowed at `now` (seconds since the epoch), else what it lacks.

        Raises:
            TypeError: an asynchronous rule was reached that is not resolved.
        """

    @abstractmethod
    def __str__(self) -> str: ...

    def check(self, principal: Principal, *, now: float) -> None:
        """Pass, or raise what tells the client how to go on.

        Raises:
            InsufficientScope: a permission is missing (RFC 6750 §3.1); `scope` names what would have been enough.
            StepUpRequired: the sign-in is too old (RFC 9470 §3).
            Forbidden: nothing that the client can fetch would help.
        """
        refusal = self.decide(principal, now)
        if refusal is not None:
            raise refusal.error(f"policy refused: {self}", subject=principal.subject)

    def explain(self, principal: Principal, *, now: float) -> tuple[Step, ...]:
        """The decision on every part in reading order, the whole first; runs no function that `check` would not run."""
        return tuple(self._steps(principal, now, depth=0, reached=True))

    async def resolve(self, principal: Principal, *, now: float) -> "Policy":
        """This policy with the app's rules answered, each only if it is reached; needed when `is_async`."""
        return self

    @property
    def is_async(self) -> bool:
        """Whether an asynchronous function takes part, so that `resolve` must come before `check`."""
        return False

    @property
    def runs_functions(self) -> bool:
        """Whether a function of the app takes part."""
        return False

    @property
    def scopes(self) -> tuple[str, ...]:
        """The permissions that it asks for, sorted, for OpenAPI; those under `~` are not asked for."""
        return ()

    def permissions_named(self) -> frozenset[str]:
        """Every permission that it names, so that start-up can refuse an unknown one."""
        return frozenset()

    def roles_named(self) -> frozenset[str]:
        """Every role that it names, so that start-up can refuse an unknown one."""
        return frozenset()

    @property
    def decides(self) -> bool:
        """False for a policy on trial that lets everybody pass: it only stands beside one that decides."""
        return True

    def _check_joins(self, sign: str) -> None:
        if not self.decides:  # beside `|` it would let everybody in, and under `~` nobody
            raise ConfigurationError(f"{self} decides nothing, so it does not join by {sign}: give it instead_of=…")

    def _steps(self, principal: Principal, now: float, *, depth: int, reached: bool) -> list[Step]:
        asked = not self.runs_functions or (reached and not self.is_async)
        return [Step(depth, str(self), self.decide(principal, now) is None if asked else None)]

    def __and__(self, other: "Policy | str") -> "Policy":
        return _AllOf.of(self, _operand(other))

    def __rand__(self, other: "Policy | str") -> "Policy":
        return _operand(other) & self

    def __or__(self, other: "Policy | str") -> "Policy":
        return _AnyOf.of(self, _operand(other))

    def __ror__(self, other: "Policy | str") -> "Policy":
        return _operand(other) | self

    def __invert__(self) -> "Policy":
        self._check_joins("~")
        return _Not(self)

    def __bool__(self) -> NoReturn:
        # `role("a") and role("b")` would quietly be `role("b")` alone.
        raise TypeError("A policy has no truth value: combine policies with & | ~, not with and, or, not.")

    def __repr__(self) -> str:
        return f"<Policy {self}>"


def permission(name: str) -> Policy:
    """Whoever holds `name` or a wider permission: `permission("items:write")`.

    Raises:
        ConfigurationError: `name` is not a permission.
    """
    name = check_permission(name)
    return _Permission(name, covering(name), Refusal(scopes=(name,)))


@dataclass(frozen=True, slots=True, repr=False)
class _Permission(Policy):
    name: str
    enough: tuple[str, ...]
    refusal: Refusal

    def decide(self, principal: Principal, now: float) -> Refusal | None:
        held = principal.permissions
        return None if self.name in held or not held.isdisjoint(self.enough) else self.refusal

    @property
    def scopes(self) -> tuple[str, ...]:
        return (self.name,)

    def permissions_named(self) -> frozenset[str]:
        return frozenset((self.name,))

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, repr=False)
class _Not(Policy):
    policy: Policy

    def decide(self, principal: Principal, now: float) -> Refusal | None:
        return FORBIDDEN if self.policy.decide(principal, now) is None else None

    async def resolve(self, principal: Principal, *, now: float) -> Policy:
        return _Not(await self.policy.resolve(principal, now=now))

    @property
    def is_async(self) -> bool:
        return self.policy.is_async

    @property
    def runs_functions(self) -> bool:
        return self.policy.runs_functions

    def permissions_named(self) -> frozenset[str]:
        return self.policy.permissions_named()

    def roles_named(self) -> frozenset[str]:
        return self.policy.roles_named()

    def _steps(self, principal: Principal, now: float, *, depth: int, reached: bool) -> list[Step]:
        inner = self.policy._steps(principal, now, depth=depth + 1, reached=reached)
        allowed = inner[0].allowed
        return [Step(depth, str(self), None if allowed is None else not allowed), *inner]

    def __invert__(self) -> Policy:
        return self.policy

    def __str__(self) -> str:
        return f"~{_bracketed(self.policy)}"


@dataclass(frozen=True, slots=True, repr=False)
class _Combination(Policy):
    """Parts asked in order until one settles it."""

    parts: tuple[Policy, ...]
    sign: ClassVar[str]
    settled_by: ClassVar[bool]

    @classmethod
    def of(cls, *policies: Policy) -> Policy:
        """One flat combination, so that `(a & b) & c` equals `a & (b & c)` and reads without brackets."""
        if cls.settled_by:
            for policy in policies:
                policy._check_joins(cls.sign)
        nested = (each.parts if isinstance(each, cls) else (each,) for each in policies)
        return cls(tuple(part for parts in nested for part in parts))

    async def resolve(self, principal: Principal, *, now: float) -> Policy:
        parts = list(self.parts)
        for index, part in enumerate(self.parts):
            parts[index] = await part.resolve(principal, now=now)
            if (parts[index].decide(principal, now) is None) is self.settled_by:
                break
        return replace(self, parts=tuple(parts))

    @property
    def is_async(self) -> bool:
        return any(part.is_async for part in self.parts)

    @property
    def runs_functions(self) -> bool:
        return any(part.runs_functions for part in self.parts)

    @property
    def scopes(self) -> tuple[str, ...]:
        return tuple(sorted({scope for part in self.parts for scope in part.scopes}))

    @property
    def decides(self) -> bool:
        return any(part.decides for part in self.parts)

    def permissions_named(self) -> frozenset[str]:
        return frozenset().union(*(part.permissions_named() for part in self.parts))

    def roles_named(self) -> frozenset[str]:
        return frozenset().union(*(part.roles_named() for part in self.parts))

    def _steps(self, principal: Principal, now: float, *, depth: int, reached: bool) -> list[Step]:
        steps: list[Step] = []
        outcomes: set[bool | None] = set()
        for part in self.parts:
            inner = part._steps(principal, now, depth=depth + 1, reached=reached)
            outcomes.add(inner[0].allowed)
            # After a part that settles it, or that is not known, no function would run.
            reached = reached and inner[0].allowed is (not self.settled_by)
            steps += inner
        return [Step(depth, str(self), self._outcome(outcomes)), *steps]

    def _outcome(self, outcomes: set[bool | None]) -> bool | None:
        if self.settled_by in outcomes:
            return self.settled_by
        return None if None in outcomes else not self.settled_by

    def __str__(self) -> str:
        return f" {self.sign} ".join(map(_bracketed, self.parts))


@dataclass(frozen=True, slots=True, repr=False)
class _AllOf(_Combination):
    sign: ClassVar[str] = "&"
    settled_by: ClassVar[bool] = False

    def decide(self, principal: Principal, now: float) -> Refusal | None:
        for index, part in enumerate(self.parts):
            refusal = part.decide(principal, now)
            if refusal is not None:
                return self._missing(refusal, self.parts[index + 1 :], principal, now)
        return None

    def _missing(self, first: Refusal, later: tuple[Policy, ...], principal: Principal, now: float) -> Refusal:
        """All that is missing at once, so that the client comes back once; functions of the app are not run for it."""
        decided = (part.decide(principal, now) for part in later if not part.runs_functions)
        refusals = [first, *(refusal for refusal in decided if refusal is not None)]
        if any(refusal.is_final for refusal in refusals):
            return FORBIDDEN
        scopes = minimal({scope for refusal in refusals for scope in refusal.scopes})
        ages = [refusal.max_age for refusal in refusals if refusal.max_age is not None]
        return Refusal(tuple(sorted(scopes)), min(ages, default=None))


@dataclass(frozen=True, slots=True, repr=False)
class _AnyOf(_Combination):
    sign: ClassVar[str] = "|"
    settled_by: ClassVar[bool] = True

    def decide(self, principal: Principal, now: float) -> Refusal | None:
        refusals = []
        for part in self.parts:
            refusal = part.decide(principal, now)
            if refusal is None:
                return None
            refusals.append(refusal)
        # The first that asks for scopes, else the first that asks for a sign-in: `min` keeps the order among equals.
        return min(refusals, key=lambda refusal: (not refusal.scopes, refusal.max_age is None))


def _bracketed(policy: Policy) -> str:
    return f"({policy})" if isinstance(policy, _Combination) else str(policy)


def _operand(other: Policy | str) -> Policy:
    if isinstance(other, Policy):
        return other
    if isinstance(other, str):
        return permission(other)
    raise ConfigurationError(f"{other!r} does not combine with a policy: wrap a function as rule(function).")
