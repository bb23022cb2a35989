"""What a user holds, and what of it a credential carries."""

from collections.abc import Mapping
from dataclasses import dataclass

from limen.core.permissions import covers_any, format_scope, intersect, minimal, parse_scope
from limen.core.principal import Principal
from limen.core.roles import Role
from limen.errors import Forbidden, InsufficientScope


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the database says a user holds, at version `epoch`.

    Attributes:
        is_active: False for a disabled account.
        is_service: a machine's account, which has no way to sign in.
    """

    roles: frozenset[str] = frozenset()
    permissions: frozenset[str] = frozenset()
    epoch: int = 0
    is_active: bool = True
    is_service: bool = False

    @property
    def may_sign_in(self) -> bool:
        """Whether a first factor, whichever it is, may become a session."""
        return self.is_active and not self.is_service


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What a credential carries of it.

    Attributes:
        permissions: held ∩ scope.
        roles: the held roles whose permissions are all carried; a narrowed credential does not pass for the whole role,
            nor for one that has no permissions.
    """

    permissions: frozenset[str]
    roles: frozenset[str]


def granted(held: Held, declared: Mapping[str, Role]) -> frozenset[str]:
    """Every permission of a user, by roles and direct; a role that the code no longer declares gives nothing."""
    by_role = (declared[name].permissions for name in held.roles if name in declared)
    return minimal(held.permissions.union(*by_role))


def carry(held: Held, declared: Mapping[str, Role], *, scope: str | None) -> Carried:
    """What a credential narrowed to `scope` carries; None or empty means everything (RFC 6749 §3.3).

    Raises:
        InvalidScope: the scope is malformed.
    """
    permissions = granted(held, declared)
    if scope:
        permissions = intersect(permissions, parse_scope(scope))
    bundles = {name: declared[name].permissions for name in held.roles if name in declared}
    whole = (name for name, bundle in bundles.items() if _covers_all(permissions, bundle) and (bundle or not scope))
    return Carried(permissions=permissions, roles=frozenset(whole))


def check_holds(by: Principal, held: Held, declared: Mapping[str, Role]) -> None:
    """Nobody hands out what they do not hold themselves: a credential of somebody with more would be theirs.

    Raises:
        InsufficientScope: `by` lacks a permission of those.
        Forbidden: a role of those that brings no permission.
    """
    missing = {name for name in granted(held, declared) if not by.can(name)}
    if missing:
        raise InsufficientScope("handing out what one does not hold", scope=format_scope(missing), subject=by.subject)
    bare = {name for name in held.roles if name in declared and not declared[name].permissions}
    if bare - by.roles and not by.can("*"):
        raise Forbidden("handing out a role that one does not hold", subject=by.subject)


def check_may_administer(by: Principal, held: Held, declared: Mapping[str, Role]) -> None:
    """Only who holds `*` may change, shut out or remove who holds it.

    Raises:
        Forbidden: `by` does not.
    """
    if "*" in granted(held, declared) and not by.can("*"):
        raise Forbidden("an administrator answers to administrators only", subject=by.subject)


def _covers_all(held: frozenset[str], needed: frozenset[str]) -> bool:
    return all(covers_any(held, permission) for permission in needed)
