"""The rules that policies are made of: roles, fresh sign-ins, methods, and the app's own functions."""

# ruff: noqa: ARG002  every policy is asked the same question, and few need all of it

import inspect
import math
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import TypeAlias

from limen.core.decision import FORBIDDEN, Refusal
from limen.core.policy import Policy, permission
from limen.core.principal import Principal
from limen.core.roles import check_role
from limen.errors import ConfigurationError

RuleFunction: TypeAlias = Callable[[Principal], bool] | Callable[[Principal], Awaitable[bool]]
PolicyLike: TypeAlias = Policy | str | RuleFunction

# An issuer's clock may run ahead of ours; a sign-in further in the future is no sign-in.
CLOCK_SKEW_SECONDS = 60

_CREDENTIALS = frozenset({"access_token", "api_key", "session_cookie"})
# RFC 8176 §2. Closed lists, because a misspelt name under `~` would open what it should close.
_AMR = frozenset(
    {"face", "fpt", "geo", "hwk", "iris", "kba", "mca", "mfa", "otp", "pin", "pop", "pwd", "rba", "retina", "sc", "sms"}
    | {"swk", "tel", "user", "vbm", "wia"}
)
_AMR_NAMES = {"password": "pwd"}


def role(*names: str) -> Policy:
    """Whoever has one of the roles `names`: `role("admin")`, `role("editor", "moderator")`.

    Raises:
        ConfigurationError: no name, or one that is not a role name.
    """
    return _AnyRole(_some("role", tuple(map(check_role, names))))


def fresh(*, minutes: float) -> Policy:
    """Whoever signed in no longer than `minutes` ago; others are asked to sign in again (RFC 9470, ASVS 7.5.1).

    Raises:
        ConfigurationError: `minutes` is not a positive number.
    """
    if not (math.isfinite(minutes) and minutes > 0):
        raise ConfigurationError(f"fresh(minutes={minutes!r}): give a number of minutes above 0.")
    seconds = max(1, round(minutes * 60))
    return _Fresh(seconds, Refusal(max_age=seconds))


def method(*names: str) -> Policy:
    """Whoever came by one of the ways `names`: `method("password")`, `method("api_key", "access_token")`.

    A way is a credential (`access_token`, `api_key`, `session_cookie`) or how the person signed in: `password`, or a
    value of RFC 8176 §2 (`otp`, `hwk`, `mfa`…).

    Raises:
        ConfigurationError: no name, or an unknown one; the message names the nearest known one.
    """
    ways = frozenset(_AMR_NAMES.get(name, name) for name in _some("method", names))
    for way in sorted(ways - _CREDENTIALS - _AMR):
        raise ConfigurationError(f"method({way!a}) is not known{_nearest(way, _CREDENTIALS | _AMR | {*_AMR_NAMES})}.")
    return _Method(names, ways & _CREDENTIALS, ways & _AMR)


def authenticated() -> Policy:
    """Whoever presents a valid credential."""
    return _Authenticated()


def issued_by(*issuers: str) -> Policy:
    """Whoever one of these issuers vouches for: two issuers may call different people by one `sub` (RFC 7519 §4.1.2).

    Raises:
        ConfigurationError: no issuer.
    """
    return _IssuedBy(_some("issued_by", issuers))


def with_account(issuer: str) -> Policy:
    """Whoever has a row here: the people of `issuer`, this app itself, and those of others who were given one."""
    return _WithAccount(issuer)


def rule(function: RuleFunction, *, name: str | None = None) -> Policy:
    """Whomever the app's own function allows; it takes the principal and returns True or False, or awaits to them.

    Args:
        function: runs only when the rules before it leave the decision open.
        name: how the route map calls it; default the function's own name.

    Raises:
        ConfigurationError: `function` does not take one principal.
    """
    _check_rule_function(function)
    return _Rule(name or _name_of(function), function, _is_async(function))


def as_policy(asked: PolicyLike) -> Policy:
    """The policy that `auth.require(...)` was given: itself, a permission's name, or the app's own function.

    Raises:
        ConfigurationError: something else, or a permission that is malformed.
    """
    if isinstance(asked, Policy):
        return asked
    if isinstance(asked, str):
        return permission(asked)
    if callable(asked):
        return rule(asked)
    raise ConfigurationError(
        f"{asked!r} is not a policy: give a permission such as 'items:write', role('admin'), fresh(minutes=10), "
        "method('password'), authenticated(), a function of the principal, or a combination of them."
    )


