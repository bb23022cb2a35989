"""Policies: who is allowed, what a refusal asks for, how a policy reads, and how it is explained."""

import asyncio
import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limen.core.decision import Step
from limen.core.policy import Policy, permission
from limen.core.principal import Principal
from limen.core.roles import Role
from limen.core.rules import CLOCK_SKEW_SECONDS, as_policy, authenticated, fresh, issued_by, method, role, rule
from limen.errors import AuthError, ConfigurationError, Forbidden, InsufficientScope, StepUpRequired

SIGNED_IN = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW = (SIGNED_IN + timedelta(minutes=5)).timestamp()


def principal(
    *permissions: str,
    roles: tuple[str, ...] = (),
    amr: tuple[str, ...] = ("pwd",),
    credential: str = "access_token",
    auth_time: datetime | None = SIGNED_IN,
) -> Principal:
    return Principal(
        subject="alice",
        issuer="https://app.example/auth",
        credential=credential,
        permissions=frozenset(permissions),
        roles=frozenset(roles),
        amr=amr,
        auth_time=auth_time,
    )


def allows(policy: Policy, someone: Principal) -> bool:
    return policy.decide(someone, NOW) is None


def refused(policy: Policy, someone: Principal) -> AuthError:
    with pytest.raises(AuthError) as raised:
        policy.check(someone, now=NOW)
    return raised.value


def scope_asked(policy: Policy, someone: Principal) -> str:
    error = refused(policy, someone)
    assert isinstance(error, InsufficientScope)
    return error.scope


def owns(someone: Principal) -> bool:
    return someone.subject == "alice"


async def owns_later(someone: Principal) -> bool:
    await asyncio.sleep(0)
    return someone.subject == "alice"


def no(someone: Principal) -> bool:
    return False


def never(someone: Principal) -> bool:
    raise AssertionError("this rule must not run")


def test_permission_is_held_itself_or_through_a_wider_one() -> None:
    for held in ("items:write", "items", "items:*", "*"):
        permission("items:write").check(principal(held), now=NOW)
        permission("items:write:*").check(principal(held), now=NOW)


@pytest.mark.parametrize("held", ["items:read", "items:write:own", "item", "Items", ""])
def test_missing_permission_is_named_in_the_refusal(held: str) -> None:
    error = refused(permission("items:write"), principal(held))
    assert isinstance(error, InsufficientScope)
    assert (error.status, error.code, error.data) == (403, "insufficient_scope", {"scope": "items:write"})
    assert error.context == {"subject": "alice"}


def test_role_is_one_of_those_named() -> None:
    assert allows(role("admin"), principal(roles=("admin",)))
    assert allows(role("editor", "admin"), principal(roles=("admin", "member")))
    assert type(refused(role("admin", "editor"), principal("*", roles=("member",)))) is Forbidden


def test_fresh_sign_in_is_asked_for_as_in_rfc_9470() -> None:
    policy = fresh(minutes=5)
    assert policy.decide(principal(), NOW) is None
    with pytest.raises(StepUpRequired) as raised:
        policy.check(principal(), now=NOW + 1)
    assert (raised.value.status, raised.value.code) == (401, "insufficient_user_authentication")
    assert raised.value.data == {"max_age": 300}


def test_nobody_who_never_signed_in_is_fresh() -> None:
    assert isinstance(refused(fresh(minutes=5), principal(credential="api_key", auth_time=None)), StepUpRequired)


def test_sign_in_in_the_future_counts_only_within_the_skew() -> None:
    at = SIGNED_IN.timestamp()
    assert fresh(minutes=5).decide(principal(), at - CLOCK_SKEW_SECONDS) is None
    assert fresh(minutes=5).decide(principal(), at - CLOCK_SKEW_SECONDS - 1) is not None


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf")])
def test_fresh_needs_a_positive_age(minutes: float) -> None:
    with pytest.raises(ConfigurationError, match="minutes"):
        fresh(minutes=minutes)


@pytest.mark.parametrize(
    ("names", "amr", "credential", "allowed"),
    [
        (("password",), ("pwd",), "access_token", True),
        (("pwd",), ("pwd", "otp"), "session_cookie", True),
        (("password",), ("hwk",), "access_token", False),
        (("password",), (), "api_key", False),
        (("mfa", "hwk"), ("hwk",), "access_token", True),
        (("api_key",), (), "api_key", True),
        (("api_key",), ("pwd",), "access_token", False),
        (("access_token", "session_cookie"), (), "session_cookie", True),
        (("api_key",), ("api_key",), "access_token", False),
        (("password",), ("password",), "access_token", False),
    ],
)
def test_method(names: tuple[str, ...], amr: tuple[str, ...], credential: str, allowed: bool) -> None:
    assert allows(method(*names), principal(amr=amr, credential=credential)) is allowed


