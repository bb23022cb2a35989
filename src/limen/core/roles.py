"""Roles: named bundles of permissions, declared in code, assigned in the database."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from limen.core.permissions import check_permission
from limen.errors import ConfigurationError

MAX_ROLE_LENGTH = 64

_ROLE = re.compile(r"[a-z0-9_][a-z0-9_.-]*")


def check_role(name: str) -> str:
    """The name of a role that the app declares or asks for.

    Raises:
        ConfigurationError: `name` is not a role name; the message names it, with look-alike letters escaped.
    """
    if not isinstance(name, str) or len(name) > MAX_ROLE_LENGTH or not _ROLE.fullmatch(name):
        raise ConfigurationError(
            f"{name!a} is not a role name: use a-z 0-9 _ . - in lower case, at most {MAX_ROLE_LENGTH} characters."
        )
    return str(name)


@dataclass(frozen=True, slots=True, init=False)
class Role:
    """Permissions that belong together, under one name: `Role("editor", ["items", "tags:write"])`.

    Attributes:
        name: what users are assigned and `role("editor")` asks for.
        permissions: in canonical form.
        description: one sentence for whoever assigns it.
        default: whether a new account gets it.

    Raises:
        ConfigurationError: a name that is not a role name or a permission.
    """

    name: str
    permissions: frozenset[str]
    description: str
    default: bool

    def __init__(self, name: str, permissions: Iterable[str], *, description: str = "", default: bool = False) -> None:
        if isinstance(permissions, str):  # each of its letters would pass for a permission
            raise ConfigurationError(f"Role {name!a}: give the permissions as a list, [{permissions!a}].")
        object.__setattr__(self, "name", check_role(name))
        object.__setattr__(self, "permissions", frozenset(check_permission(each) for each in permissions))
        object.__setattr__(self, "description", description)
        object.__setattr__(self, "default", default)
