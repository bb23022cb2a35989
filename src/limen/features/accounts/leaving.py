"""What ends with an account, who can have it back, and what its owner may take along."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.client import NOWHERE, Client
from limen.core.purposes import OF_THE_ADDRESS, RESTORE_ACCOUNT
from limen.db.accounts import Account
from limen.db.identities import Identity
from limen.db.sessions import Session
from limen.errors import InvalidCredential, InvalidToken, NotFound, Unavailable
from limen.events import (
    AccountDeleted,
    AccountDeletionScheduled,
    AccountExported,
    AccountRestored,
)
from limen.feature import Feature
from limen.features.accounts.store import DeletionStore
from limen.features.mail.service import Letter, MailService
from limen.kernel import Kernel
from limen.ownership import shut_out

_log = logging.getLogger("limen.accounts")

MAX_REMOVALS = 100
"""Accounts that one look at the due deletions finds; the next look follows."""

REMOVE_AGAIN_AFTER = timedelta(hours=6)
"""When an account is tried again that could not be removed: the app's own rows may hold it."""

Check = Callable[[AsyncConnection, object], Awaitable[bool]]


class Leaving:
    """Shuts, removes, restores and exports accounts.

    Attributes:
        features: every feature of this `Auth`; each may hold something of a person.
        grace: how long a closed account waits for its deletion; none at all if zero.
        restore_page: the path of the page that a link to restore one leads to.
        mail: tells owners; None without the feature.
    """

    kernel: Kernel
    deletions: DeletionStore
    features: Sequence[Feature]
    grace: timedelta
    restore_page: str
    mail: MailService | None

    async def remove(self, user_id: object, *, client: Client = NOWHERE) -> None:
        """Delete an account, its sessions and whatever hangs on it; every credential of it is refused from now on.

        Raises:
            NotFound: there is none.
            LastAdmin: nobody active would hold `*` any more.
        """
        account = await self.kernel.users.find(user_id)
        if account is None or not await self._remove(account, client):
            raise NotFound("no such user", user=user_id)

    async def schedule_removal(self, account: Account, *, client: Client = NOWHERE) -> None:
        """Shut an account now and delete it after the grace; a link in a mail to its owner restores it until then.

        Raises:
            InvalidCredential: somebody shut it meanwhile: its owner, or an operator for good.
            LastAdmin: nobody active would hold `*` any more.
        """
        kernel = self.kernel
        now = kernel.clock.now()
        due_at = now + self.grace
        event = AccountDeletionScheduled(at=now, subject=account.subject, client=client, due_at=due_at)
        async with kernel.database.transaction() as connection:
            async with kernel.administrators.keep_one(connection, account.id):
                if not await kernel.users.shut(connection, account.id):
                    raise InvalidCredential("the account was shut meanwhile", user=account.id)
            ended = await shut_out(kernel, connection, account.id, reason="account_closed")
            await self.deletions.schedule(connection, account.id, now=now, due_at=due_at)
            await kernel.one_time.void_within(connection, account.subject, OF_THE_ADDRESS)
            secret = await kernel.one_time.issue_within(
                connection, RESTORE_ACCOUNT, subject=account.subject, payload={}, lifetime=self.grace
            )
            await self._post_scheduled(connection, account, secret, due_at)
            await kernel.events.record(connection, event)
        kernel.revocation_log.apply(ended)
        self.wake_mail()
        await kernel.events.publish(event)

    async def restore(self, token: str, *, client: Client = NOWHERE) -> None:
        """Let an account that waits for its deletion stay, for whoever has the link of the mail.

        Raises:
            InvalidToken: unknown, used, expired, or an operator has shut the account since.
            TooManyRequests: a limit is used up.
        """
        kernel = self.kernel
        await kernel.limits.take("verify", client=client)
        async with kernel.database.transaction() as connection:
            waiting = await kernel.one_time.consume_within(connection, RESTORE_ACCOUNT, token)
            user_id = None if waiting is None else kernel.users.parse_key(waiting.subject or "")
            event = None if user_id is None else await self.restore_within(connection, user_id, client=client)
            if event is None:
                raise InvalidToken("no account is restored by this token")
        await kernel.events.publish(event)

    async def restore_within(
        self, connection: AsyncConnection, user_id: object, *, client: Client = NOWHERE
    ) -> AccountRestored | None:
        """Cancel a deletion that the account itself asked for, inside a caller's transaction.

        Returns:
            what to publish after the commit; None if none waits.
        """
        kernel = self.kernel
        await kernel.users.hold(connection, user_id)  # before the deletion, as whoever bans it does
        if not await self.deletions.cancel_own(connection, user_id):
            return None
        await kernel.users.change_within(connection, user_id, {"is_active": True})
        event = AccountRestored(at=kernel.clock.now(), subject=str(user_id), client=client)
        await kernel.events.record(connection, event)
        return event

    async def remove_due(self) -> int:
        """Delete the accounts whose grace is over, and say how many; called now and then by every worker.

        One that cannot be deleted (a table of the app's own refers to it, or nobody else administers) is logged and put
        off, so that the others do not wait for it.

        Raises:
            Unavailable: the database is down.
        """
        removed = 0
        while due := await self.deletions.list_due(self.kernel.clock.now(), limit=MAX_REMOVALS):
            removed += sum([await self._remove_due(user_id) for user_id in due])
        return removed

    async def export(self, user_id: object, *, client: Client = NOWHERE) -> Mapping[str, object]:
        """Whatever limen holds of a person, under the name of what holds it; never a secret (GDPR, article 15 and 20).

        Raises:
            NotFound: there is no such account.
        """
        kernel, account = self.kernel, await self.kernel.users.find(user_id)
        if account is None:
            raise NotFound("no such user", user=user_id)
        held = {feature.name: await feature.export_of(user_id) for feature in self.features}
        found: dict[str, object] = {
            "exported_at": kernel.clock.now(),
            "account": kernel.users.describe(account),
            "sessions": [_exported(session) for session in await kernel.sessions.list_all(user_id)],
            "identities": [_exported_identity(each) for each in await kernel.identities.list_of(user_id)],
            "earlier_addresses": [change.email for change in await kernel.addresses.list_of(user_id)],
            **{name: part for name, part in held.items() if part},
        }
        event = AccountExported(at=kernel.clock.now(), subject=account.subject, client=client)
        await kernel.events.publish(event)
        return found

    def wake_mail(self) -> None:
        """After a commit that posted a letter: it can leave."""
        if self.mail is not None:
            self.mail.wake()

    async def _remove(self, account: Account, client: Client, *, only_if: Check | None = None) -> bool:
        """Delete an account if it is still there, and if what is asked within the transaction says so."""
        kernel, email = self.kernel, None if account.held.is_service else account.mailbox
        deleted = AccountDeleted(at=kernel.clock.now(), subject=account.subject, client=client, email=email)
        async with kernel.database.transaction() as connection:
            async with kernel.administrators.keep_one(connection, account.id):
                if only_if is not None and not await only_if(connection, account.id):
                    return False
                entry = await kernel.users.remove(connection, account.id)
            if entry is None:
                return False
            await kernel.events.record(connection, deleted)
            await kernel.one_time.void_all_within(connection, account.subject)
            await kernel.revocation_log.append(connection, [entry])
        kernel.revocation_log.apply([entry])
        await kernel.events.publish(deleted)
        return True

    async def _remove_due(self, user_id: object) -> bool:
        account = await self.kernel.users.find(user_id)
        if account is None:  # deleted past limen, in a database that keeps no foreign keys
            async with self.kernel.database.transaction() as connection:
                await self.deletions.cancel(connection, user_id)
            return False
        try:
            return await self._remove(account, NOWHERE, only_if=self._is_due)
        except Unavailable:
            raise
        except Exception as error:
            _log.error("account %s is due and cannot be deleted; it is tried again later: %s", user_id, error)
            await self.deletions.put_off(user_id, until=self.kernel.clock.now() + REMOVE_AGAIN_AFTER)
            return False

    async def _is_due(self, connection: AsyncConnection, user_id: object) -> bool:
        return await self.deletions.claim_due(connection, user_id, now=self.kernel.clock.now())

    async def _post_scheduled(
        self, connection: AsyncConnection, account: Account, secret: str, due_at: datetime
    ) -> None:
        if self.mail is None or account.mailbox is None:
            return
        link = self.kernel.settings.page_link(self.restore_page, secret)
        values = {"link": link, "due_at": due_at}
        await self.mail.post_within(
            connection, Letter(to=account.mailbox, template="deletion_scheduled", values=values)
        )


def _exported(session: Session) -> Mapping[str, object]:
    times = ("authenticated_at", "created_at", "last_seen_at", "ends_at", "ended_at")
    shown = ("id", "carrier", "scope", "client_id", "amr", "ip", "user_agent", *times)
    return {name: getattr(session, name) for name in shown}


def _exported_identity(identity: Identity) -> Mapping[str, object]:
    shown = ("provider", "issuer", "subject", "email", "created_at", "last_used_at")
    return {name: getattr(identity, name) for name in shown}