def test_unknown_method_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'password'"):
        method("pasword")
    with pytest.raises(ConfigurationError, match="did you mean 'api_key'"):
        ~method("api_keys")
    with pytest.raises(ConfigurationError, match="known are"):
        method("zzzz")


@pytest.mark.parametrize("build", [role, method])
def test_a_list_of_names_is_not_empty(build: Callable[[], Policy]) -> None:
    with pytest.raises(ConfigurationError, match="at least one name"):
        build()


def test_authenticated_allows_every_principal() -> None:
    assert allows(authenticated(), principal(credential="api_key"))
    assert not allows(~authenticated(), principal("*"))


def test_rule_asks_the_function() -> None:
    assert allows(rule(owns), principal())
    assert type(refused(rule(no), principal("*"))) is Forbidden


@pytest.mark.parametrize("outcome", [None, 1, 0, "yes", ["x"]])
def test_rule_that_does_not_answer_true_or_false_decides_nothing(outcome: object) -> None:
    policy = rule(lambda someone: outcome, name="vague")  # type: ignore[arg-type]
    for each in (policy, ~policy):
        with pytest.raises(TypeError, match="rule vague returned"):
            each.decide(principal(), NOW)


def test_asynchronous_function_in_disguise_does_not_pass_for_true() -> None:
    coroutine = owns_later(principal())
    with pytest.raises(TypeError, match="coroutine"):
        rule(lambda someone: coroutine).decide(principal(), NOW)
    coroutine.close()


@pytest.mark.parametrize("function", [lambda: True, lambda one, two: True, lambda *, someone: True, Role, int])
def test_rule_refuses_what_does_not_take_one_principal(function: Callable[[Principal], bool]) -> None:
    with pytest.raises(ConfigurationError):
        rule(function)


def test_as_policy_takes_what_require_is_given() -> None:
    policy = role("admin")
    assert as_policy(policy) is policy
    assert as_policy("items:*") == permission("items")
    assert as_policy(owns) == rule(owns)


