"""Passwords at rest: what is accepted, what is replaced, what it costs, and that the loop never notices."""

import asyncio
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator
from statistics import median, quantiles

import argon2
import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.core.passwords import MAX_BYTES, PasswordHasher, Verification, normalized
from limen.errors import ConfigurationError, Unavailable, WeakPassword

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery staple"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def cheap(*, workers: int = 1, waiting: int = 400) -> PasswordHasher:
    return PasswordHasher(memory_kib=8, iterations=1, workers=workers, waiting=waiting)


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    hasher = cheap()
    yield hasher
    hasher.close()


@pytest.fixture
def real() -> Iterator[PasswordHasher]:
    hasher = PasswordHasher()
    yield hasher
    hasher.close()


# -- what is accepted --------------------------------------------------------------------------------------------------


async def test_the_password_that_was_hashed_is_the_one_that_verifies(hasher: PasswordHasher) -> None:
    digest = await hasher.hash(PASSWORD)
    assert digest.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert await hasher.verify(PASSWORD, digest) == Verification(True)
    assert await hasher.verify("Correct horse battery staple", digest) == Verification(False, reason="wrong password")


async def test_defaults_are_owasps(real: PasswordHasher) -> None:
    assert (await real.hash(PASSWORD)).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_one_password_has_many_digests(hasher: PasswordHasher) -> None:
    assert await hasher.hash(PASSWORD) != await hasher.hash(PASSWORD)


async def test_one_password_however_its_accents_were_typed(hasher: PasswordHasher) -> None:
    composed, decomposed = "caf\u00e9 au lait", "cafe\u0301 au lait"
    assert (await hasher.verify(decomposed, await hasher.hash(composed))).ok
    assert (await hasher.verify(composed, await hasher.hash(decomposed))).ok
    assert not (await hasher.verify("cafe au lait", await hasher.hash(composed))).ok


@pytest.mark.parametrize("password", ["nul\0in the middle", "\ud800 half a pair", "🐎🔋📎", "\n", " " * 8])
async def test_odd_characters_are_hashed_whole(hasher: PasswordHasher, password: str) -> None:
    digest = await hasher.hash(password)
    assert (await hasher.verify(password, digest)).ok
    assert not (await hasher.verify(password + "\0", digest)).ok
    assert not (await hasher.verify(password[:-1] + "?", digest)).ok


@settings(max_examples=200, deadline=None)
@given(password=st.text(st.characters(exclude_categories=[]), min_size=1, max_size=200), other=st.text(max_size=200))
def test_any_text_verifies_itself_and_nothing_else(password: str, other: str) -> None:
    async def story() -> None:
        digest = await hasher.hash(password)
        assert (await hasher.verify(password, digest)).ok
        assert (await hasher.verify(other, digest)).ok == (normalized(other) == normalized(password))

    hasher = cheap()
    try:
        asyncio.run(story())
    finally:
        hasher.close()


def test_thousands_of_combining_marks_are_not_sorted_at_the_loops_expense() -> None:
    hostile = "a" + "\u0345\u0334" * 2000
    started = time.perf_counter()
    assert normalized(hostile) == hostile
    assert normalized("e\u0301" * 2000) == "\u00e9" * 2000
    assert time.perf_counter() - started < 0.05


# -- what is refused ---------------------------------------------------------------------------------------------------


async def test_unknown_blank_and_over_long_are_refused_with_a_private_reason(hasher: PasswordHasher) -> None:
    digest = await hasher.hash(PASSWORD)
    assert await hasher.verify(PASSWORD, None) == Verification(False, reason="there is no digest")
    assert await hasher.verify("", digest) == Verification(False, reason="the password is blank")
    assert await hasher.verify("é" * 2049, digest) == Verification(False, reason="the password is over-long")
    assert await hasher.verify("a" * 10_000_000, digest) == Verification(False, reason="the password is over-long")


async def test_the_longest_password_is_read_to_its_last_byte(hasher: PasswordHasher) -> None:
    longest = "a" * MAX_BYTES
    digest = await hasher.hash(longest)
    assert (await hasher.verify(longest, digest)).ok
    assert not (await hasher.verify(longest[:-1] + "b", digest)).ok
    assert not (await hasher.verify(longest[:-1], digest)).ok


