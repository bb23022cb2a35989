"""Digests that other apps made: each judged by what really made it, bounded before any work, replaced at sign-in."""

import time
from collections.abc import Iterator
from statistics import median

import bcrypt
import pytest
from django.contrib.auth import hashers
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.security import generate_password_hash

from limen.core.foreign_digests import MAX_DIGEST, firebase_digest, read
from limen.core.passwords import PasswordHasher, Verification, check_digest

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery staple"


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    hasher = PasswordHasher(memory_kib=8, iterations=1)
    yield hasher
    hasher.close()


def of_django(name: str, password: str = PASSWORD, **cost: int) -> str:
    hasher = getattr(hashers, name)()
    for figure, value in cost.items():
        setattr(hasher, figure, value)
    return str(hasher.encode(password, hasher.salt()))


# Django 5.2 and Werkzeug 3.1 make theirs as the tests run.
MAKERS = {
    "django pbkdf2_sha256": lambda: of_django("PBKDF2PasswordHasher", iterations=1000),
    "django pbkdf2_sha256 at its own cost": lambda: of_django("PBKDF2PasswordHasher"),
    "django pbkdf2_sha1": lambda: of_django("PBKDF2SHA1PasswordHasher", iterations=1000),
    "django bcrypt_sha256": lambda: of_django("BCryptSHA256PasswordHasher", rounds=4),
    "django bcrypt": lambda: of_django("BCryptPasswordHasher", rounds=4),
    "django argon2": lambda: of_django("Argon2PasswordHasher", memory_cost=64, parallelism=1),
    "django argon2 at its own cost": lambda: of_django("Argon2PasswordHasher"),
    "django scrypt": lambda: of_django("ScryptPasswordHasher", work_factor=16),
    "django scrypt at its own cost": lambda: of_django("ScryptPasswordHasher"),
    "werkzeug scrypt": lambda: generate_password_hash(PASSWORD, "scrypt:1024:8:1"),
    "werkzeug scrypt at its own cost": lambda: generate_password_hash(PASSWORD),
    "werkzeug pbkdf2": lambda: generate_password_hash(PASSWORD, "pbkdf2:sha256:1000"),
    "werkzeug pbkdf2 sha512": lambda: generate_password_hash(PASSWORD, "pbkdf2:sha512:1000"),
    "werkzeug pbkdf2 sha1": lambda: generate_password_hash(PASSWORD, "pbkdf2:sha1:1000"),
}

# Made by passlib 1.7.4, which is no longer kept and is not installed here.
PASSLIB = {
    "pbkdf2_sha256": "$pbkdf2-sha256$1000$wjgHAIDwPkdojTFGyHkPYQ$Sfn42Hi8w5a9lBqimkClrzgTX.qlBkviJGVOyD147MA",
    "pbkdf2_sha512": (
        "$pbkdf2-sha512$1000$PGfsXavV.j/H.J.zlpJSSg$zg1jKnEaEv9grmt1GAlSp8vraIF"
        "XP5q90.Ps3.EieIpeQZ2QX/RkhKlgDiVqKYGvehyoqFX80yN7VpcJlOMtTw"
    ),
    "pbkdf2_sha1": "$pbkdf2$1000$jzGmNObc.19LSen9v/d.Dw$esTjoLOXNmPJY/b82ugaxudUWeg",
    "scrypt": "$scrypt$ln=4,r=8,p=1$R+hdC0ForVVKaS1lDCHk/A$utmBoi4l0txC0wdk64YwZI+lr6cQLLRXvrQVeiefln8",
}

FIREBASE_PROJECT = {  # of the README of github.com/firebase/scrypt, with the account and the password there
    "signer_key": "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==",
    "salt_separator": "Bw==",
    "rounds": 8,
    "memory_cost": 14,
}
FIREBASE_KEY = "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ=="
FIREBASE_SALT = "42xEC+ixf3L2lw=="
FIREBASE = firebase_digest(key=FIREBASE_KEY, salt=FIREBASE_SALT, **FIREBASE_PROJECT)  # type: ignore[arg-type]

