"""A policy on trial is decided and logged, and refuses nobody."""

import logging

import pytest

from limen import Policy, Principal, authenticated, permission, role, rule, shadow
from limen.errors import ConfigurationError, InsufficientScope

ALICE = Principal(subject="alice", issuer="i", credential="access_token", permissions=frozenset({"items:write"}))


def decided(policy: Policy, caplog: pytest.LogCaptureFixture) -> tuple[bool, list[str]]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, "limen.shadow"):
        allowed = policy.decide(ALICE, 0.0) is None
    return allowed, [record.getMessage() for record in caplog.records]


def test_whom_it_would_refuse_is_logged_and_comes_in(caplog) -> None:
    policy = "items:write" & shadow(role("editor"))
    assert decided(policy, caplog) == (True, ["role editor would refuse alice by access_token"])
    assert decided("items:write" & shadow("items:write"), caplog) == (True, [])
    policy.check(ALICE, now=0.0)


def test_who_is_refused_anyway_is_not_logged(caplog) -> None:
    assert decided("items:delete" & shadow(role("editor")), caplog) == (False, [])
    with pytest.raises(InsufficientScope):
        ("items:delete" & shadow(role("editor"))).check(ALICE, now=0.0)


def test_what_a_replacement_would_change_is_logged_both_ways(caplog) -> None:
    assert decided(shadow(role("editor"), instead_of="items:write"), caplog) == (
        True,
        ["role editor would refuse alice by access_token"],
    )
    assert decided(shadow("items:write", instead_of=role("editor")), caplog) == (
        False,
        ["items:write would let in alice by access_token"],
    )
    assert decided(shadow("items:delete", instead_of=role("editor")), caplog) == (False, [])


@pytest.mark.parametrize(
    "join",
    [
        lambda: role("admin") | shadow("items:write"),
        lambda: shadow("items:write") | "items:read",
        lambda: "items:read" | shadow("items:write"),
        lambda: ~shadow("items:write"),
        lambda: role("admin") | (shadow("items:write") & shadow(role("editor"))),
        lambda: ~(shadow("items:write") & shadow(role("editor"))),
        lambda: (role("admin") | "items:read") | shadow("items:write"),
    ],
)
def test_what_decides_nothing_does_not_join_where_it_would_open_or_close(join) -> None:
    with pytest.raises(ConfigurationError, match="decides nothing"):
        join()


def test_with_one_that_decides_it_joins_as_that_one(caplog) -> None:
    trial = shadow("items:read", instead_of=role("admin"))
    assert decided(trial | "items:write", caplog)[0]
    assert not decided(trial | "items:delete", caplog)[0]
    assert decided(~trial, caplog)[0]
    assert decided((role("admin") & shadow("items:read")) | "items:write", caplog)[0]


def test_the_names_in_it_are_checked_and_its_scopes_are_not_asked_for() -> None:
    policy = "items:write" & shadow("items:delete" & role("editor"))
    assert (policy.permissions_named(), policy.roles_named()) == ({"items:write", "items:delete"}, {"editor"})
    assert policy.scopes == ("items:write",)
    assert str(policy) == "items:write & shadow (items:delete & role editor)"
    assert str(shadow("items:read", instead_of="items")) == "shadow (items:read) instead of (items)"


def test_an_explanation_shows_both_and_logs_nothing(caplog) -> None:
    steps = ("items:write" & shadow(role("editor"))).explain(ALICE, now=0.0)
    assert [(step.depth, step.rule, step.allowed) for step in steps] == [
        (0, "items:write & shadow (role editor)", True),
        (1, "items:write", True),
        (1, "shadow (role editor)", True),
        (2, "authenticated", True),
        (2, "role editor", False),
    ]
    assert caplog.records == []


@pytest.mark.anyio
async def test_an_asynchronous_one_is_logged_once(caplog) -> None:
    async def no(_: Principal) -> bool:
        return False

    policy = permission("items:write") & shadow(rule(no)) & authenticated()
    with caplog.at_level(logging.WARNING, "limen.shadow"):
        (await policy.resolve(ALICE, now=0.0)).check(ALICE, now=0.0)
    assert [record.getMessage() for record in caplog.records] == ["rule no would refuse alice by access_token"]