@pytest.mark.parametrize("password", ["", "a" * (MAX_BYTES + 1)])
async def test_what_could_never_verify_is_not_hashed(hasher: PasswordHasher, password: str) -> None:
    with pytest.raises(WeakPassword):
        await hasher.hash(password)


ARGON2 = "$argon2id$v=19$m=8,t=1,p=1$wWlExg8IEcD1HFWQ3C7IFA$aDdLcYvh7gDTZ1cMigwgkweZCQM183CkvpuVblUMVhk"
BCRYPT = "$2b$04$7SdTX5PeCXuX.SjsSS.5G.Uq5oHasx/xlIqyjs.2W/MDrpSSvOUq2"


@pytest.mark.parametrize(
    "digest",
    [
        "plaintext",
        "$argon2id$",
        "é" + ARGON2,
        ARGON2[:-1],
        ARGON2[:64],
        ARGON2.rpartition("$")[0],
        ARGON2.replace("m=8", "m=-8"),
        ARGON2.replace("m=8", "m=٨"),
        ARGON2.replace("m=8,t=1", "m=4194304,t=4000000000"),
        ARGON2.replace("p=1", "p=16777215"),
        "$2b$",
        BCRYPT[:-1],
        BCRYPT + "\n",
        BCRYPT.replace("$04$", "$31$"),
        BCRYPT.replace("$04$", "$03$"),
        "$2b$04$" + "z" * 53,
        "$2b$04$" + "é" * 53,
        "{SSHA}c2FsdA==",
        "pbkdf2_sha256$1000$salt$digest",
    ],
)
async def test_a_digest_that_cannot_be_read_is_refused_and_named_for_the_log(
    hasher: PasswordHasher, digest: str
) -> None:
    verification = await hasher.verify(PASSWORD, digest)
    assert not verification.ok
    assert verification.reason.startswith("unreadable digest")


async def test_an_empty_digest_is_no_digest(hasher: PasswordHasher) -> None:
    assert not (await hasher.verify("", "")).ok
    assert not (await hasher.verify(PASSWORD, "")).ok


@settings(max_examples=300, deadline=None)
@given(digest=st.one_of(st.text(), st.from_regex(r"\$2[abxy]\$0[45]\$[./A-Za-z0-9]{53}", fullmatch=True)))
def test_no_digest_ends_in_an_error_or_opens_the_door(digest: str) -> None:
    hasher = cheap()
    try:
        assert not asyncio.run(hasher.verify(PASSWORD, digest)).ok
    finally:
        hasher.close()


# -- what is replaced --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["2a", "2b", "2y"])
async def test_a_bcrypt_digest_is_replaced_at_sign_in(hasher: PasswordHasher, prefix: str) -> None:
    verification = await hasher.verify(PASSWORD, BCRYPT.replace("2b", prefix, 1))
    assert verification.ok
    assert verification.replacement is not None
    assert await hasher.verify(PASSWORD, verification.replacement) == Verification(True)
    assert await hasher.verify("wrong", BCRYPT) == Verification(False, reason="wrong password")


async def test_a_long_password_from_the_bcrypt_days_still_opens_and_is_then_read_whole(hasher: PasswordHasher) -> None:
    long = "long password " * 10
    old = bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4)).decode()
    verification = await hasher.verify(long, old)
    assert verification.ok
    assert verification.replacement is not None
    assert (await hasher.verify(long, verification.replacement)).ok
    assert not (await hasher.verify(long[:72], verification.replacement)).ok


@pytest.mark.parametrize(
    "other",
    [
        argon2.PasswordHasher(2, 8, 1),
        argon2.PasswordHasher(1, 16, 2),
        argon2.PasswordHasher(1, 8, 1, type=argon2.Type.I),
    ],
)
async def test_a_digest_of_another_cost_or_kind_of_argon2_is_replaced_at_sign_in(
    hasher: PasswordHasher, other: argon2.PasswordHasher
) -> None:
    digest = other.hash(PASSWORD)
    verification = await hasher.verify(PASSWORD, digest)
    assert verification.ok
    assert verification.replacement is not None
    assert await hasher.verify(PASSWORD, verification.replacement) == Verification(True)
    assert (await hasher.verify("wrong", digest)).replacement is None