# Of the tests of github.com/supabase/auth, which keeps what was imported from Firebase in this spelling.
SUPABASE_FIREBASE = (
    "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=ou9tdYTGyYm8kuR6Dt0Bp0kDuAYoXrK16mbZO4yGwAn3oLspjnN0"
    "/c41v8xZnO1n14J3MjKj1b2g6AU"
    "CAlFwMw==$C0sHCg9ek77hsg==$zKVTMvnWVw5BBOZNUdnsalx4c4c7y/w7IS5p6Ut2+CfEFFlz37J9huyQfov4iizN8dbjvEJlM5tQaJP84+hfTw=="
)


async def is_replaced(hasher: PasswordHasher, digest: str, password: str) -> None:
    """Accepted once, and from then on as limen's own; another password is not."""
    check_digest(digest)
    assert len(digest) <= MAX_DIGEST
    verification = await hasher.verify(password, digest)
    assert verification.ok, verification.reason
    assert verification.replacement is not None
    assert verification.replacement.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert await hasher.verify(password, verification.replacement) == Verification(True)
    assert await hasher.verify(f"{password}!", digest) == Verification(False, reason="wrong password")


@pytest.mark.parametrize("maker", MAKERS)
async def test_what_django_and_werkzeug_made_opens_and_is_replaced(hasher: PasswordHasher, maker: str) -> None:
    await is_replaced(hasher, MAKERS[maker](), PASSWORD)


@pytest.mark.parametrize("name", PASSLIB)
async def test_what_passlib_made_opens_and_is_replaced(hasher: PasswordHasher, name: str) -> None:
    await is_replaced(hasher, PASSLIB[name], PASSWORD)


@pytest.mark.parametrize(("digest", "password"), [(FIREBASE, "user1password"), (SUPABASE_FIREBASE, "mytestpassword")])
async def test_what_firebase_made_opens_and_is_replaced(hasher: PasswordHasher, digest: str, password: str) -> None:
    await is_replaced(hasher, digest, password)


def test_firebase_is_read_in_the_alphabet_of_urls_too() -> None:
    spelled = firebase_digest(
        key=FIREBASE_KEY.replace("+", "-").replace("/", "_"),
        salt=FIREBASE_SALT,
        **FIREBASE_PROJECT,  # type: ignore[arg-type]
    )
    assert spelled == FIREBASE


async def test_a_long_password_is_read_whole_through_djangos_bcrypt_sha256(hasher: PasswordHasher) -> None:
    long = "long password " * 10
    digest = of_django("BCryptSHA256PasswordHasher", long, rounds=4)
    assert (await hasher.verify(long, digest)).ok
    assert not (await hasher.verify(long[:72], digest)).ok


async def test_an_accent_that_was_hashed_as_it_was_typed_still_opens(hasher: PasswordHasher) -> None:
    """Other apps hash what the keyboard sent; limen hashes NFC, and after the first sign-in either spelling opens."""
    typed = "cafe\u0301 au lait"
    for digest in (of_django("PBKDF2PasswordHasher", typed, iterations=1000), bcrypt_of(typed)):
        verification = await hasher.verify(typed, digest)
        assert verification.ok
        assert verification.replacement is not None
        assert (await hasher.verify("caf\u00e9 au lait", verification.replacement)).ok