@pytest.mark.parametrize("asked", [None, 7, ["items:read"], Role("admin", []), {"items:read"}, b"items:read"])
def test_as_policy_refuses_the_rest(asked: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a policy"):
        as_policy(asked)


@pytest.mark.parametrize("asked", ["", "items read", "Items:read"])
def test_as_policy_refuses_a_malformed_permission(asked: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a permission"):
        as_policy(asked)


def test_text_combines_as_a_permission_from_either_side() -> None:
    assert "items:write" & role("admin") == permission("items:write") & role("admin")
    assert role("admin") | "items:write" == role("admin") | permission("items:write")
    assert "a" | role("admin") == permission("a") | role("admin")
    with pytest.raises(ConfigurationError, match=r"rule\(function\)"):
        role("admin") & owns  # type: ignore[operator]


def test_words_do_not_combine_policies() -> None:
    # `role("a") and role("b")`, `or` and `not` all ask for the truth of the first.
    with pytest.raises(TypeError, match="&"):
        bool(role("a"))


@pytest.mark.parametrize(
    ("policy", "scope"),
    [
        (permission("b") & "a", "a b"),
        (permission("items") & "items:read", "items"),
        (permission("a") | "b", "a"),
        (role("admin") | permission("b") | "c", "b"),
        (fresh(minutes=1) | permission("b"), "b"),
        ("a" & (permission("b") | "c"), "a b"),
        (permission("a") & fresh(minutes=1), "a"),
        (fresh(minutes=1) & "a", "a"),
        ("held" & permission("a"), "a"),
        ((role("admin") & "x") | permission("b"), "b"),
    ],
)
def test_refusal_names_the_scopes_that_would_be_enough(policy: Policy, scope: str) -> None:
    someone = principal("held")
    assert scope_asked(policy, someone) == scope
    policy.check(principal("held", *scope.split(), auth_time=SIGNED_IN + timedelta(minutes=5)), now=NOW)


@pytest.mark.parametrize(
    ("policy", "max_age"),
    [
        (role("admin") | fresh(minutes=1), 60),
        (fresh(minutes=2) & fresh(minutes=1), 60),
        ("held" & fresh(minutes=1), 60),
        (fresh(minutes=2) | fresh(minutes=1), 120),
    ],
)
def test_refusal_names_the_age_that_would_be_enough(policy: Policy, max_age: int) -> None:
    error = refused(policy, principal("held"))
    assert isinstance(error, StepUpRequired)
    assert error.max_age == max_age
    policy.check(principal("held"), now=SIGNED_IN.timestamp() + max_age)


@pytest.mark.parametrize(
    "policy",
    [
        permission("a") & role("admin"),
        role("admin") & permission("a"),
        role("admin") & fresh(minutes=1),
        ~permission("held"),
        ~permission("held") & "a",
        role("admin") | ~permission("held"),
    ],
)
def test_refusal_promises_nothing_that_would_not_be_enough(policy: Policy) -> None:
    assert type(refused(policy, principal("held"))) is Forbidden


def test_functions_run_only_while_the_decision_is_open() -> None:
    assert scope_asked("a" & rule(never), principal()) == "a"
    assert scope_asked("a" & (rule(never) | "c") & "b", principal()) == "a b"
    assert allows("a" | rule(never), principal("a"))


def test_double_negation_keeps_the_challenge() -> None:
    assert scope_asked(~~permission("a"), principal()) == "a"
    assert ~~role("a") == role("a")


LEAVES = [permission("a"), permission("b:c"), role("r"), method("otp"), fresh(minutes=1), authenticated(), rule(owns)]
policies = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: (
        st.builds(lambda a, b: a & b, inner, inner)
        | st.builds(lambda a, b: a | b, inner, inner)
        | st.builds(lambda a: ~a, inner)
    ),
    max_leaves=8,
)
people = st.builds(
    lambda held, roles, amr, when: principal(*held, roles=tuple(roles), amr=tuple(amr), auth_time=when),
    st.frozensets(st.sampled_from(["*", "a", "b", "b:c", "b:c:d"])),
    st.frozensets(st.sampled_from(["r", "s"])),
    st.frozensets(st.sampled_from(["pwd", "otp"])),
    st.sampled_from([None, SIGNED_IN, SIGNED_IN + timedelta(minutes=5)]),
)


@given(policies, policies, people)
def test_operators_are_those_of_logic(one: Policy, other: Policy, someone: Principal) -> None:
    assert allows(one & other, someone) is (allows(one, someone) and allows(other, someone))
    assert allows(one | other, someone) is (allows(one, someone) or allows(other, someone))
    assert allows(~one, someone) is not allows(one, someone)


@given(policies, policies, people)
def test_de_morgan(one: Policy, other: Policy, someone: Principal) -> None:
    assert allows(~(one & other), someone) is allows(~one | ~other, someone)
    assert allows(~(one | other), someone) is allows(~one & ~other, someone)


@given(policies, policies, policies)
def test_grouping_of_one_operator_does_not_matter(one: Policy, two: Policy, three: Policy) -> None:
    assert (one & two) & three == one & (two & three)
    assert (one | two) | three == one | (two | three)
    assert hash((one & two) & three) == hash(one & (two & three))


@given(policies, people)
def test_explanation_agrees_with_the_decision(policy: Policy, someone: Principal) -> None:
    steps = policy.explain(someone, now=NOW)
    assert steps[0] == Step(0, str(policy), allows(policy, someone))


@given(policies, people)
def test_resolved_policy_decides_the_same(policy: Policy, someone: Principal) -> None:
    resolved = asyncio.run(policy.resolve(someone, now=NOW))
    assert resolved.decide(someone, NOW) == policy.decide(someone, NOW)
    assert str(resolved) == str(policy)


def test_explanation_reads_like_the_policy() -> None:
    policy = "items:write" & (role("admin") | fresh(minutes=10)) & ~role("guest")
    assert policy.explain(principal("items", roles=("guest",)), now=NOW) == (
        Step(0, "items:write & (role admin | fresh 10 min) & ~role guest", False),
        Step(1, "items:write", True),
        Step(1, "role admin | fresh 10 min", True),
        Step(2, "role admin", False),
        Step(2, "fresh 10 min", True),
        Step(1, "~role guest", False),
        Step(2, "role guest", True),
    )


def test_explanation_runs_no_function_that_is_not_reached() -> None:
    assert ("a" & rule(never) & "b").explain(principal("b"), now=NOW) == (
        Step(0, "a & rule never & b", False),
        Step(1, "a", False),
        Step(1, "rule never", None),
        Step(1, "b", True),
    )


def test_explanation_runs_no_function_inside_a_part_that_is_not_reached() -> None:
    steps = ("a" & ("b" | rule(never))).explain(principal(), now=NOW)
    assert [step.allowed for step in steps] == [False, False, None, False, None]


def test_explanation_leaves_an_asynchronous_rule_open_until_it_is_resolved() -> None:
    policy = "a" & ~rule(owns_later)
    someone = principal("a")
    assert [step.allowed for step in policy.explain(someone, now=NOW)] == [None, True, None, None]
    resolved = asyncio.run(policy.resolve(someone, now=NOW))
    assert [step.allowed for step in resolved.explain(someone, now=NOW)] == [False, True, False, True]


def test_asynchronous_rule_is_resolved_before_the_check() -> None:
    policy = "a" & (rule(no) | rule(owns_later))
    assert policy.is_async
    assert not ("a" & rule(owns)).is_async
    with pytest.raises(TypeError, match=r"await policy\.resolve"):
        policy.check(principal("a"), now=NOW)
    asyncio.run(policy.resolve(principal("a"), now=NOW)).check(principal("a"), now=NOW)


def test_asynchronous_rule_that_is_not_reached_does_not_run() -> None:
    async def never_later(someone: Principal) -> bool:
        return never(someone)

    policy = "a" & rule(never_later)
    assert scope_asked(asyncio.run(policy.resolve(principal(), now=NOW)), principal()) == "a"
    either = "a" | rule(never_later)
    asyncio.run(either.resolve(principal("a"), now=NOW)).check(principal("a"), now=NOW)


def test_asynchronous_functions_are_recognised_in_every_form() -> None:
    class Owns:
        async def __call__(self, someone: Principal) -> bool:
            return await owns_later(someone)

        async def ask(self, someone: Principal) -> bool:
            return await owns_later(someone)

    for function in (owns_later, partial(owns_later), Owns(), Owns().ask):
        assert rule(function).is_async
    assert not rule(owns).is_async


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (permission("items:*"), "items"),
        (role("admin"), "role admin"),
        (role("admin", "editor"), "role admin or editor"),
        (fresh(minutes=10), "fresh 10 min"),
        (fresh(minutes=1.5), "fresh 90 s"),
        (method("password", "api_key"), "method password or api_key"),
        (authenticated(), "authenticated"),
        (rule(owns), "rule owns"),
        (rule(partial(owns)), "rule owns"),
        (rule(owns, name="is the owner"), "rule is the owner"),
        ("items:write" & (role("admin") | fresh(minutes=10)), "items:write & (role admin | fresh 10 min)"),
        ("a" & permission("b") & "c", "a & b & c"),
        ("a" | permission("b") & "c", "a | (b & c)"),
        (~(permission("a") | "b") & ~role("guest"), "~(a | b) & ~role guest"),
    ],
)
def test_policy_reads_as_it_was_written(policy: Policy, text: str) -> None:
    assert str(policy) == text
    assert repr(policy) == f"<Policy {text}>"


