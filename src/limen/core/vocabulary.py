"""The names that an app declares: a permission or role that nobody declared is a slip of the pen, found at start.

A permission is known when it is declared by a role or by `Auth(permissions=…)`, when a declared one continues it
(`items`, where `items:read` is declared), or when it continues a declared one (`items:export`, where a role holds
`items`); but not when it is one slip away from a declared name, nor when `Auth(permissions=…)` lists what there is
under that declared one. `*` makes nothing known but itself. limen's own permissions always are.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType

from limen.core.permissions import check_permission, covering
from limen.core.policy import Policy
from limen.core.roles import Role
from limen.errors import ConfigurationError

OWN_PERMISSIONS: Mapping[str, str] = MappingProxyType(
    {
        "*": "Everything",
        "users:read": "See accounts",
        "users:write": "Change accounts, roles and permissions",
        "users:delete": "Delete accounts",
        "tokens:introspect": "Ask what a token is worth",
        "audit:read": "Read the audit log",
    }
)
"""What limen's own routes ask for."""


class Vocabulary:
    """Knows which names of permissions and roles mean something in this app.

    Args:
        roles: those that the app declares.
        listed: the permissions that it lists with a sentence each.

    Attributes:
        is_declared: whether the app declares anything; only then can a name be unknown.
    """

    def __init__(self, *, roles: Mapping[str, Role], listed: Iterable[str]) -> None:
        self._roles = frozenset(roles)
        self._listed = frozenset(map(check_permission, listed)) - {"*"}
        by_roles = frozenset().union(*(role.permissions for role in roles.values()))
        self.is_declared = bool(self._roles or self._listed)
        self._declared = (by_roles | self._listed | frozenset(OWN_PERMISSIONS)) - {"*"}
        self._known = frozenset({"*"}.union(*map(_itself_and_wider, self._declared)))

    def check(self, policy: Policy) -> None:
        """Refuse a policy that names what nobody declared.

        Raises:
            ConfigurationError: it does; the message names the nearest declared name.
        """
        for name in sorted(policy.permissions_named()):
            self.check_permission(name)
        for name in sorted(policy.roles_named()):
            self.check_role(name)

    def check_permission(self, name: str) -> None:
        """Refuse a permission that nobody declared.

        Raises:
            ConfigurationError: it is not known, or no permission at all.
        """
        if not self.knows_permission(check_permission(name)):
            near = self._nearest(name)
            raise ConfigurationError(
                f"The permission {name!a} is not declared{_did_you_mean(near)} Declare it in a Role or in "
                "Auth(permissions={…}) if it is meant."
            )

    def check_role(self, name: str) -> None:
        """Refuse a role that nobody declared.

        Raises:
            ConfigurationError: it is not known.
        """
        if self.is_declared and name not in self._roles:
            near = next(iter(get_close_matches(name, sorted(self._roles), n=1)), None)
            raise ConfigurationError(
                f"The role {name!a} is not declared{_did_you_mean(near)} Declare it in Auth(roles=[…])."
            )

    def knows_permission(self, name: str) -> bool:
        """Whether this canonical name means something here."""
        if not self.is_declared or name in self._known:
            return True
        wider = next((each for each in covering(name)[1:] if each in self._declared), None)
        if wider is None or any(each.startswith(f"{wider}:") for each in self._listed):
            return False
        return not any(_is_slip(name, each) for each in self._known)

    def _nearest(self, name: str) -> str | None:
        slips = sorted(each for each in self._known if _is_slip(name, each))
        return next(iter(slips or get_close_matches(name, sorted(self._known), n=1)), None)


def _itself_and_wider(name: str) -> frozenset[str]:
    return frozenset(each for each in covering(name) if "*" not in each)


def _is_slip(one: str, other: str) -> bool:
    """Whether two names differ by one letter, or by two neighbours swapped, in words of four letters and more."""
    if abs(len(one) - len(other)) > 1 or max(map(len, one.rpartition(":")[2:] + other.rpartition(":")[2:])) < 4:
        return False
    start = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    a, b = one[start:], other[start:]
    swapped = len(a) >= 2 and a[1::-1] + a[2:] == b
    return swapped or a[1:] == b[1:] or a[1:] == b or a == b[1:]


def _did_you_mean(near: str | None) -> str:
    return f"; did you mean {near!a}?" if near else "."
