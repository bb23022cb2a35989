"""Passwords at rest: Argon2id, made and checked off the event loop.

The only importer of the hashing libraries. They load when a `PasswordHasher` is made, not with this module.
"""

import re
import secrets
import unicodedata
from base64 import b64encode
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

from limen.core import foreign_digests
from limen.core.hashing_pool import HashingPool
from limen.errors import ConfigurationError, WeakPassword

MAX_BYTES = 4096
"""Longest password, in bytes of UTF-8 as it was typed; refused before any work (OWASP: long-password denial of
service; NIST SP 800-63B-4 §3.1.1.2 asks for at least 64 characters)."""

LONGEST_MARKS = 30
BCRYPT_BYTES = 72
BCRYPT_ROUNDS = range(4, 17)
DEAREST_KIB_PASSES = 4 * 1024 * 1024  # memory x iterations of a stored digest: about four seconds of work
MOST_LANES = 64
MOST_FAMILIES = 8
"""Kinds and costs of digests that a failure makes up for; an app that moved in has one or two."""

_BCRYPT = re.compile(r"\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{53}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Verification:
    """What became of one password.

    Attributes:
        ok: whether it is the password of the digest.
        replacement: a new digest to store, when it is and the stored one was made by another algorithm or at another
            cost.
        reason: why not, for the log; never for the client (ASVS 6.3.8: all failures look alike).
    """

    ok: bool
    replacement: str | None = field(default=None, repr=False, kw_only=True)
    reason: str = field(default="", kw_only=True)


class PasswordHasher:
    """Stores and checks passwords without ever blocking the event loop.

    Defaults are OWASP's Argon2id: 19 MiB, two iterations, one lane (~20 ms). Work is done first come, first served by
    `workers` low-priority threads, so memory peaks at `workers` x `memory_kib`, and every event loop of the process
    may use the same hasher.

    Args:
        memory_kib: Argon2 memory, in KiB.
        iterations: Argon2 passes over that memory.
        parallelism: Argon2 lanes. More than one makes Argon2 start threads of its own.
        workers: hashes at the same time in this process.
        waiting: passwords that may wait their turn. The next is refused with 503 and `Retry-After`: 400 x 25 ms are
            10 s on one worker, after which clients give up and would only be hashed for nothing. At 4 KB each, a full
            queue holds 1.6 MB.

    Raises:
        ConfigurationError: a figure that Argon2 or the queue cannot work with.
    """

    def __init__(
        self,
        *,
        memory_kib: int = 19 * 1024,
        iterations: int = 2,
        parallelism: int = 1,
        workers: int = 1,
        waiting: int = 400,
    ) -> None:
        _check_figures(memory_kib, iterations, parallelism, workers, waiting)
        self._digests = _Digests(memory_kib=memory_kib, iterations=iterations, parallelism=parallelism)
        self._new_pool = partial(HashingPool, workers=workers, waiting=waiting)
        self._pool = self._new_pool()

    @property
    def own_form(self) -> str:
        """How the digests begin that this hasher makes; all others are replaced when their owners sign in."""
        return self._digests.own_form

    async def hash(self, password: str) -> str:
        """The digest to store: an Argon2id string with its own random salt.

        Raises:
            WeakPassword: blank or over 4 KB; `PasswordRules` refuses these, and much else, with better words.
            Unavailable: too many passwords wait.
        """
        if reason := _unusable(password):
            raise WeakPassword(reason)
        return await self._pool.run(partial(self._digests.make, password))

    async def verify(self, password: str, digest: str | None) -> Verification:
        """Whether `password` belongs to `digest`, and what to store instead if the digest is outdated.

        A wrong password, an unknown user (`digest=None`), a blank or over-long password and an unreadable digest all
        cost the same, so the time tells nobody which it was: one Argon2id at this hasher's figures and, once it has
        met or been told of digests of other kinds (`make_up_for`), one of each of those. The right password costs
        what its digest was made with and, the first time, one Argon2id more.

        Raises:
            Unavailable: too many passwords wait. Nothing else, whatever the password and the digest are.
        """
        kept = password[: MAX_BYTES + 1]  # an over-long one stays so, and a full queue stays small
        return await self._pool.run(partial(self._digests.judge, kept, digest))

    def make_up_for(self, digests: Iterable[str]) -> None:
        """Let every failure cost what digests of these kinds cost, from now on; those it meets it learns by itself.

        Without it, the first wrong password for somebody whose digest another app made would tell, by its time, that
        the account exists.
        """
        for digest in digests:
            self._digests.learn(digest)

    def close(self) -> None:
        """Ends the threads; passwords still waiting are refused. The hasher starts afresh if it is used again."""
        pool, self._pool = self._pool, self._new_pool()
        pool.close()


class _Digests:
    """Makes and judges digests in the calling thread."""

    def __init__(self, *, memory_kib: int, iterations: int, parallelism: int) -> None:
        from argon2 import PasswordHasher as Argon2id

        self._argon2 = Argon2id(iterations, memory_kib, parallelism)
        nobodys = _digest_of_nothing(memory_kib, iterations, parallelism)
        self.own_form = f"{_family(nobodys)}$"
        self._families = {_family(nobodys): nobodys}
        self._made_up = 0.0  # shares of the dearest digest: what all others add to a failure never exceeds one of it

    def make(self, password: str) -> str:
        return self._argon2.hash(secret_of(password))

    def learn(self, digest: str) -> None:
        with suppress(ValueError):
            check_digest(digest)
            family, share = _family(digest), _share(digest)
            if family in self._families or len(self._families) >= MOST_FAMILIES or self._made_up + share > 1:
                return
            self._made_up += share
            self._families[family] = digest

    def judge(self, password: str, digest: str | None) -> Verification:
        if reason := _unusable(password) or ("" if digest else "there is no digest"):
            return self._refuse(reason, password)
        assert digest is not None
        try:
            check_digest(digest)
            family = _family(digest)
            found = next((secret for secret in _candidates(password) if self._matches(secret, digest)), None)
        except ValueError as error:
            return self._refuse(f"unreadable digest: {error}", password)
        self.learn(digest)
        if found is None:
            return self._refuse("wrong password", password, paid=family)
        secret = secret_of(password)
        outdated = found != secret or self._is_outdated(digest)
        return Verification(True, replacement=self._argon2.hash(secret) if outdated else None)

    def _refuse(self, reason: str, password: str, *, paid: str = "") -> Verification:
        """The same work for every refusal; `paid` is the family whose share was done already."""
        for family, digest in list(self._families.items()):
            if family != paid:
                with suppress(ValueError):
                    for _ in _candidates(password[:MAX_BYTES]):
                        self._matches(b"", digest)
        return Verification(False, reason=reason)

    def _matches(self, secret: bytes, digest: str) -> bool:
        digest, secret = foreign_digests.unwrapped(digest, secret)
        if digest.startswith("$2"):
            return _bcrypt_matches(secret, digest)
        if digest.startswith("$argon2"):
            return self._argon2_matches(secret, digest)
        return foreign_digests.read(digest).matches(secret)

    def _argon2_matches(self, secret: bytes, digest: str) -> bool:
        from argon2.exceptions import VerificationError, VerifyMismatchError

        try:
            return self._argon2.verify(digest, secret)
        except VerifyMismatchError:
            return False
        except VerificationError as error:
            raise ValueError(str(error)) from error

    def _is_outdated(self, digest: str) -> bool:
        return not digest.startswith("$argon2") or self._argon2.check_needs_rehash(digest)


def check_digest(digest: str) -> None:
    """Refuse a digest that no password could be checked against, or only at absurd cost; costs no hash itself.

    A damaged, mistaken or planted one must not be able to ask for all memory or to hold a worker for hours.

    Raises:
        ValueError: why, in words that do not quote it.
    """
    if len(digest) > foreign_digests.MAX_DIGEST:
        raise ValueError(f"a digest of over {foreign_digests.MAX_DIGEST} characters")
    inner, _ = foreign_digests.unwrapped(digest, b"")
    if inner.startswith("$2"):
        shape = _BCRYPT.fullmatch(inner)
        if shape is None or int(shape[1]) not in BCRYPT_ROUNDS:
            raise ValueError("not a bcrypt digest of 4 to 16 rounds")
    elif inner.startswith("$argon2"):
        _check_argon2(inner)
    else:
        foreign_digests.read(inner)


def _family(digest: str) -> str:
    """Algorithm and cost of a digest that was checked: two of one family cost the same."""
    inner, _ = foreign_digests.unwrapped(digest, b"")
    if inner.startswith("$2"):
        return f"bcrypt:{inner[4:6]}"
    return inner.rsplit("$", 2)[0] if inner.startswith("$argon2") else foreign_digests.read(inner).family


def _share(digest: str) -> float:
    """The cost of a digest that was checked, as a share of the dearest that is taken (about four seconds)."""
    inner, _ = foreign_digests.unwrapped(digest, b"")
    if inner.startswith("$2"):
        return float(2 ** (int(inner[4:6]) - BCRYPT_ROUNDS[-1]))
    if inner.startswith("$argon2"):
        from argon2 import extract_parameters

        asked = extract_parameters(inner)
        return asked.memory_cost * asked.time_cost / DEAREST_KIB_PASSES
    return foreign_digests.read(inner).stretching.share


def _candidates(password: str) -> tuple[bytes, ...]:
    """What may have been hashed: limen's own form, and the password as it was typed, which other apps take."""
    typed = password.encode("utf-8", "surrogatepass")
    return tuple(dict.fromkeys((secret_of(password), typed)))


def normalized(password: str) -> str:
    """The form in which passwords are measured, compared and hashed: NFC (NIST SP 800-63B-4 §3.1.1.2).

    So "café" is one password on every keyboard. A text with more than 30 combining marks in a row is not stream-safe
    (UAX #15 §13), no keyboard makes it, and sorting its marks would hold the interpreter for 9 ms: it is left as it is.
    """
    if password.isascii():
        return password
    runs = groupby(password, key=lambda character: unicodedata.combining(character) > 0)
    if any(marks and sum(1 for _ in run) > LONGEST_MARKS for marks, run in runs):
        return password
    return unicodedata.normalize("NFC", password)


def secret_of(password: str) -> bytes:
    """What is hashed. JSON can carry half a surrogate pair (`"\\ud800"`), which UTF-8 proper would not encode."""
    return normalized(password).encode("utf-8", "surrogatepass")


def is_over_long(password: str, *, max_bytes: int = MAX_BYTES) -> bool:
    """Whether `password` is over the limit as it was typed; costs no more than the limit itself."""
    return len(password) > max_bytes or len(password.encode("utf-8", "surrogatepass")) > max_bytes


def _unusable(password: str) -> str:
    if not password:
        return "the password is blank"
    return "the password is over-long" if is_over_long(password) else ""


def _bcrypt_matches(secret: bytes, digest: str) -> bool:
    """bcrypt never used more than 72 bytes. Since version 5 the library refuses longer passwords instead of cutting
    them, as the one that made the digest did: cut here, or people with a long password could never sign in and be
    moved to Argon2id, which reads all of it."""
    import bcrypt

    return bcrypt.checkpw(secret[:BCRYPT_BYTES], digest.encode())


def _check_argon2(digest: str) -> None:
    from argon2 import extract_parameters
    from argon2.exceptions import InvalidHashError

    try:
        asked = extract_parameters(digest)
    except InvalidHashError:
        raise ValueError("not an Argon2 digest") from None
    if asked.memory_cost * asked.time_cost > DEAREST_KIB_PASSES or asked.parallelism > MOST_LANES:
        raise ValueError("an Argon2 digest of absurd cost")


def _digest_of_nothing(memory_kib: int, iterations: int, parallelism: int) -> str:
    """A digest that no password matches and that costs as much to check as a real one."""
    salt, tag = (b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32))
    return f"$argon2id$v=19$m={memory_kib},t={iterations},p={parallelism}${salt}${tag}"


def _check_figures(memory_kib: int, iterations: int, parallelism: int, workers: int, waiting: int) -> None:
    if min(iterations, parallelism, workers, waiting) < 1:
        raise ConfigurationError("Password hashing needs iterations, parallelism, workers and waiting of at least 1.")
    if memory_kib < 8 * parallelism:
        raise ConfigurationError("Password hashing needs memory_kib of at least 8 for each lane (RFC 9106 §3.1).")
    if memory_kib * iterations > DEAREST_KIB_PASSES or parallelism > MOST_LANES:
        raise ConfigurationError("Password hashing would take seconds: lower memory_kib, iterations or parallelism.")