def test_policies_are_values() -> None:
    def build() -> Policy:
        return "items:write" & (role("admin") | fresh(minutes=10)) & ~method("api_key") & rule(owns)

    assert build() == build()
    assert len({build(), build(), copy.deepcopy(build())}) == 1
    assert build() != "items:read" & role("admin")
    assert permission("a") & "b" != permission("a") | "b"
    with pytest.raises(AttributeError):
        permission("a").name = "b"  # type: ignore[attr-defined]


def test_policy_tells_the_names_it_uses() -> None:
    policy = ("items:write" & role("editor", "admin")) | "items:*" | ~(role("guest") & "users:read")
    assert policy.scopes == ("items", "items:write")
    assert policy.permissions_named() == {"items", "items:write", "users:read"}
    assert policy.roles_named() == {"editor", "admin", "guest"}
    assert role("admin").scopes == fresh(minutes=1).scopes == ()


def test_two_issuers_may_call_different_people_by_one_name() -> None:
    ours = Principal(subject="1", issuer="https://ours/auth", credential="access_token")
    theirs = Principal(subject="1", issuer="https://theirs", credential="access_token")
    policy = issued_by("https://ours/auth")
    policy.check(ours, now=0)
    with pytest.raises(Forbidden):
        policy.check(theirs, now=0)
    assert str(policy) == "issued by https://ours/auth"
    with pytest.raises(ConfigurationError):
        issued_by()