async def test_a_verification_does_not_print_the_digest(hasher: PasswordHasher) -> None:
    assert "argon2" not in repr(await hasher.verify(PASSWORD, BCRYPT))


# -- what it costs -----------------------------------------------------------------------------------------------------


async def test_every_failure_costs_one_hash(real: PasswordHasher) -> None:
    digest = await real.hash(PASSWORD)
    cut = digest[:40]
    tries = {
        "right": (PASSWORD, digest),
        "wrong": ("wrong password", digest),
        "unknown": (PASSWORD, None),
        "blank": ("", digest),
        "over-long": ("a" * 5000, digest),
        "unreadable": (PASSWORD, cut),
    }
    costs: dict[str, list[float]] = {name: [] for name in tries}
    for _ in range(9):
        for name, (password, stored) in tries.items():
            started = time.process_time()  # of all threads: what others do on the machine does not count
            await real.verify(password, stored)
            costs[name].append(time.process_time() - started)
    usual = {name: median(taken) for name, taken in costs.items()}
    assert max(usual.values()) < 1.25 * min(usual.values()), usual


async def test_the_loop_keeps_its_rhythm_during_sixteen_hashes(real: PasswordHasher) -> None:
    gaps = list[float]()

    async def tick() -> None:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(0.001)
            gaps.append(time.perf_counter() - started)

    digest = await real.hash(PASSWORD)
    ticking = asyncio.create_task(tick())
    verifications = await asyncio.gather(*(real.verify(PASSWORD, digest) for _ in range(16)))
    ticking.cancel()
    assert all(verification.ok for verification in verifications)
    assert len(gaps) > 50  # on the loop it would be 16
    assert quantiles(gaps, n=10)[-1] < 0.015, "the loop stood still for the time of a hash"


async def test_a_flood_is_refused_beyond_the_queue_and_the_rest_is_served() -> None:
    hasher = PasswordHasher(memory_kib=4096, iterations=2, waiting=8)
    try:
        digest = await hasher.hash(PASSWORD)
        flood = (hasher.verify(PASSWORD, digest) for _ in range(30))
        answers = await asyncio.gather(*flood, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, Unavailable)]
        assert len(refused) == 30 - 8 - 1
        assert all(error.retry_after >= 1 for error in refused)
        assert sum(isinstance(answer, Verification) and answer.ok for answer in answers) == 9
        assert (await hasher.verify(PASSWORD, digest)).ok
    finally:
        hasher.close()


# -- its life ----------------------------------------------------------------------------------------------------------


def test_one_hasher_serves_one_loop_after_another_and_lives_on_after_close(hasher: PasswordHasher) -> None:
    digest = asyncio.run(hasher.hash(PASSWORD))
    assert asyncio.run(hasher.verify(PASSWORD, digest)).ok
    hasher.close()
    hasher.close()
    assert asyncio.run(hasher.verify(PASSWORD, digest)).ok


def test_the_libraries_load_when_a_hasher_is_made_and_not_before() -> None:
    code = """
import sys
import limen.core.password_rules
import limen.core.passwords
assert not {"argon2", "bcrypt", "pwdlib"} & set(sys.modules)
limen.core.passwords.PasswordHasher()
assert "argon2" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "figures",
    [
        {"memory_kib": 7},
        {"memory_kib": 8, "parallelism": 2},
        {"iterations": 0},
        {"workers": 0},
        {"waiting": 0},
        {"memory_kib": 4 * 1024 * 1024, "iterations": 2},
        {"parallelism": 65},
    ],
)
def test_figures_that_cannot_work_are_refused_at_start(figures: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        PasswordHasher(**figures)


def test_nfc_is_pythons() -> None:
    assert normalized("A\u030a") == unicodedata.normalize("NFC", "A\u030a") == "\u00c5"
