"""Decides about sign-in by mail: who gets a link and a code, in which browser they are good, whom they sign in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.client import NOWHERE, Client
from limen.core.identity import NO_ADDRESS, canonical_email
from limen.core.limits import by_id
from limen.core.login import Completed, Pending, Proof
from limen.core.opaque import digest, matches
from limen.core.purposes import MAGIC_LINK
from limen.db.accounts import Account
from limen.db.one_time import Consumed, nobody
from limen.errors import AnotherBrowser, EmailTaken, InvalidToken
from limen.events import EmailVerified, LoginFailed, MagicLinkRequested
from limen.features.accounts.service import AccountService
from limen.features.mail.service import NOBODY, Letter, MailService
from limen.kernel import Kernel
from limen.ownership import disown, report

AMR = ("otp",)
"""RFC 8176 §2: a one-time password; it has no word for a mailbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a sign-in by mail asks for.

    Attributes:
        browser: what the browser was given when it asked for the link, empty if it has nothing; None for a client that
            is no browser and opens no links.
        scope, deliver: as in a sign-in by password.
    """

    browser: str | None = field(default=None, repr=False)
    scope: str | None = None
    deliver: str = "token"


class MagicLinkService:
    """Mails links and codes that sign in, and takes them.

    Attributes:
        lifetime: of both.
        signs_up: whether a link is mailed to an address without an account too, which then gets one.
        page: the path of the page that the link leads to.
    """

    kernel: Kernel
    accounts: AccountService
    mail: MailService
    lifetime: timedelta
    signs_up: bool
    page: str

    async def request(self, email: str, *, browser: str = "", client: Client = NOWHERE) -> None:
        """Mail a link and a code to the account of this address; without one the same work is done for nobody.

        Args:
            browser: a random value that the asking browser keeps: in another browser the link signs nobody in. Without
                one it does in any, as for an invitation that the app sends by itself.

        Raises:
            TooManyRequests: a limit is used up.
        """
        kernel, canonical = self.kernel, canonical_email(email)
        account = await kernel.users.find_by_identifier(canonical or NO_ADDRESS)
        known_as = by_id(account.subject) if account else canonical
        await kernel.limits.take("magic_link", client=client, account=known_as)
        is_open = self.signs_up and account is None and canonical is not None
        if account is not None and not account.held.may_sign_in:
            account = None
        subject = account.subject if account else nobody(canonical or "")
        payload = {
            "email": canonical or "",
            "typed": email if is_open else "",
            "browser": digest(browser).hex() if browser else "",
        }
        async with kernel.database.transaction() as connection:
            issued = await kernel.one_time.issue_with_code_within(
                connection, MAGIC_LINK, subject=subject, payload=payload, lifetime=self.lifetime
            )
            link = kernel.settings.page_link(self.page, issued.secret)
            values = {"link": link, "code": issued.code, "valid_for": self.lifetime}
            to = account.email if account else email if is_open else NOBODY
            letter = Letter(to=to, template="magic_link", values=values, good_for=self.lifetime)
            await self.mail.post_within(connection, letter)
        self.mail.wake()
        known = account.subject if account else None
        await kernel.events.publish(MagicLinkRequested(at=kernel.clock.now(), subject=known, client=client))

    async def sign_in(self, token: str, *, wish: Wish | None = None, client: Client = NOWHERE) -> Pending | Completed:
        """Sign in by a link: the pipeline's answer to this first factor.

        Raises:
            InvalidToken: unknown, used, expired, or the account has another address since.
            AnotherBrowser: it was asked for in another browser, where it is still good.
            TooManyRequests: a limit is used up.
            InvalidScope: the scope is malformed.
            InvalidRequest: nothing here delivers that way.
        """
        kernel, wish = self.kernel, wish or Wish()
        await kernel.limits.take("magic_link", client=client)
        waiting = await kernel.one_time.peek(MAGIC_LINK, token)
        if waiting is None:
            raise InvalidToken("no sign-in waits behind this token")
        _check_browser(waiting.payload, wish)
        return await self._go(waiting, digest(token).hex(), wish, client)

    async def sign_in_by_code(
        self, email: str, code: str, *, wish: Wish | None = None, client: Client = NOWHERE
    ) -> Pending | Completed:
        """The same by the code of the mail, which is good for a few tries.

        Raises:
            InvalidToken: wrong, used, expired, tried too often, or no such account.
            AnotherBrowser: it was asked for in another browser.
            TooManyRequests, InvalidScope, InvalidRequest: as in `sign_in`.
        """
        kernel, wish, canonical = self.kernel, wish or Wish(), canonical_email(email)
        async with await kernel.limits.take("magic_link_code", client=client, account=canonical) as attempt:
            account = await kernel.users.find_by_identifier(canonical or NO_ADDRESS)
            subject = account.subject if account else nobody(canonical or "")
            handle = await kernel.one_time.find_by_code(MAGIC_LINK, code, subject=subject)
            if handle is None:
                await self._report_refusal(email, account, client)
                raise InvalidToken("no such code waits for this address")
            await attempt.give_back()
        waiting = Consumed(subject=subject, payload=await kernel.one_time.standing(MAGIC_LINK, subject=subject))
        _check_browser(waiting.payload, wish)
        return await self._go(waiting, handle, wish, client)

    async def _go(self, waiting: Consumed, handle: str, wish: Wish, client: Client) -> Pending | Completed:
        account = await self.kernel.users.find_by_subject(waiting.subject or "")
        if account is None:
            account = await self._sign_up(handle, client)
        else:
            await self._prove(account, handle, client)
        proof = Proof(subject=account.subject, amr=AMR, scope=wish.scope, deliver=wish.deliver)
        return await self.kernel.login.complete(proof, client)

    async def _prove(self, account: Account, handle: str, client: Client) -> None:
        """Use the secret up and take the address as proved.

        If it was not before, password, keys and sessions may be those of somebody who registered with a stranger's
        address and waited for its owner: they are taken back.
        """
        kernel, taken = self.kernel, None
        event = EmailVerified(at=kernel.clock.now(), subject=account.subject, client=client)
        async with kernel.database.transaction() as connection:
            used = await kernel.one_time.consume_found_within(connection, MAGIC_LINK, handle)
            if used is None or not await self._is_still(connection, account, used):
                raise InvalidToken("the link was used meanwhile, or the account has another address")
            if not account.columns["is_verified"]:
                taken = await disown(kernel, connection, account.id, reason="email_verified", client=client)
                await kernel.events.record(connection, event)
        if taken is not None:
            await report(kernel, taken)
            await kernel.events.publish(event)

    async def _is_still(self, connection: AsyncConnection, account: Account, used: Consumed) -> bool:
        return await self.kernel.addresses.prove(connection, account.id, str(used.payload["email"]))

    async def _sign_up(self, handle: str, client: Client) -> Account:
        """Use the secret up and make the account that it was mailed for.

        Raises:
            InvalidToken: it was for nobody, or the address has an account meanwhile.
        """
        kernel = self.kernel
        async with kernel.database.transaction() as connection:
            used = await kernel.one_time.consume_found_within(connection, MAGIC_LINK, handle)
        typed = "" if used is None else str(used.payload["typed"])
        if not typed:
            raise InvalidToken("the link was for nobody, or was used meanwhile")
        try:
            return await self.accounts.register_proved(email=typed, client=client)
        except EmailTaken:
            raise InvalidToken("the address has an account since") from None

    async def _report_refusal(self, email: str, account: Account | None, client: Client) -> None:
        subject = account.subject if account else None
        now, reason = self.kernel.clock.now(), "wrong code of a magic link"
        event = LoginFailed(at=now, subject=subject, client=client, reason=reason, identifier=email)
        await self.kernel.events.publish(event)


def _check_browser(payload: Mapping[str, object], wish: Wish) -> None:
    """A link that an attacker asked for must not sign the one who opens it in as the attacker (login CSRF).

    Raises:
        AnotherBrowser: another browser asked.
    """
    asked_in = bytes.fromhex(str(payload["browser"]))
    if asked_in and wish.browser is not None and not matches(wish.browser, asked_in):
        raise AnotherBrowser("the link was asked for in another browser")
