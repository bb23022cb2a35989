"""What a decision costs: `python benchmarks/policy.py`."""

from collections.abc import Callable
from timeit import Timer

from limen.core.permissions import covers_any
from limen.core.policy import permission
from limen.core.principal import Principal
from limen.core.rules import fresh, role

HELD = frozenset({"items:read", "tags", "*"} | {f"resource{n}:read" for n in range(50)})
FEW = frozenset({"items", "users:read"})


def nanoseconds(call: Callable[[], object]) -> float:
    timer = Timer(call)
    loops, _ = timer.autorange()
    return min(timer.repeat(5, loops)) / loops * 1e9


def main() -> None:
    someone = Principal(
        subject="1", issuer="i", credential="access_token", permissions=FEW, roles=frozenset({"editor", "member"})
    )
    exact, wider, refused = permission("users:read"), permission("items:write"), permission("audit:read")
    both = "items:write" & (role("admin") | role("editor"))
    cases: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "covers_any, held itself": lambda: covers_any(HELD, "items:read"),
        "covers_any, by a wider one": lambda: covers_any(HELD, "tags:write:own"),
        "covers_any, not held": lambda: covers_any(FEW, "audit:read"),
        "permission.decide, held itself": lambda: exact.decide(someone, 0.0),
        "permission.check, held itself": lambda: exact.check(someone, now=0.0),
        "permission.check, by a wider one": lambda: wider.check(someone, now=0.0),
        "permission.decide, refused": lambda: refused.decide(someone, 0.0),
        "role.check": lambda: role_editor.check(someone, now=0.0),
        "permission & (role | role).check": lambda: both.check(someone, now=0.0),
        "fresh.decide, refused": lambda: step_up.decide(someone, 0.0),
    }
    role_editor, step_up = role("editor"), fresh(minutes=10)
    for name, call in cases.items():
        print(f"{nanoseconds(call):8.0f} ns  {name}")


if __name__ == "__main__":
    main()
