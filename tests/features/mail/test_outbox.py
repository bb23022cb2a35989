"""The outbox loses nothing, sends nothing twice while nobody dies, and holds no secret that can be read."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text
from tests.features.mail.collecting import Broken, Collecting, eventually
from tests.features.mini_app import SECRET, features_of, open_app, settings_of

from limen import Auth
from limen.errors import Conflict
from limen.features.mail import NOBODY, Letter, Mail
from limen.features.mail.delivery import LEASE
from limen.features.mail.service import UnusableLetter
from limen.testing import FakeClock, create_tables

pytestmark = pytest.mark.anyio

ADDRESS = "alice@example.com"
TOKEN = "dGhpcy1pcy1hLXNlY3JldA"
RESET = Letter(
    to=ADDRESS,
    template="reset_password",
    values={"link": f"http://localhost:8000/reset#token={TOKEN}", "valid_for": timedelta(hours=1)},
)
TEST = Letter(to=ADDRESS, template="test")


async def auth_of(url: str, mailer: object, *, secret: str = SECRET, **settings) -> tuple[Auth, Mail, FakeClock]:
    """An app that runs nothing in the background."""
    clock = FakeClock()
    mail = Mail(mailer=mailer)
    auth = Auth(settings=settings_of(url, secret_key=secret, **settings), features=features_of(mail), clock=clock)
    await create_tables(auth)
    return auth, mail, clock


# --- posting


async def test_a_letter_leaves_if_the_transaction_that_posts_it_commits(database_url):
    mailer = Collecting()
    auth, mail, _ = await auth_of(database_url, mailer)
    with contextlib.suppress(Conflict):
        async with auth.kernel.database.transaction() as connection:
            await mail.post_within(connection, RESET)
            raise Conflict("rolled back")
    assert await mail.deliver() == 0
    async with auth.kernel.database.transaction() as connection:
        await mail.post_within(connection, RESET)
        assert mailer.messages == []
    assert await mail.deliver() == 1
    assert [each["To"] for each in mailer.messages] == [ADDRESS]
    assert await mail.waiting() == ()
    await auth.kernel.database.dispose()


@pytest.mark.parametrize(
    "letter",
    [
        Letter(to=ADDRESS, template="reset_password", values={"link": "https://example.com/"}),
        Letter(to=ADDRESS, template="reset_password", values={"link": "x", "valid_for": "one hour"}),
        Letter(to=ADDRESS, template="no_such_letter"),
        Letter(to=ADDRESS, template="../../secret"),
        Letter(to=ADDRESS, template="_layout"),
        Letter(to="not an address", template="test"),
        Letter(to="alice@example.com, bob@example.com", template="test"),
        Letter(to="alice@example.com\r\nBcc: bob@example.com", template="test"),
    ],
    ids=["missing value", "wrong value", "unknown", "path", "layout", "no address", "two addresses", "header"],
)
async def test_a_letter_that_could_not_be_sent_is_refused_when_it_is_posted(mini_mail, letter):
    with pytest.raises(UnusableLetter) as refused:
        await mini_mail.post(letter)
    assert ADDRESS not in str(refused.value)
    assert await mini_mail.waiting() == ()


async def test_a_letter_to_nobody_does_the_same_and_reaches_nobody(database_url):
    mailer = Collecting()
    auth, mail, _ = await auth_of(database_url, mailer)
    await mail.post(Letter(to=NOBODY, template="test"))
    assert len(await mail.waiting()) == 1
    await mail.deliver()
    assert mailer.messages == []
    assert await mail.waiting() == ()
    await auth.kernel.database.dispose()


async def test_a_letter_prints_neither_its_reader_nor_what_it_says():
    assert repr(RESET) == "Letter(template='reset_password', good_for=None)"


# --- at rest


def outbox_of(auth):
    return auth.kernel.tables.users.metadata.tables["limen_outbox"]


async def test_no_secret_and_no_address_can_be_read_in_the_database(database_url):
    auth, mail, _ = await auth_of(database_url, Broken())
    await mail.post(RESET)
    await mail.deliver()
    table = outbox_of(auth)
    (row,) = await auth.kernel.database.read(select(table))
    at_rest = repr(tuple(row)).encode() + bytes(row.sealed) + files_of(database_url)
    for secret in (TOKEN.encode(), b"alice", b"reset#"):
        assert secret not in at_rest
    assert b"reset_password" in at_rest, "this is what would be found"
    await auth.kernel.database.dispose()


def files_of(url: str) -> bytes:
    if not url.startswith("sqlite"):
        return b""
    path = Path(url.partition(":///")[2])
    return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))


async def test_a_sealed_letter_opens_in_no_other_row(database_url):
    mailer = Collecting()
    auth, mail, _ = await auth_of(database_url, mailer)
    await mail.post(RESET)
    await mail.post(TEST)
    async with auth.kernel.database.transaction() as connection:
        await connection.execute(
            text(
                "UPDATE limen_outbox SET sealed = (SELECT sealed FROM limen_outbox WHERE template = 'test') "
                "WHERE template = 'reset_password'"
            )
        )
    assert await mail.deliver() == 1
    (waiting,) = await mail.waiting()
    assert (waiting.template, waiting.last_error) == ("reset_password", "SealBroken")
    assert len(mailer.messages) == 1
    await auth.kernel.database.dispose()


async def test_a_rotated_secret_still_opens_what_waits(database_url):
    auth, mail, _ = await auth_of(database_url, Collecting())
    await mail.post(RESET)
    await auth.kernel.database.dispose()
    mailer = Collecting()
    new = "another secret of more than thirty-two bytes, for tests"
    auth, mail, _ = await auth_of(database_url, mailer, secret=new, secret_key_fallbacks=(SECRET,))
    assert await mail.deliver() == 1
    assert TOKEN in str(mailer.messages[0].get_body(("plain",)))
    await auth.kernel.database.dispose()


async def test_a_worker_that_has_not_the_new_secret_yet_leaves_the_letter_to_those_that_have(database_url):
    new = "another secret of more than thirty-two bytes, for tests"
    auth, mail, _ = await auth_of(database_url, Collecting(), secret=new, secret_key_fallbacks=(SECRET,))
    await mail.post(RESET)
    old_auth, old, _ = await auth_of(database_url, Broken())
    assert await old.deliver() == 0
    mail.kernel.clock.advance(seconds=13)
    assert await mail.deliver() == 1
    for each in (auth, old_auth):
        await each.kernel.database.dispose()


class CancelsItself:
    """A mailer one of whose own calls was cancelled."""

    async def send(self, message: object) -> None:
        raise asyncio.CancelledError


async def test_a_mailer_that_is_cancelled_by_itself_does_not_end_the_sending(database_url):
    auth, mail, _ = await auth_of(database_url, CancelsItself())
    await mail.post(TEST)
    assert await mail.deliver() == 0
    (waiting,) = await mail.waiting()
    assert waiting.last_error == "ConnectionError"
    await auth.kernel.database.dispose()


async def test_what_is_given_up_keeps_nothing_of_what_it_said(database_url):
    auth, mail, clock = await auth_of(database_url, Broken())
    await mail.post(RESET)
    clock.advance(hours=49)
    await mail.deliver()
    (row,) = await auth.kernel.database.read(select(outbox_of(auth)))
    assert row.sealed is None
    assert row.last_error == "too old"
    await auth.kernel.database.dispose()


# --- several workers


async def test_of_several_workers_each_letter_is_sent_by_one(database_url):
    mailer = Collecting()
    async with AsyncExitStack() as stack:
        workers = []
        for _ in range(3):
            auth, mail, _ = await auth_of(database_url, mailer)
            stack.push_async_callback(auth.kernel.database.dispose)
            workers.append(mail)
        for number in range(40):
            values = {"link": f"http://localhost:8000/#token={number}", "valid_for": timedelta(hours=1)}
            await workers[0].post(Letter(to=ADDRESS, template="reset_password", values=values))
        sent = await asyncio.gather(*(worker.deliver() for worker in workers))
    ids = Counter(each["Message-ID"] for each in mailer.messages)
    assert len(ids) == 40
    assert set(ids.values()) == {1}
    assert sum(sent) == 40
    assert sum(number > 0 for number in sent) > 1, "they took turns"


async def test_a_worker_that_comes_back_late_changes_nothing_of_what_another_did(database_url):
    auth, mail, clock = await auth_of(database_url, Broken())
    await mail.post(TEST)
    now = clock.now()
    (late,) = await mail.store.claim(now=now, until=now + LEASE, limit=9)
    assert await mail.store.claim(now=now, until=now + LEASE, limit=9) == ()
    after = now + LEASE
    (second,) = await mail.store.claim(now=after, until=after + LEASE, limit=9)
    await mail.store.give_up(late, at=after, error="late")
    await mail.store.postpone(late, due_at=now, error="late")
    (waiting,) = await mail.waiting()
    assert waiting.due_at == after + LEASE
    assert (waiting.attempts, waiting.last_error) == (second.attempts, None)
    await auth.kernel.database.dispose()


SENDING = """
import asyncio, sys
from limen import Auth, AuthSettings
from limen.features.mail import Mail

