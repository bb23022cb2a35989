"""How letters leave: each is claimed by one worker for a while, sent, forgotten; or tried again later; or given up."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from email.headerregistry import Address
from uuid import UUID

from limen.core.clock import Clock
from limen.core.sealing import Sealer
from limen.core.tasks import end_tasks
from limen.features.mail.mailers import Mailer, Undeliverable
from limen.features.mail.message import NOBODY, Addressed, compose
from limen.features.mail.store import Claimed, OutboxStore
from limen.features.mail.tables import MAX_REASON
from limen.features.mail.wording import UnusableLetter, Wording

_log = logging.getLogger("limen.mail")

POLL_SECONDS = 5.0
"""How often a worker looks for what other processes posted and for what is to be tried again."""

AT_ONCE = 4
"""Letters that one process sends at the same time."""

SEND_SECONDS = 60.0
LEASE = timedelta(seconds=120)
"""Longer than a sending takes: who still has a letter after that is dead, and another worker tries."""

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=10), timedelta(hours=1)
STOP_SECONDS = 5.0

_chance = random.SystemRandom()  # the module's own state is the app's: its tests may have seeded it


class Delivery:
    """Sends what is in the outbox, from `start` to `stop` or when asked to.

    At least once: a worker that dies between the sending and the forgetting lets another send the letter again, with
    the same Message-ID.

    Attributes:
        mailer: takes the messages to their readers.
        is_left_to_others: True for a process that only posts, such as a command.
    """

    def __init__(
        self,
        store: OutboxStore,
        *,
        sealer: Sealer,
        wording: Wording,
        clock: Clock,
        mailer: Mailer,
        sender: Address,
    ) -> None:
        self.mailer = mailer
        self.is_left_to_others = False
        self._store = store
        self._sealer = sealer
        self._wording = wording
        self._clock = clock
        self._sender = sender
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._is_stopping = False
        self._fails = False
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def wake(self) -> None:
        """Look into the outbox now, not only at the next poll."""
        self._wake.set()

    async def start(self) -> None:
        """Begin to send what is due."""
        if self._tasks or self.is_left_to_others:
            return
        self._wake, self._turn = asyncio.Event(), asyncio.Lock()  # of this event loop
        self._tasks = (asyncio.create_task(self._run()),)

    async def stop(self) -> None:
        """End it; what is being sent at this moment gets a few seconds, so that nobody has to send it again."""
        if not self._tasks:
            return
        self._is_stopping = True
        self.wake()
        await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
        await end_tasks(self._tasks)
        self._tasks, self._is_stopping = (), False

    async def deliver(self) -> int:
        """Send what is due now, one round in this process at a time; how many letters left.

        Raises:
            Unavailable: the database is down; what was sent meanwhile may be sent again.
        """
        left = 0
        async with self._turn:
            while not self._is_stopping:
                now = self._clock.now()
                claimed = await self._store.claim(now=now, until=now + LEASE, limit=AT_ONCE)
                if not claimed:
                    break
                left += sum(await _all_of(claimed, self._handle))
        return left

    async def _run(self) -> None:
        await asyncio.to_thread(self._wording.load)
        while not self._is_stopping:
            self._wake.clear()
            try:
                await self.deliver()
            except Exception as error:  # whatever it is, the next look comes
                _log.warning("the outbox cannot be worked on: %s", type(error).__name__)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS * _chance.uniform(0.8, 1)):
                    await self._wake.wait()

    async def _handle(self, letter: Claimed) -> bool:
        """Send one letter; whether it left."""
        try:
            await self._send(letter)
        except (Undeliverable, UnusableLetter) as reason:
            await self._give_up(letter, " ".join(str(reason).split()) or "the mailer will never take it")
            return False
        except Exception as error:  # whatever a mailer raises; a seal that another worker's secret may open
            await self._postpone(letter, error)
            return False
        await self._store.remove(letter.id)
        self._note(works=True, said="")
        return True

    async def _send(self, letter: Claimed) -> None:
        if letter.ends_at <= self._clock.now():
            raise Undeliverable("too old")
        addressed = Addressed.unpack(self._sealer.unseal(letter.sealed, bound_to=bond(letter.id)))
        if addressed.to == NOBODY:
            return
        message = await asyncio.to_thread(  # milliseconds that requests need not wait for
            compose,
            addressed,
            sender=self._sender,
            template=letter.template,
            letter_id=letter.id,
            posted_at=letter.posted_at,
        )
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self.mailer.send(message)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise ConnectionError from None  # a call of the mailer's own was cancelled: not the end of us

    async def _postpone(self, letter: Claimed, error: Exception) -> None:
        said, now = _said(error), self._clock.now()
        due_at = min(now + pause_after(letter.attempts), letter.ends_at)
        await self._store.postpone(letter, due_at=due_at, error=said)
        _log.info("letter %s (%s) did not leave at try %d: %s", letter.id, letter.template, letter.attempts, said)
        self._note(works=False, said=said)

    async def _give_up(self, letter: Claimed, reason: str) -> None:
        reason = reason[:MAX_REASON]
        await self._store.give_up(letter, at=self._clock.now(), error=reason)
        _log.error("letter %s (%s) is given up at try %d: %s", letter.id, letter.template, letter.attempts, reason)

    def _note(self, *, works: bool, said: str) -> None:
        """Say once when sending begins to fail and once when it works again."""
        if works and self._fails:
            _log.info("mail is sent again")
        if not works and not self._fails:
            _log.warning("mail cannot be sent and waits in the outbox: %s", said)
        self._fails = not works


def pause_after(attempts: int) -> timedelta:
    """How long a letter waits after so many tries: twice as long each time, up to an hour, a quarter more or less."""
    doubled = min(FIRST_PAUSE * (1 << min(attempts - 1, 16)), LONGEST_PAUSE)
    return doubled * _chance.uniform(0.75, 1.25)


def bond(letter_id: UUID) -> str:
    """The place that a sealed letter is bound to."""
    return f"outbox {letter_id}"


async def _all_of(letters: Sequence[Claimed], handle: Callable[[Claimed], Awaitable[bool]]) -> list[bool]:
    """Handle all of them at once; one that fails does not leave the others to themselves."""
    answers = await asyncio.gather(*map(handle, letters), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in answers if isinstance(answer, bool)]


def _said(error: Exception) -> str:
    """What a failure is called: no words of a server, which may quote the address."""
    code = getattr(error, "code", None)
    name = "timed out" if isinstance(error, TimeoutError) else type(error).__name__
    return f"{name} {code}"[:MAX_REASON] if isinstance(code, int) else name[:MAX_REASON]