@dataclass(frozen=True, slots=True, repr=False)
class _AnyRole(Policy):
    names: tuple[str, ...]

    def decide(self, principal: Principal, now: float) -> Refusal | None:
        return FORBIDDEN if principal.roles.isdisjoint(self.names) else None

    def roles_named(self) -> frozenset[str]:
        return frozenset(self.names)

    def __str__(self) -> str:
        return f"role {' or '.join(self.names)}"


@dataclass(frozen=True, slots=True, repr=False)
class _Fresh(Policy):
    seconds: int
    refusal: Refusal

    def decide(self, principal: Principal, now: float) -> Refusal | None:
        if principal.auth_time is None:
            return self.refusal
        age = now - principal.auth_time.timestamp()
        return None if -CLOCK_SKEW_SECONDS <= age <= self.seconds else self.refusal

    def __str__(self) -> str:
        minutes, rest = divmod(self.seconds, 60)
        return f"fresh {self.seconds} s" if rest else f"fresh {minutes} min"


@dataclass(frozen=True, slots=True, repr=False)
class _Method(Policy):
    names: tuple[str, ...]
    credentials: frozenset[str]
    amr: frozenset[str]

    def decide(self, principal: Principal, now: float) -> Refusal | None:
        came = principal.credential in self.credentials or not self.amr.isdisjoint(principal.amr)
        return None if came else FORBIDDEN

    def __str__(self) -> str:
        return f"method {' or '.join(self.names)}"


@dataclass(frozen=True, slots=True, repr=False)
class _IssuedBy(Policy):
    issuers: tuple[str, ...]

    def decide(self, principal: Principal, now: float) -> Refusal | None:
        return None if principal.issuer in self.issuers else FORBIDDEN

    def __str__(self) -> str:
        return f"issued by {' or '.join(self.issuers)}"


@dataclass(frozen=True, slots=True, repr=False)
class _WithAccount(Policy):
    issuer: str

    def decide(self, principal: Principal, now: float) -> Refusal | None:
        return None if principal.account is not None or principal.issuer == self.issuer else FORBIDDEN

    def __str__(self) -> str:
        return "with an account"


@dataclass(frozen=True, slots=True, repr=False)
class _Authenticated(Policy):
    def decide(self, principal: Principal, now: float) -> Refusal | None:
        return None

    def __str__(self) -> str:
        return "authenticated"


@dataclass(frozen=True, slots=True, repr=False)
class _Rule(Policy):
    name: str
    function: RuleFunction
    is_async: bool

    def decide(self, principal: Principal, now: float) -> Refusal | None:
        if self.is_async:
            raise TypeError(f"{self} is asynchronous: await policy.resolve(...) before deciding.")
        return self._refusal(self.function(principal))

    async def resolve(self, principal: Principal, *, now: float) -> Policy:
        outcome = self.function(principal)
        return _Answer(self.name, self._refusal(await outcome if inspect.isawaitable(outcome) else outcome))

    @property
    def runs_functions(self) -> bool:
        return True

    def _refusal(self, outcome: object) -> Refusal | None:
        # Only a bool decides: a coroutine that nobody awaited is true, and under `~` whatever is falsy would allow.
        if not isinstance(outcome, bool):
            raise TypeError(f"{self} returned {type(outcome).__name__}, not True or False.")
        return None if outcome else FORBIDDEN

    def __str__(self) -> str:
        return f"rule {self.name}"


@dataclass(frozen=True, slots=True, repr=False)
class _Answer(Policy):
    """A rule of the app that has been asked already, for one principal."""

    name: str
    refusal: Refusal | None

    def decide(self, principal: Principal, now: float) -> Refusal | None:
        return self.refusal

    def __str__(self) -> str:
        return f"rule {self.name}"


def _some(builder: str, names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ConfigurationError(f"{builder}() needs at least one name.")
    return names


def _nearest(name: str, known: AbstractSet[str]) -> str:
    found = get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {found[0]!r}?" if found else f"; known are {', '.join(sorted(known))}"


def _is_async(function: RuleFunction) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _check_rule_function(function: RuleFunction) -> None:
    if isinstance(function, type) or not callable(function):
        raise ConfigurationError(f"{function!r} is not a rule: give a function of the principal.")
    try:
        inspect.signature(function).bind(None)
    except TypeError as error:
        raise ConfigurationError(f"The rule {_name_of(function)} must take one argument, the principal.") from error
    except ValueError:  # a function in C may have no signature to look at
        return


def _name_of(function: RuleFunction) -> str:
    if isinstance(function, partial):
        return _name_of(function.func)
    name: str = getattr(function, "__name__", type(function).__name__)
    return name
