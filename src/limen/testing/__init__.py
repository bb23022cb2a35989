"""What tests of an app on limen need: time that can be turned, cheap hashing, signed-in users, their mail.

clock = FakeClock()
auth = Auth(clock=clock, features=[Passwords(hasher=fast_hasher()), Tokens(), Sessions(), Accounts(), Roles()])
alice = await as_user(auth, roles=["editor"])
client.get("/items", headers=alice.headers)

letters = outbox(auth)                       # with Mail() among the features
token = (await letters.latest(to=alice.email)).token
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from limen.auth import Auth
from limen.core.login import Pending
from limen.core.passwords import PasswordHasher
from limen.db.users import UserMixin
from limen.features.accounts import Accounts
from limen.features.passwords import Passwords
from limen.testing.agreement import assert_filter_agrees
from limen.testing.attacking import attack
from limen.testing.mailbox import Outbox, ReceivedLetter, outbox
from limen.testing.matrix import Matrix, call_matrix
from limen.testing.provider import FakePerson, FakeProvider

__all__ = [
    "PASSWORD",
    "FakeClock",
    "FakePerson",
    "FakeProvider",
    "Matrix",
    "Outbox",
    "ReceivedLetter",
    "SignedIn",
    "as_user",
    "assert_filter_agrees",
    "attack",
    "call_matrix",
    "create_tables",
    "fast_hasher",
    "outbox",
]

PASSWORD = "correct horse battery staple"  # noqa: S105 - every test user's


class FakeClock:
    """A clock that runs by itself and can be turned forward; what measures silence or waiting is not fooled."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def time(self) -> float:
        return self.now().timestamp()

    def monotonic(self) -> float:
        return time.monotonic()

    def advance(self, **by: float) -> None:
        """Turn it forward: `clock.advance(minutes=15)`, in the words of `timedelta`."""
        self._ahead += timedelta(**by)


def fast_hasher() -> PasswordHasher:
    """Argon2id at the least that it takes: microseconds, for tests only."""
    return PasswordHasher(memory_kib=8, iterations=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A user who went through the real pipeline."""

    subject: str
    email: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)

    @property
    def headers(self) -> Mapping[str, str]:
        """What a request carries."""
        return {"Authorization": f"Bearer {self.access_token}"}


async def as_user(
    auth: Auth[UserMixin],
    *,
    email: str | None = None,
    roles: Iterable[str] | None = None,
    scopes: Iterable[str] | None = None,
    values: Mapping[str, object] | None = None,
) -> SignedIn:
    """Register someone and sign them in, with these roles and narrowed to these scopes.

    Raises:
        RuntimeError: a step holds the sign-in up.
    """
    email = email or f"user-{uuid4().hex[:8]}@example.com"
    proved = auth.settings.email_verification == "required"  # whoever signs in has
    account = await auth[Accounts].register(
        email=email, password=PASSWORD, roles=roles, is_verified=proved, values=values
    )
    scope = None if scopes is None else " ".join(scopes)
    outcome = await auth[Passwords].login(email, PASSWORD, scope=scope)
    if isinstance(outcome, Pending):
        raise RuntimeError(f"the step {outcome.step} holds the sign-in up")  # noqa: TRY004 - a state, not a type
    return SignedIn(
        subject=account.subject,
        email=email,
        access_token=str(outcome.body["access_token"]),
        refresh_token=str(outcome.body["refresh_token"]),
    )


async def create_tables(auth: Auth[UserMixin]) -> None:
    """Make every table of this `Auth` and those beside them in the user model's metadata, without migrations."""
    metadata = auth.kernel.tables.users.metadata
    async with auth.kernel.database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
