"""3xx: what a password hash costs, to the app and to a thief."""

from collections.abc import Iterator

from limen.checks.check import Trouble, check
from limen.checks.evidence import Evidence

LEAST_KIB = 7 * 1024
LEAST_KIB_PASSES = 5 * 7 * 1024  # the cheapest row of OWASP's Password Storage Cheat Sheet: 7 MiB, five passes
SLOW_SECONDS = 1.0


@check(
    "limen.E301",
    "Passwords are hashed too cheaply",
    reason="Whoever gets the table tries passwords at this price. OWASP asks for 19 MiB and two passes, or their like.",
    cure="Unset LIMEN_PASSWORDS_MEMORY_KIB and LIMEN_PASSWORDS_ITERATIONS, and leave `fast_hasher()` to tests.",
)
def hash_too_cheap(seen: Evidence) -> Iterator[Trouble]:
    cost = seen.hashing
    if cost is not None and (cost.memory_kib < LEAST_KIB or cost.memory_kib * cost.iterations < LEAST_KIB_PASSES):
        yield Trouble(f"Argon2id with {cost.memory_kib} KiB and {cost.iterations} passes", where="passwords")


@check(
    "limen.W302",
    "A password hash is slow on this machine",
    reason="Sign-ins queue behind it: a handful at once make people wait, and a flood of them makes the rest give up.",
    cure="Lower LIMEN_PASSWORDS_MEMORY_KIB or LIMEN_PASSWORDS_ITERATIONS towards 19456 and 2, or give it a processor.",
)
def hash_too_slow(seen: Evidence) -> Iterator[Trouble]:
    if seen.hashing is not None and seen.hashing.seconds > SLOW_SECONDS:
        yield Trouble(f"one takes {seen.hashing.seconds * 1000:.0f} ms", where="passwords")


@check(
    "limen.I303",
    "What a password hash costs here",
    reason="It decides how many sign-ins a second one process can take.",
    cure="Nothing to do. LIMEN_PASSWORDS_WORKERS is how many are hashed at the same time.",
)
def hash_takes(seen: Evidence) -> Iterator[Trouble]:
    if seen.hashing is not None:
        seconds = max(seen.hashing.seconds, 1e-6)
        yield Trouble(
            f"{seconds * 1000:.1f} ms: {1 / seconds:.0f} sign-ins a second for each worker", where="passwords"
        )
