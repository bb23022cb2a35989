"""Decides about accounts: who may be made, what may change; what ends with them is in `leaving`."""

from collections.abc import Iterable, Mapping
from secrets import token_hex
from typing import NoReturn, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.client import NOWHERE, Client
from limen.core.identity import Identity, canonical_identifier, email_identity, username_identity
from limen.core.principal import Principal
from limen.core.rights import carry
from limen.db.accounts import Account
from limen.db.database import UniqueViolation, trial
from limen.errors import (
    Conflict,
    EmailTaken,
    IncorrectLogin,
    InvalidCredential,
    NotFound,
    Unprocessable,
    UsernameTaken,
)
from limen.events import (
    AccountUpdated,
    Registered,
    RegisteredAgain,
    SessionsEnded,
)
from limen.features.accounts.leaving import Leaving
from limen.features.passwords.service import PasswordService
from limen.ownership import shut_out


class Greeter(Protocol):
    """Lets new accounts prove their address; the feature `email_verification` does.

    Attributes:
        is_required: whether nobody signs in before, and so nobody is told at registration whether an account exists.
    """

    @property
    def is_required(self) -> bool: ...

    async def greet(
        self, connection: AsyncConnection, user_id: object, *, email: Identity, username: Identity | None
    ) -> None:
        """Ask the owner of the address to prove it, inside the transaction that makes the account."""
        ...

    async def remind(self, connection: AsyncConnection, *, email: str) -> None:
        """Tell the owner of the address that they have an account, with as much work as `greet` does."""
        ...


