"""An app as a test has it: an empty database of the test's own, a clock to turn, cheap hashing, letters that stay."""

import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from sqlalchemy import URL, MetaData, delete

from limen.auth import Auth
from limen.core.passwords import PasswordHasher
from limen.db.users import UserMixin
from limen.features.mail import Mail
from limen.features.passwords import Passwords
from limen.testing.clock import FakeClock, turned_clock
from limen.testing.mailbox import Outbox

_IN_MEMORY = (None, "", ":memory:")
_SAYS_TEST = re.compile(r"(?<![a-z])tests?(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What stands around the app for one test.

    Attributes:
        clock: what the app believes.
        outbox: the app's letters; None if it sends none.
        metadata: whose tables are made, and emptied before the test.
    """

    app: FastAPI
    auth: Auth[UserMixin]
    clock: FakeClock
    outbox: Outbox | None
    metadata: tuple[MetaData, ...]

    async def prepare(self) -> None:
        """Make the tables that are not there and empty them all; in the event loop of the app, before it starts.

        Raises:
            RuntimeError: the database is not one for tests.
        """
        engine = self.auth.kernel.database.engine
        check_is_for_tests(engine.url)
        async with engine.begin() as connection:
            for metadata in self.metadata:
                await connection.run_sync(metadata.create_all)
                for table in reversed(metadata.sorted_tables):
                    await connection.execute(delete(table))
        self.auth.kernel.revocations.forget_all()

    async def finish(self) -> None:
        """Close every connection, of the app's own engine too: the next test has another event loop."""
        await self.auth.kernel.database.dispose()


@contextmanager
def rehearse(
    app: FastAPI, auth: Auth[UserMixin], *, metadata: Iterable[MetaData], hasher: PasswordHasher | None
) -> Iterator[Rehearsal]:
    """Put a turned clock, this hasher and an outbox into the app, and take them out again.

    Args:
        hasher: None for the app's own.
    """
    with ExitStack() as stack:
        clock = stack.enter_context(turned_clock(auth))
        if hasher is not None and _has(auth, Passwords):
            stack.enter_context(_hashing(auth[Passwords], hasher))
        letters = stack.enter_context(_collected(auth[Mail])) if _has(auth, Mail) else None
        yield Rehearsal(app=app, auth=auth, clock=clock, outbox=letters, metadata=tuple(metadata))


def check_is_for_tests(url: URL) -> None:
    """Pass if nothing can be lost there: in memory, a file in a temporary folder, a name that says `test`.

    Raises:
        RuntimeError: it may be somebody's data.
    """
    name = url.database
    if url.get_backend_name() == "sqlite":
        temporary = Path(tempfile.gettempdir()).resolve()
        if name in _IN_MEMORY or Path(str(name)).resolve().is_relative_to(temporary):
            return
    if not _SAYS_TEST.search(Path(name or "").name):
        raise RuntimeError(
            f"The test would empty {url.render_as_string(hide_password=True)}, and nothing says that it is for tests: "
            "let the app's engine take LIMEN_DATABASE_URL, or name the database test_…"
        )


@contextmanager
def _hashing(passwords: Passwords, hasher: PasswordHasher) -> Iterator[None]:
    own, passwords.hasher = passwords.hasher, hasher
    try:
        yield
    finally:
        passwords.hasher = own


@contextmanager
def _collected(mail: Mail) -> Iterator[Outbox]:
    own = mail.delivery.mailer
    mail.delivery.mailer = letters = Outbox(mail)
    try:
        yield letters
    finally:
        mail.delivery.mailer = own


def _has(auth: Auth[UserMixin], kind: type) -> bool:
    return any(isinstance(feature, kind) for feature in auth.features.values())