def bcrypt_of(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


ABSURD = [
    "pbkdf2_sha256$1000000000$salt$" + "A" * 43 + "=",
    "pbkdf2_sha256$0$salt$" + "A" * 43 + "=",
    "pbkdf2:sha256:4000000000$salt$" + "00" * 32,
    "$pbkdf2-sha512$999999999$c2FsdA$" + "A" * 86,
    "scrypt$1073741824$salt$8$1$" + "A" * 86,
    "scrypt$1023$salt$8$1$" + "A" * 86,
    "scrypt:32768:8:1000$salt$" + "00" * 64,
    "scrypt:32768:4000:1$salt$" + "00" * 64,
    "$scrypt$ln=40,r=8,p=1$c2FsdA$" + "A" * 43,
    FIREBASE.replace("n=14", "n=30"),
    "bcrypt_sha256$$2b$31$" + "a" * 53,
    "argon2$argon2id$v=19$m=4194304,t=4000,p=1$c2FsdHNhbHQ$" + "A" * 43,
]
UNREADABLE = [
    "pbkdf2_sha256$1000$salt$",
    "pbkdf2_sha256$1000$salt$AAAA",  # three bytes: anybody's password would match one of 2^24
    "pbkdf2_sha256$1000$salt$" + "é" * 44,
    "pbkdf2_sha256$\u0661\u0660\u0660\u0660$salt$" + "A" * 43 + "=",
    "scrypt:16:8:1$salt$",
    "scrypt:16:8:1$salt$0",
    "pbkdf2:md5:1000$salt$" + "00" * 16,
    "md5$salt$" + "0" * 32,
    "pbkdf2_sha256$1000$" + "s" * 300 + "$" + "A" * 43 + "=",
    "argon2$",
    "bcrypt$",
    "!unusable",
    "$fbscrypt$v=2,n=14,r=8,p=1,sk=AAAA$AAAA$" + "A" * 86,
]


@pytest.mark.parametrize("digest", [*ABSURD, *UNREADABLE])
async def test_what_costs_too_much_or_cannot_be_read_is_refused_before_any_work(
    hasher: PasswordHasher, digest: str
) -> None:
    started = time.process_time()
    with pytest.raises(ValueError) as refused:
        check_digest(digest)
    verification = await hasher.verify(PASSWORD, digest)
    assert not verification.ok
    assert verification.reason.startswith("unreadable digest")
    assert digest not in f"{refused.value}{verification.reason}"
    assert time.process_time() - started < 0.5


@settings(max_examples=300, deadline=None)
@given(
    digest=st.one_of(
        st.text(),
        *(
            st.from_regex(rf"\A{head}[0-9]{{1,12}}\$[a-z$,=0-9:/+]*\Z")
            for head in (
                "pbkdf2_sha256\\$",
                "scrypt\\$",
                "scrypt:",
                "pbkdf2:sha256:",
                "\\$pbkdf2-sha256\\$",
                "\\$scrypt\\$ln=",
            )
        ),
    )
)
def test_no_text_ends_in_another_error(digest: str) -> None:
    try:
        read(digest)
    except ValueError:
        return


async def test_once_other_digests_are_known_every_failure_costs_the_same(hasher: PasswordHasher) -> None:
    """Old, new, unknown, unreadable: no clock tells which it was."""
    old = of_django("PBKDF2PasswordHasher", iterations=50_000)
    own = await hasher.hash(PASSWORD)
    hasher.make_up_for([old])
    tries = {"old": old, "own": own, "unknown": None, "unreadable": own[:40]}
    costs: dict[str, list[float]] = {name: [] for name in tries}
    for _ in range(9):
        for name, digest in tries.items():
            started = time.process_time()
            await hasher.verify("wrong password", digest)
            costs[name].append(time.process_time() - started)
    usual = {name: median(taken) for name, taken in costs.items()}
    assert max(usual.values()) < 1.25 * min(usual.values()), usual


async def test_a_digest_that_it_meets_it_makes_up_for_from_then_on(hasher: PasswordHasher) -> None:
    async def cost_of_unknown() -> float:
        started = time.process_time()
        await hasher.verify("wrong password", None)
        return time.process_time() - started

    before = await cost_of_unknown()
    await hasher.verify("wrong password", of_django("PBKDF2PasswordHasher", iterations=200_000))
    assert await cost_of_unknown() > 5 * before


async def test_no_more_kinds_are_made_up_for_than_an_app_can_have(hasher: PasswordHasher) -> None:
    hasher.make_up_for(of_django("PBKDF2PasswordHasher", iterations=n) for n in range(1, 40))
    hasher.make_up_for(["no digest", "pbkdf2_sha256$1000000000$salt$" + "A" * 43 + "="])
    assert not (await hasher.verify(PASSWORD, None)).ok


async def test_all_kinds_together_add_no_more_to_a_failure_than_the_dearest_one(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind of digest in an old database costs every failure; dear ones of many kinds would end all sign-in."""
    monkeypatch.setattr("limen.core.foreign_digests.MOST_ROUNDS", 200_000)

    async def cost(digest: str | None) -> float:
        started = time.process_time()
        await hasher.verify("wrong password", digest)
        return time.process_time() - started

    dear = [of_django("PBKDF2PasswordHasher", iterations=199_990 + n) for n in range(7)]
    one = await cost(dear[0])
    hasher.make_up_for(dear)
    assert await cost(None) < 3 * one
