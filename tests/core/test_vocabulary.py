"""Names that nobody declared are refused at start, with the nearest that somebody did."""

import pytest

from limen.core.policy import permission
from limen.core.roles import Role
from limen.core.rules import role
from limen.core.vocabulary import OWN_PERMISSIONS, Vocabulary
from limen.errors import ConfigurationError

ROLES = {
    each.name: each
    for each in (Role("member", ["items:read"]), Role("editor", ["items", "tags:write"]), Role("admin", ["*"]))
}


def vocabulary(*listed: str, roles: dict[str, Role] = ROLES) -> Vocabulary:
    return Vocabulary(roles=roles, listed=listed)


@pytest.mark.parametrize(
    "name",
    [
        "items:read",
        "items",
        "items:write",
        "items:read:own",
        "items:export",
        "tags",
        "tags:write:own",
        "*",
        *OWN_PERMISSIONS,
    ],
)
def test_what_is_declared_wider_or_narrower_is_known(name: str) -> None:
    vocabulary().check(permission(name))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("itms:read", "items:read"),
        ("item:read", "items:read"),
        ("items:raed", "items:read"),
        ("items:rea", "items:read"),
        ("items:reads", "items:read"),
        ("items:reed", "items:read"),
        ("tags:wirte", "tags:write"),
        ("tag", "tags"),
        ("user:read", "users:read"),
        ("users:raed", "users:read"),
        ("audit:reed", "audit:read"),
        ("token:introspect", "tokens:introspect"),
    ],
)
def test_a_slip_is_named_with_what_was_meant(name: str, nearest: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"did you mean '{nearest}'\? Declare"):
        vocabulary().check(permission(name))


@pytest.mark.parametrize("name", ["orders:read", "tags:read", "users:reset", "users"])
def test_nothing_is_known_by_the_star_alone(name: str) -> None:
    known = name == "users"  # continued by limen's own users:read
    assert vocabulary().knows_permission(name) is known


def test_a_list_closes_what_it_lists() -> None:
    listed = vocabulary("items:read", "items:write")
    listed.check(permission("items:write"))
    listed.check(permission("items:write:own"))
    with pytest.raises(ConfigurationError, match="items:export"):
        listed.check(permission("items:export"))


def test_an_app_that_declares_nothing_may_ask_for_anything() -> None:
    undeclared = vocabulary(roles={})
    undeclared.check(permission("anything:at.all") & role("whoever"))
    assert not undeclared.is_declared


def test_roles_are_checked_wherever_a_policy_names_them() -> None:
    for policy in (role("admn"), ~role("admn"), "items:read" & (role("editor") | role("admn"))):
        with pytest.raises(ConfigurationError, match="did you mean 'admin'"):
            vocabulary().check(policy)


def test_permissions_are_checked_under_a_negation_too() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'items:read'"):
        vocabulary().check(~permission("items:raed"))
