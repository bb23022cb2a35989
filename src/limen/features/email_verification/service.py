"""Decides about addresses: which are proved, which one an account has, and who can have an old one back."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.client import NOWHERE, Client
from limen.core.identity import NO_ADDRESS, Identity, canonical_email, email_identity
from limen.core.login import Completed, Pending
from limen.core.opaque import parse_uuid
from limen.core.principal import Principal
from limen.core.purposes import CONFIRM_EMAIL, OF_THE_ADDRESS, STOP_EMAIL_CHANGE, UNDO_EMAIL_CHANGE, VERIFY_EMAIL
from limen.db.accounts import Account
from limen.db.addresses import AddressChange, new_change
from limen.db.database import UniqueViolation
from limen.db.one_time import Consumed, nobody
from limen.errors import IncorrectLogin, InvalidToken, UsernameTaken
from limen.events import (
    EmailChanged,
    EmailChangeRequested,
    EmailChangeUndone,
    EmailVerificationRequested,
    EmailVerified,
)
from limen.features.accounts.service import AccountService
from limen.features.mail.service import NOBODY, Letter, MailService
from limen.features.password_reset.service import PasswordResetService
from limen.features.passwords.service import PasswordService
from limen.kernel import Kernel
from limen.ownership import disown, report

_log = logging.getLogger("limen.email_verification")

STEP = "verify_email"
"""What a sign-in waits for until the address is proved, where that is required."""


class EmailVerificationService:
    """Lets people prove the address that they registered with, change it, and have it back.

    Attributes:
        lifetime: of what is sent to an address that is to be proved.
        undo_for: how long a change can be undone from the old address.
        page, undo_page: the paths of the pages that the links lead to.
    """

    kernel: Kernel
    accounts: AccountService
    passwords: PasswordService
    resets: PasswordResetService
    mail: MailService
    lifetime: timedelta
    undo_for: timedelta
    page: str
    undo_page: str

    @property
    def is_required(self) -> bool:
        """Whether nobody signs in with an address that is not proved."""
        return self.kernel.settings.email_verification == "required"

    async def is_verified(self, subject: str) -> bool:
        """Whether this account's address is proved."""
        account = await self.kernel.users.find_by_subject(subject)
        return account is not None and bool(account.columns["is_verified"])

    # --- the address of a new account

    async def greet(
        self, connection: AsyncConnection, user_id: object, *, email: Identity, username: Identity | None = None
    ) -> None:
        """Mail a link and a code to a new account, inside the transaction that makes it.

        Args:
            username: what the account will be called when its address is proved, if it is free then.
        """
        wanted = {} if username is None else {"username": username.typed}
        payload = {"email": email.canonical, **wanted}
        await self._ask(connection, str(user_id), payload=payload, to=email.typed)

    async def remind(self, connection: AsyncConnection, *, email: str) -> None:
        """Tell the owner of an address that there is an account, with the work of greeting one."""
        kernel, canonical = self.kernel, canonical_email(email) or ""
        await kernel.one_time.issue_with_code_within(
            connection, VERIFY_EMAIL, subject=nobody(canonical), payload={}, lifetime=timedelta()
        )
        letter = Letter(to=email, template="account_exists", values={"link": kernel.settings.base_url})
        await self.mail.post_within(connection, letter)

    async def request(self, email: str, *, client: Client = NOWHERE) -> None:
        """Mail another link and code to an account that has not proved this address; else the same work for nobody.

        Raises:
            TooManyRequests: a limit is used up.
        """
        kernel, canonical = self.kernel, canonical_email(email)
        await kernel.limits.take("verify", client=client, account=canonical)
        account = await kernel.users.find_by_identifier(canonical or NO_ADDRESS)
        if account is not None and (account.columns["is_verified"] or not account.held.may_sign_in):
            account = None
        subject = account.subject if account else nobody(canonical or "")
        standing = await kernel.one_time.standing(VERIFY_EMAIL, subject=subject)
        payload = {**standing, "email": canonical or ""}
        async with kernel.database.transaction() as connection:
            await self._ask(connection, subject, payload=payload, to=account.email if account else NOBODY)
        self.mail.wake()
        event = EmailVerificationRequested(
            at=kernel.clock.now(), subject=account.subject if account else None, client=client
        )
        await kernel.events.publish(event)

    async def verify(self, token: str, *, client: Client = NOWHERE) -> Account:
        """Take the address that the token was mailed to as proved; a change of address takes effect.

        Raises:
            InvalidToken: unknown, used, expired, or the account has another address since.
            TooManyRequests: a limit is used up.
        """
        await self.kernel.limits.take("verify", client=client)
        account = await self._verify_own(token, client) or await self._confirm_new(token, client)
        if account is None:
            raise InvalidToken("no address waits behind this token")
        return account

    async def verify_by_code(self, email: str, code: str, *, client: Client = NOWHERE) -> Account:
        """The same by the code of the mail, which is good for a few tries.

        Raises:
            InvalidToken: wrong, used, expired, tried too often, or no such account.
            TooManyRequests: a limit is used up.
        """
        kernel, canonical = self.kernel, canonical_email(email)
        async with await kernel.limits.take("verify_code", client=client, account=canonical) as attempt:
            account = await kernel.users.find_by_identifier(canonical or NO_ADDRESS)
            subject = account.subject if account else nobody(canonical or "")
            handle = await kernel.one_time.find_by_code(VERIFY_EMAIL, code, subject=subject)
            if account is None or handle is None:
                raise InvalidToken("no such code waits for this address")
            await attempt.give_back()
        async with kernel.database.transaction() as connection:
            waiting = await kernel.one_time.consume_found_within(connection, VERIFY_EMAIL, handle)
            proved = await self._prove(connection, waiting, client)
        if waiting is None or proved is None:
            raise InvalidToken("the code was used meanwhile, or the account has another address")
        return await self._proved(proved, waiting.payload)

    # --- another address

    async def request_change(
        self, principal: Principal, *, new_email: str, password: str, client: Client = NOWHERE
    ) -> None:
        """Ask the new address to confirm and tell the old one; whether the new one is taken is told to nobody else.

        Raises:
            Unprocessable: the new address is not of the form.
            IncorrectLogin: the password is wrong.
            TooManyRequests: a limit is used up.
        """
        kernel, new = self.kernel, email_identity(new_email, field="new_email")
        account = await self.accounts.get_own(principal)
        proved = await self.passwords.verify(str(account.columns["email_canonical"]), password, client=client)
        if proved.id != account.id:
            raise IncorrectLogin("the password is another account's", subject=principal.subject)
        await kernel.limits.take("change_email", client=client, account=str(account.columns["email_canonical"]))
        taken = await kernel.users.find_by_identifier(new.canonical)
        is_free = taken is None or taken.id == account.id
        change = self._change_of(account)
        event = EmailChangeRequested(at=kernel.clock.now(), subject=account.subject, client=client)
        async with kernel.database.transaction() as connection:
            await kernel.addresses.ask(connection, change)
            secret = await kernel.one_time.issue_within(
                connection,
                CONFIRM_EMAIL,
                subject=account.subject,
                payload={"change": str(change.id), "email": new.typed},
                lifetime=self.lifetime,
            )
            await self._post_confirmation(connection, new, secret, taken=None if is_free else taken)
            await self._tell_old(connection, change, kind=STOP_EMAIL_CHANGE, template="email_change_notice", new=new)
            await kernel.events.record(connection, event)
        self.mail.wake()
        await kernel.events.publish(event)

    async def undo_change(self, token: str, *, client: Client = NOWHERE) -> Account:
        """Stop or undo a change of address, for whoever reads the old one's mail: the account is theirs again.

        Whoever changed it knew the password. So every session ends, password and keys are taken back, whatever was
        asked for by mail is void, a deletion that waits is cancelled, and a link for a new password goes to the old
        address. Changes that came later are forgotten, with their undoing.

        Raises:
            InvalidToken: unknown, used, or expired.
            TooManyRequests: a limit is used up.
        """
        kernel = self.kernel
        await kernel.limits.take("verify", client=client)
        async with self._refusing_what_is_taken(), kernel.database.transaction() as connection:
            change = await self._bring_back(connection, token)
            subject = str(change.user_id)
            restored = await self.accounts.restore_within(connection, change.user_id, client=client)
            taken = await disown(kernel, connection, change.user_id, reason="email_change_undone", client=client)
            await self.resets.post_within(connection, subject, canonical=change.email_canonical, to=change.email)
            undone = EmailChangeUndone(at=kernel.clock.now(), subject=subject, client=client)
            await kernel.events.record(connection, undone)
        self.mail.wake()
        await report(kernel, taken)
        for event in (undone,) if restored is None else (undone, restored):
            await kernel.events.publish(event)
        return await self.accounts.get(change.user_id)

    # --- what a half-done sign-in waits for

    async def go_on(self, ticket: str, account: Account, *, client: Client = NOWHERE) -> Pending | Completed | None:
        """Go on with the sign-in that waits behind a ticket for this account's address; None if none does."""
        login = self.kernel.login
        try:
            proof = await login.resume(ticket, step=STEP)
        except InvalidToken:
            return None
        if proof.subject != account.subject:
            return None
        return await login.pass_step(proof, client, step=STEP)

    # --- each for itself

    async def _ask(self, connection: AsyncConnection, subject: str, *, payload: Mapping[str, object], to: str) -> None:
        issued = await self.kernel.one_time.issue_with_code_within(
            connection, VERIFY_EMAIL, subject=subject, payload=payload, lifetime=self.lifetime
        )
        link = self.kernel.settings.page_link(self.page, issued.secret)
        values = {"link": link, "code": issued.code, "valid_for": self.lifetime}
        letter = Letter(to=to, template="verify_email", values=values, good_for=self.lifetime)
        await self.mail.post_within(connection, letter)

    async def _verify_own(self, token: str, client: Client) -> Account | None:
        kernel = self.kernel
        async with kernel.database.transaction() as connection:
            waiting = await kernel.one_time.consume_within(connection, VERIFY_EMAIL, token)
            proved = await self._prove(connection, waiting, client)
        if waiting is None:
            return None
        if proved is None:
            raise InvalidToken("the account has another address", subject=waiting.subject)
        return await self._proved(proved, waiting.payload)

    async def _prove(
        self, connection: AsyncConnection, waiting: Consumed | None, client: Client
    ) -> EmailVerified | None:
        """That the address is the account's from now on, recorded; None if it has another."""
        kernel = self.kernel
        user_id = None if waiting is None else kernel.users.parse_key(waiting.subject or "")
        if waiting is None or user_id is None:
            return None
        if not await kernel.addresses.prove(connection, user_id, str(waiting.payload["email"])):
            return None
        verified = EmailVerified(at=kernel.clock.now(), subject=str(user_id), client=client)
        await kernel.events.record(connection, verified)
        return verified

    async def _proved(self, verified: EmailVerified, payload: Mapping[str, object]) -> Account:
        """Tell who listens; and if the account waited with a username, it is called so from now on."""
        account = await self.accounts.get_by_subject(verified.subject or "")
        if "username" in payload:
            name = str(payload["username"])
            try:
                account = await self.accounts.change(account.id, username=name, values={}, client=verified.client)
            except UsernameTaken:
                _log.info("a username was taken before its account was verified")
        await self.kernel.events.publish(verified)
        return account

    def _change_of(self, account: Account) -> AddressChange:
        now = self.kernel.clock.now()
        return new_change(
            account.id,
            email=account.email,
            canonical=str(account.columns["email_canonical"]),
            was_verified=bool(account.columns["is_verified"]),
            now=now,
            expires_at=now + self.lifetime + self.undo_for,
        )

    async def _post_confirmation(
        self, connection: AsyncConnection, new: Identity, secret: str, *, taken: Account | None
    ) -> None:
        """A taken address is told that it is, a free one gets the link; whoever asked cannot tell which."""
        if taken is not None:
            letter = Letter(to=taken.email, template="account_exists", values={"link": self.kernel.settings.base_url})
        else:
            link = self.kernel.settings.page_link(self.page, secret)
            values = {"link": link, "valid_for": self.lifetime}
            letter = Letter(to=new.typed, template="confirm_new_email", values=values, good_for=self.lifetime)
        await self.mail.post_within(connection, letter)

    async def _tell_old(
        self, connection: AsyncConnection, change: AddressChange, *, kind: str, template: str, new: Identity
    ) -> None:
        """Tell the old address, with a link that undoes the change; not if that address was never proved though asked.

        Whoever reads the mail of an address that somebody mistyped at registration must not get the account by it.
        """
        is_owners = change.was_verified or self.kernel.settings.email_verification == "off"
        secret = await self.kernel.one_time.issue_within(
            connection,
            kind,
            subject=str(change.id),
            payload={"change": str(change.id)} if is_owners else {},
            lifetime=change.expires_at - self.kernel.clock.now(),
        )
        link = self.kernel.settings.page_link(self.undo_page, secret) if is_owners else None
        values = {"undo_link": link, "new_email": new.typed, "valid_for": self.undo_for}
        await self.mail.post_within(connection, Letter(to=change.email, template=template, values=values))

    async def _confirm_new(self, token: str, client: Client) -> Account | None:
        kernel = self.kernel
        async with self._refusing_what_is_taken(), kernel.database.transaction() as connection:
            waiting = await kernel.one_time.consume_within(connection, CONFIRM_EMAIL, token)
            if waiting is None:
                return None
            change = await self._replace(connection, waiting)
            changed = EmailChanged(at=kernel.clock.now(), subject=str(change.user_id), client=client)
            await kernel.events.record(connection, changed)
        self.mail.wake()
        await kernel.events.publish(changed)
        return await self.accounts.get(change.user_id)

    @asynccontextmanager
    async def _refusing_what_is_taken(self) -> AsyncIterator[None]:
        """An address that became another account's meanwhile is not taken from it, and the token was for it only."""
        try:
            yield
        except UniqueViolation:
            raise InvalidToken("the address was taken meanwhile") from None

    async def _replace(self, connection: AsyncConnection, waiting: Consumed) -> AddressChange:
        kernel = self.kernel
        new, undo_until = email_identity(str(waiting.payload["email"])), kernel.clock.now() + self.undo_for
        change_id = UUID(str(waiting.payload["change"]))
        change = await kernel.addresses.replace(connection, change_id, new=new, undo_until=undo_until)
        if change is None:
            raise InvalidToken("the change was stopped, or the account has another address", subject=waiting.subject)
        await kernel.one_time.void_within(connection, str(change.user_id), OF_THE_ADDRESS)
        await self._tell_old(connection, change, kind=UNDO_EMAIL_CHANGE, template="email_changed", new=new)
        return change

    async def _bring_back(self, connection: AsyncConnection, token: str) -> AddressChange:
        kernel = self.kernel
        for kind in (STOP_EMAIL_CHANGE, UNDO_EMAIL_CHANGE):
            waiting = await kernel.one_time.consume_within(connection, kind, token)
            change_id = None if waiting is None else parse_uuid(str(waiting.payload.get("change", "")))
            change = None if change_id is None else await kernel.addresses.bring_back(connection, change_id)
            if change is not None:
                return change
        raise InvalidToken("no change of address is undone by this token")
