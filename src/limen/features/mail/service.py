"""Decides about mail: what a letter must be, what goes into the outbox, until when it is worth sending."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.headerregistry import Address
from email.message import EmailMessage

from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.admission import is_placeholder
from limen.core.opaque import new_id
from limen.core.sealing import Sealer
from limen.features.mail.delivery import Delivery, bond
from limen.features.mail.message import NOBODY, Addressed, address, compose
from limen.features.mail.store import OutboxStore, Posted, Waiting
from limen.features.mail.wording import UnusableLetter, Wording
from limen.kernel import Kernel

__all__ = ["NOBODY", "Letter", "MailService", "UnusableLetter"]

KEEP_GIVEN_UP = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What is to be said to whom.

    Attributes:
        to: the stored address; `NOBODY` costs the same work and reaches nobody, for answers that must not tell
            whether an account exists.
        template: `verify_email` is `verify_email.txt`, which holds the subject too, and `verify_email.html`.
        values: what the template asks for; may hold a link with a token, a code.
        good_for: after that it is not worth sending any more; `LIMEN_MAIL_GIVE_UP_HOURS` at most.
    """

    to: str = field(repr=False)
    template: str
    values: Mapping[str, object] = field(default_factory=dict, repr=False)
    good_for: timedelta | None = None


class MailService:
    """Posts letters and sees that they leave: after the commit, at least once each, never on a request's way.

    Attributes:
        sender: what stands in From.
        give_up_after: how old a letter gets before it is given up.
    """

    kernel: Kernel
    store: OutboxStore
    sealer: Sealer
    wording: Wording
    delivery: Delivery
    sender: Address
    give_up_after: timedelta

    async def post_within(self, connection: AsyncConnection, letter: Letter) -> None:
        """Put a letter into the outbox inside a caller's transaction; call `wake` after its commit.

        Raises:
            UnusableLetter: there is no such template, a value is missing, or a header would not be one line.
        """
        await self.store.add(connection, self._posted(letter))

    async def post(self, letter: Letter) -> None:
        """The same in a transaction of its own; it leaves at once where the app runs, else when a worker looks.

        Raises:
            UnusableLetter: as in `post_within`.
        """
        await self.store.put(self._posted(letter))
        self.wake()

    def wake(self) -> None:
        """There is something to send now."""
        self.delivery.wake()

    async def deliver(self) -> int:
        """Send what is due now, where no app runs that does it by itself; how many letters left.

        Raises:
            Unavailable: the database is down.
        """
        return await self.delivery.deliver()

    async def send_now(self, letter: Letter) -> None:
        """Send a letter past the outbox and wait for it, to see whether sending works; raises what the mailer raises.

        Raises:
            UnusableLetter: as in `post_within`.
        """
        await self.delivery.mailer.send(self.compose(letter))

    async def waiting(self, *, limit: int = 1000) -> tuple[Waiting, ...]:
        """What is in the outbox, the oldest first, without addresses and contents."""
        return await self.store.list(limit=limit)

    def compose(self, letter: Letter) -> EmailMessage:
        """The message that a letter becomes; nothing is sent.

        Raises:
            UnusableLetter: as in `post_within`.
        """
        now = self.kernel.clock.now()
        addressed, letter_id = self._addressed(letter), new_id(now.timestamp())
        return compose(addressed, sender=self.sender, template=letter.template, letter_id=letter_id, posted_at=now)

    async def purge(self) -> int:
        """Forget letters that were given up over 30 days ago."""
        return await self.store.purge(self.kernel.clock.now() - KEEP_GIVEN_UP)

    def _posted(self, letter: Letter) -> Posted:
        now = self.kernel.clock.now()
        letter_id = new_id(now.timestamp())
        packed = self._addressed(letter).pack()
        lifetime = self.give_up_after if letter.good_for is None else min(letter.good_for, self.give_up_after)
        return Posted(
            id=letter_id,
            template=letter.template,
            sealed=self.sealer.seal(packed, bound_to=bond(letter_id)),
            posted_at=now,
            ends_at=now + lifetime,
        )

    def _addressed(self, letter: Letter) -> Addressed:
        """Whatever a letter lacks shows now, to whoever posts it, not hours later to nobody."""
        to = NOBODY if is_placeholder(letter.to) else letter.to
        address(to)
        return Addressed(to=to, words=self.wording.say(letter.template, letter.values))