class AccountService(Leaving):
    """Registers, finds, changes, exports and removes accounts.

    Attributes:
        greeter: mails new accounts; None where addresses are taken as they come.
    """

    passwords: PasswordService
    greeter: Greeter | None = None

    def greet_by(self, greeter: Greeter) -> None:
        """Let this one ask new accounts to prove their address; done once, when features are bound."""
        self.greeter = greeter

    async def register(
        self,
        *,
        email: str,
        password: str,
        username: str | None = None,
        roles: Iterable[str] | None = None,
        is_verified: bool = False,
        values: Mapping[str, object] | None = None,
        client: Client = NOWHERE,
    ) -> Account:
        """Make an account with a password; where addresses are to be proved, its owner gets a mail.

        Args:
            roles: instead of the default ones; for operators, never from a request's body.
            values: the app's own columns.

        Raises:
            Unprocessable: the e-mail address or username is not of the form.
            WeakPassword: the password is refused.
            EmailTaken, UsernameTaken: another account has it.
            TooManyRequests: too many were made from this address, or tried with this one.
            ChallengeRequired: nearly too many, and the client must show that a person sits there.
        """
        address = email_identity(email)
        name = None if username is None else username_identity(username)
        digest = await self._digest_of(password, address, name, values, client)
        own = {**(values or {}), "is_verified": is_verified}
        granted = self._default_roles() if roles is None else tuple(roles)
        try:
            async with self.kernel.database.transaction() as connection:
                user_id = await self._add(connection, address, name, digest, granted, own)
                if self.greeter is not None and not is_verified:
                    await self.greeter.greet(connection, user_id, email=address, username=name)
                registered = await self._record_new(connection, user_id, granted, client)
        except UniqueViolation as violation:
            _refuse_taken(violation)
        self.wake_mail()
        account = await self.get(user_id)
        await self.kernel.events.publish(registered)
        return account

    async def sign_up(
        self,
        *,
        email: str,
        password: str,
        username: str | None = None,
        values: Mapping[str, object] | None = None,
        client: Client = NOWHERE,
    ) -> None:
        """Make an account unless the address has one: only its owner learns which, by mail (ASVS 6.3.8).

        The username is the account's when the address is proved, if it is free then: a name that an unproved account
        could hold would tell others whether there is that account.

        Raises:
            Unprocessable: the e-mail address or username is not of the form.
            WeakPassword: the password is refused.
            TooManyRequests, ChallengeRequired: as in `register`.
        """
        if self.greeter is None:
            raise RuntimeError("sign_up needs the feature email_verification: use register")
        address = email_identity(email)
        name = None if username is None else username_identity(username)
        digest = await self._digest_of(password, address, name, values, client)
        own = {**(values or {}), "is_verified": False}
        known = await self.kernel.users.find_by_identifier(address.canonical)
        event: Registered | RegisteredAgain | None = None
        if known is None:
            event = await self._add_and_greet(self.greeter, address, name, digest, own, client)
        if event is None:
            to, subject = (known.email, known.subject) if known else (address.typed, None)
            event = RegisteredAgain(at=self.kernel.clock.now(), subject=subject, client=client)
            async with self.kernel.database.transaction() as connection:
                await self._try_to_add(connection, digest, own)
                await self.greeter.remind(connection, email=to)
                await self.kernel.events.record(connection, event)
        self.wake_mail()
        await self.kernel.events.publish(event)

    async def register_proved(self, *, email: str, client: Client = NOWHERE) -> Account:
        """Make an account without a password for somebody who has proved this address in another way.

        Raises:
            Unprocessable: the e-mail address is not of the form.
            EmailTaken: another account has it.
        """
        address = email_identity(email)
        try:
            async with self.kernel.database.transaction() as connection:
                proved = {"is_verified": True}
                user_id = await self._add(connection, address, None, None, self._default_roles(), proved)
                registered = await self._record_new(connection, user_id, self._default_roles(), client)
        except UniqueViolation as violation:
            _refuse_taken(violation)
        await self.kernel.events.publish(registered)
        return await self.get(user_id)

    async def get(self, user_id: object) -> Account:
        """The account with this key.

        Raises:
            NotFound: there is none.
        """
        account = await self.kernel.users.find(user_id)
        if account is None:
            raise NotFound("no such user", user=user_id)
        return account

    async def get_own(self, principal: Principal) -> Account:
        """The account of whoever presents this credential.

        Raises:
            InvalidCredential: it is gone; nothing of it is good any more.
        """
        account = await self.kernel.users.find_by_subject(self.kernel.account_of(principal))
        if account is None:
            raise InvalidCredential("the account of this credential is gone", subject=principal.subject)
        return account

    async def get_by_subject(self, subject: str) -> Account:
        """The account that a credential or a path names.

        Raises:
            NotFound: there is none.
        """
        user_id = self.kernel.users.parse_key(subject)
        if user_id is None:
            raise NotFound("not a user's id", subject=subject)
        return await self.get(user_id)

    async def find(self, name: str) -> Account:
        """The account with this id, e-mail address or username: whatever an operator calls it.

        Raises:
            NotFound: there is none.
            Conflict: it is the id of one account and the username of another.
        """
        users = self.kernel.users
        canonical = canonical_identifier(name)
        named = None if canonical is None else await users.find_by_identifier(canonical)
        found = await users.find_by_subject(name)
        if named and found and named.id != found.id:
            raise Conflict("the id of one user and the username of another", user=found.id, named=named.id)
        account = found or named
        if account is None:
            raise NotFound("no such user")
        return account

    def principal_of(self, account: Account, *, scope: str | None = None) -> Principal:
        """Who this account would be if it had signed in just now with its password; for explanations, not for requests.

        Raises:
            InvalidCredential: the account is disabled, so no credential of it is good.
            InvalidScope: the scope is malformed.
        """
        if not account.held.is_active:
            raise InvalidCredential("the account is disabled: every credential of it is refused")
        carried = carry(account.held, self.kernel.roles, scope=scope)
        return Principal(
            subject=account.subject,
            issuer=self.kernel.settings.issuer,
            credential="access_token",
            permissions=carried.permissions,
            roles=carried.roles,
            auth_time=self.kernel.clock.now(),
            amr=("pwd",),
            epoch=account.held.epoch,
        )

    async def list(
        self, *, search: str | None = None, role: str | None = None, limit: int = 50, after: str | None = None
    ) -> tuple[Account, ...]:
        """Up to `limit` accounts in the order of their ids.

        Args:
            search: how the e-mail address or username begins.
            role: only who holds it.
            after: the id, as text, of the last account of the page before.

        Raises:
            Unprocessable: `after` is no id.
        """
        key = None if after is None else self.kernel.users.parse_key(after)
        if after is not None and key is None:
            raise Unprocessable("not a user's id", errors=[{"loc": ["after"], "msg": "This is no id.", "type": "id"}])
        return await self.kernel.users.list_page(after=key, limit=limit, search=search, role=role)

    async def change(
        self, user_id: object, *, username: str | None = None, values: Mapping[str, object], client: Client = NOWHERE
    ) -> Account:
        """Set the username, the app's own columns or both; the account as it is then.

        Raises:
            Unprocessable: the username is not of the form.
            UsernameTaken: another account has it.
        """
        changes = dict(values)
        if username is not None:
            name = username_identity(username)
            changes |= {"username": name.typed, "username_canonical": name.canonical}
        if changes:
            try:
                await self.kernel.users.change(user_id, changes)
            except UniqueViolation as violation:
                _refuse_taken(violation)
            await self._report_change(user_id, tuple(sorted(changes)), client)
        return await self.get(user_id)

    async def close(self, principal: Principal, password: str, *, client: Client = NOWHERE) -> None:
        """Delete the principal's own account after its password was given once more, at once or after the grace.

        Raises:
            IncorrectLogin: the password is wrong.
            InvalidCredential: the account was shut or deleted meanwhile.
            LastAdmin: nobody active would hold `*` any more.
        """
        account = await self.get_own(principal)
        proved = await self.passwords.verify(str(account.columns["email_canonical"]), password, client=client)
        if proved.id != account.id:
            raise IncorrectLogin("the password is another account's", subject=principal.subject)
        if self.grace:
            await self.schedule_removal(account, client=client)
        elif not await self._remove(account, client):
            raise InvalidCredential("the account is gone meanwhile", user=account.id)

    async def set_active(self, user_id: object, active: bool, *, client: Client = NOWHERE) -> Account:
        """Let an account in again, or shut it out: every session ends and every credential is refused.

        Raises:
            NotFound: there is none.
            LastAdmin: nobody active would hold `*` any more.
        """
        kernel = self.kernel
        changed = AccountUpdated(
            at=kernel.clock.now(), subject=str(user_id), client=client, fields=("is_active",), is_active=active
        )
        async with kernel.database.transaction() as connection:
            async with kernel.administrators.keep_one(connection, user_id):
                if not await kernel.users.change_within(connection, user_id, {"is_active": active}):
                    raise NotFound("no such user", user=user_id)
            await kernel.events.record(connection, changed)
            ended = () if active else await shut_out(kernel, connection, user_id, reason="user_disabled")
            await (self.deletions.cancel if active else self.deletions.seal)(connection, user_id)
        kernel.revocation_log.apply(ended)
        await kernel.events.publish(changed)
        return await self.get(user_id)

    async def set_verified(self, user_id: object, verified: bool, *, client: Client = NOWHERE) -> Account:
        """Vouch for an account's address, or no longer: its sessions end where nobody signs in with an unproved one.

        Raises:
            NotFound: there is no such account.
            Conflict: the address is what another issuer merely says; it is free, and nobody can vouch for it here.
        """
        if verified and (await self.get(user_id)).mailbox is None:
            raise Conflict("the account has no address of its own", user=user_id)
        account = await self.change(user_id, values={"is_verified": verified}, client=client)
        if not verified and self.greeter is not None and self.greeter.is_required:
            ended = await self.kernel.sessions.end_all(user_id, reason="email_unverified")
            now, reason = self.kernel.clock.now(), "email_unverified"
            await self.kernel.events.publish(
                SessionsEnded(at=now, subject=account.subject, client=client, session_ids=ended, reason=reason)
            )
        return account

    async def sign_out(self, user_id: object, *, client: Client = NOWHERE) -> tuple[str, ...]:
        """End every session of an account, on whatever device; the ids of those that were live.

        Raises:
            NotFound: there is no such account.
        """
        account = await self.get(user_id)
        ended = await self.kernel.sessions.end_all(user_id, reason="signed_out_by_admin")
        if ended:
            now, reason = self.kernel.clock.now(), "signed_out_by_admin"
            event = SessionsEnded(at=now, subject=account.subject, client=client, session_ids=ended, reason=reason)
            await self.kernel.events.publish(event)
        return ended

    async def _digest_of(
        self,
        password: str,
        email: Identity,
        username: Identity | None,
        values: Mapping[str, object] | None,
        client: Client,
    ) -> str:
        own = (values or {}).values()
        context = self.passwords.context(email.typed, username.typed if username else "", *own)
        await self.kernel.limits.take("register", client=client, account=email.canonical)
        await self.passwords.check_new(password, context=context)
        return await self.passwords.hasher.hash(password)

    async def _add(
        self,
        connection: AsyncConnection,
        email: Identity,
        username: Identity | None,
        digest: str | None,
        roles: Iterable[str],
        values: Mapping[str, object],
    ) -> object:
        kernel = self.kernel
        user_id = await kernel.users.add(
            connection, email=email, username=username, created_at=kernel.clock.now(), values=values
        )
        if digest is not None:
            await self.passwords.add(connection, user_id, digest)
        await kernel.rights.grant(connection, user_id, roles=roles)
        return user_id

    async def _record_new(
        self, connection: AsyncConnection, user_id: object, roles: Iterable[str], client: Client
    ) -> Registered:
        now = self.kernel.clock.now()
        registered = Registered(at=now, subject=str(user_id), client=client, roles=tuple(sorted(roles)))
        await self.kernel.events.record(connection, registered)
        return registered

    async def _add_and_greet(
        self,
        greeter: Greeter,
        email: Identity,
        username: Identity | None,
        digest: str,
        values: Mapping[str, object],
        client: Client,
    ) -> Registered | None:
        """That there is a new account, or None if somebody was faster or the address is kept for who had it."""
        try:
            async with self.kernel.database.transaction() as connection:
                async with trial(connection):
                    pass  # a known address has one too: its two statements are a tenth of all
                user_id = await self._add(connection, email, None, digest, self._default_roles(), values)
                await greeter.greet(connection, user_id, email=email, username=username)
                return await self._record_new(connection, user_id, self._default_roles(), client)
        except UniqueViolation as violation:
            if "email_canonical" not in violation.constraint:
                raise
            return None

    async def _try_to_add(self, connection: AsyncConnection, digest: str, values: Mapping[str, object]) -> None:
        """Do the work of making an account; whatever else of a registration the database refuses, it refuses alike."""
        unheard_of = Identity("nobody@nowhere.invalid", f"{token_hex(16)}@nowhere.invalid")
        async with trial(connection):
            await self._add(connection, unheard_of, None, digest, self._default_roles(), values)

    def _default_roles(self) -> tuple[str, ...]:
        return tuple(sorted(role.name for role in self.kernel.roles.values() if role.default))

    async def _report_change(self, user_id: object, fields: tuple[str, ...], client: Client) -> None:
        now = self.kernel.clock.now()
        await self.kernel.events.publish(AccountUpdated(at=now, subject=str(user_id), client=client, fields=fields))


def _refuse_taken(violation: UniqueViolation) -> NoReturn:
    if "username_canonical" in violation.constraint:
        raise UsernameTaken from None
    if "email_canonical" in violation.constraint:
        raise EmailTaken from None
    raise violation
