"""Decides about forgotten passwords: who gets a mail, and what the token in it is worth."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.client import NOWHERE, Client
from limen.core.identity import NO_ADDRESS, canonical_email
from limen.core.purposes import RESET_PASSWORD
from limen.core.revocations import Revocation
from limen.db.accounts import Account
from limen.db.one_time import Consumed, nobody
from limen.errors import InvalidToken
from limen.events import EmailVerified, Event, PasswordChanged, PasswordReset, PasswordResetRequested
from limen.features.accounts.service import AccountService
from limen.features.mail.service import NOBODY, Letter, MailService
from limen.features.passwords.service import PasswordService
from limen.kernel import Kernel
from limen.ownership import Disowned, disown, lock_out, report


class PasswordResetService:
    """Mails links that replace a password, and replaces it.

    Attributes:
        lifetime: of a link.
        page: the path of the page that the link leads to.
    """

    kernel: Kernel
    accounts: AccountService
    passwords: PasswordService
    mail: MailService
    lifetime: timedelta
    page: str

    async def request(self, email: str, *, client: Client = NOWHERE) -> None:
        """Mail a link to the account of this address; without one the same work is done and nobody hears of it.

        Raises:
            TooManyRequests: a limit is used up.
        """
        kernel = self.kernel
        canonical = canonical_email(email)
        await kernel.limits.take("forgot", client=client, account=canonical)
        account = await kernel.users.find_by_identifier(canonical or NO_ADDRESS)
        if account is not None and not account.held.may_sign_in:
            account = None
        subject = account.subject if account else nobody(canonical or "")
        async with kernel.database.transaction() as connection:
            to = account.email if account else NOBODY
            await self.post_within(connection, subject, canonical=canonical or "", to=to)
        self.mail.wake()
        known = account.subject if account else None
        await kernel.events.publish(PasswordResetRequested(at=kernel.clock.now(), subject=known, client=client))

    async def post_within(self, connection: AsyncConnection, subject: str, *, canonical: str, to: str) -> None:
        """Mail a link for the account `subject`, inside a caller's transaction.

        Args:
            canonical: the address that the account has, and must have still when the link is used.
            to: the same as typed.
        """
        secret = await self.kernel.one_time.issue_within(
            connection, RESET_PASSWORD, subject=subject, payload={"email": canonical}, lifetime=self.lifetime
        )
        link = self.kernel.settings.page_link(self.page, secret)
        values = {"link": link, "valid_for": self.lifetime}
        letter = Letter(to=to, template="reset_password", values=values, good_for=self.lifetime)
        await self.mail.post_within(connection, letter)

    async def reset(self, token: str, new_password: str, *, client: Client = NOWHERE) -> None:
        """Replace the password of the account that the link was mailed to; every session of it ends.

        The address is proved by it. If it was not before, and addresses are to be proved, other ways in may be those of
        somebody who registered with a stranger's address: they are taken back.

        Raises:
            InvalidToken: unknown, used, expired, or the account has another password or address since.
            WeakPassword: the password is refused; the token is still good.
            TooManyRequests: a limit is used up.
        """
        kernel = self.kernel
        await kernel.limits.take("forgot", client=client)
        account = await self._account_of(await kernel.one_time.peek(RESET_PASSWORD, token))
        context = self.passwords.context_of(account)
        await self.passwords.check_new(new_password, context=context, field="new_password")
        digest = await self.passwords.hasher.hash(new_password)
        is_new_owner = not account.columns["is_verified"] and kernel.settings.email_verification != "off"
        taken: Disowned | None = None
        locked_out: tuple[Revocation, ...] = ()
        now = kernel.clock.now()
        changed = PasswordChanged(at=now, subject=account.subject, client=client)
        done: tuple[Event, ...] = (PasswordReset(at=now, subject=account.subject, client=client),)
        if not account.columns["is_verified"]:
            done = (EmailVerified(at=now, subject=account.subject, client=client), *done)
        async with kernel.database.transaction() as connection:
            waiting = await kernel.one_time.consume_within(connection, RESET_PASSWORD, token)
            if waiting is None or not await self._prove(connection, account, waiting):
                raise InvalidToken("the reset was used meanwhile, or the account has another address")
            if is_new_owner:
                taken = await disown(kernel, connection, account.id, reason="email_verified", client=client)
            elif not account.columns["is_verified"]:  # whoever came in from elsewhere never proved this address
                await kernel.identities.forget_all_within(connection, account.id)
                locked_out = (await lock_out(kernel, connection, account.id),)
            ended = await self.passwords.set_within(connection, changed, account.id, digest)
            for event in done:
                await kernel.events.record(connection, event)
        await self.passwords.report(changed, (*ended, *locked_out))
        if taken is not None:
            await report(kernel, taken)
        for event in done:
            await kernel.events.publish(event)

    async def _account_of(self, waiting: Consumed | None) -> Account:
        """The account whose reset waits.

        Raises:
            InvalidToken: there is none, or it may not sign in.
        """
        account = None if waiting is None else await self.kernel.users.find_by_subject(waiting.subject or "")
        if account is None or not account.held.may_sign_in:
            raise InvalidToken("no reset waits behind this token")
        return account

    async def _prove(self, connection: AsyncConnection, account: Account, waiting: Consumed) -> bool:
        mailed_to = str(waiting.payload["email"])
        return await self.kernel.addresses.prove(connection, account.id, mailed_to)