class Waits:
    async def send(self, message):
        print("sending", flush=True)
        await asyncio.sleep(60)

async def main():
    settings = AuthSettings(secret_key=sys.argv[1], database_url=sys.argv[2])
    async with Auth(settings=settings, features=[Mail(mailer=Waits())]):
        await asyncio.sleep(60)

asyncio.run(main())
"""


def kill_while_it_sends(command: list[str]) -> None:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout
        assert worker.stdout.readline() == "sending\n"
        os.kill(worker.pid, signal.SIGKILL)


async def test_a_worker_that_is_killed_while_it_sends_loses_no_letter(database_url):
    mailer = Collecting()
    auth, mail, clock = await auth_of(database_url, mailer)
    await mail.post(RESET)
    await asyncio.to_thread(kill_while_it_sends, [sys.executable, "-c", SENDING, SECRET, database_url])
    assert await mail.deliver() == 0, "the dead worker's lease is not over"
    clock.advance(seconds=LEASE.total_seconds() + 5)
    assert await mail.deliver() == 1
    (message,) = mailer.messages
    assert TOKEN in message.get_body(("plain",)).get_content()
    await auth.kernel.database.dispose()


async def test_a_running_app_sends_what_another_process_posted(database_url, monkeypatch):
    monkeypatch.setattr("limen.features.mail.delivery.POLL_SECONDS", 0.1)
    mailer = Collecting()
    other, posting, _ = await auth_of(database_url, Broken())
    async with open_app(database_url, features=features_of(Mail(mailer=mailer))):
        await posting.post(TEST)
        await eventually(lambda: mailer.messages)
    await other.kernel.database.dispose()


async def test_an_outage_of_the_database_does_not_end_the_sending(opened, monkeypatch, caplog):
    monkeypatch.setattr("limen.features.mail.delivery.POLL_SECONDS", 0.05)
    mailer = Collecting()
    mini = await opened(features=features_of(Mail(mailer=mailer)))
    mail = mini.auth[Mail]
    async with mini.auth.kernel.database.transaction() as connection:
        await connection.execute(text("ALTER TABLE limen_outbox RENAME TO elsewhere"))
    await eventually(lambda: "the outbox cannot be worked on" in caplog.text)
    async with mini.auth.kernel.database.transaction() as connection:
        await connection.execute(text("ALTER TABLE elsewhere RENAME TO limen_outbox"))
    await mail.post(TEST)
    await eventually(lambda: mailer.messages)


@pytest.fixture
async def mini_mail(tmp_path):
    """A feature `mail` that nobody delivers for."""
    auth, mail, _ = await auth_of(f"sqlite+aiosqlite:///{tmp_path}/limen.db", Collecting())
    yield mail
    await auth.kernel.database.dispose()
