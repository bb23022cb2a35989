"""Decides about accounts: who may be made, what may change, what ends with them."""

from collections.abc import Iterable, Mapping
from typing import NoReturn

from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.client import NOWHERE, Client
from limen.core.identity import Identity, canonical_identifier, email_identity, username_identity
from limen.core.principal import Principal
from limen.core.revocations import Revocation
from limen.core.rights import carry
from limen.db.accounts import Account
from limen.db.database import UniqueViolation
from limen.errors import Conflict, EmailTaken, IncorrectLogin, InvalidCredential, NotFound, Unprocessable, UsernameTaken
from limen.events import AccountDeleted, AccountUpdated, Registered, SessionsEnded
from limen.features.passwords.service import PasswordService
from limen.kernel import Kernel


class AccountService:
    """Registers, finds, changes and removes accounts."""

    kernel: Kernel
    passwords: PasswordService

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
        """Make an account with a password.

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
        context = self.passwords.context(address.typed, name.typed if name else "", *(values or {}).values())
        await self.kernel.limits.take("register", client=client, account=address.canonical)
        await self.passwords.check_new(password, context=context)
        digest = await self.passwords.hasher.hash(password)
        own = {**(values or {}), "is_verified": is_verified}
        granted = self._default_roles() if roles is None else tuple(roles)
        user_id = await self._add(address, name, digest, granted, own)
        account = await self.get(user_id)
        now = self.kernel.clock.now()
        registered = Registered(at=now, subject=account.subject, client=client, roles=tuple(sorted(granted)))
        await self.kernel.events.publish(registered)
        return account

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
        """Delete the principal's own account after its password was given once more.

        Raises:
            IncorrectLogin: the password is wrong.
        """
        account = await self.get_own(principal)
        proved = await self.passwords.verify(str(account.columns["email"]), password, client=client)
        if proved.id != account.id:
            raise IncorrectLogin("the password is another account's", subject=principal.subject)
        await self.remove(account.id, client=client)

    async def remove(self, user_id: object, *, client: Client = NOWHERE) -> None:
        """Delete an account, its sessions and whatever hangs on it; every credential of it is refused from now on.

        Raises:
            NotFound: there is none.
            LastAdmin: nobody active would hold `*` any more.
        """
        account = await self.get(user_id)
        email = None if account.held.is_service else account.email
        now = self.kernel.clock.now()
        deleted = AccountDeleted(at=now, subject=account.subject, client=client, email=email)
        async with self.kernel.database.transaction() as connection:
            async with self.kernel.administrators.keep_one(connection, user_id):
                entry = await self.kernel.users.remove(connection, user_id)
            if entry is None:
                raise NotFound("no such user", user=user_id)
            await self.kernel.events.record(connection, deleted)
            await self.kernel.revocation_log.append(connection, [entry])
        self.kernel.revocation_log.apply([entry])
        await self.kernel.events.publish(deleted)

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
            ended = () if active else await self._shut_out(connection, user_id)
        kernel.revocation_log.apply(ended)
        await kernel.events.publish(changed)
        return await self.get(user_id)

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

    async def _shut_out(self, connection: AsyncConnection, user_id: object) -> tuple[Revocation, ...]:
        kernel = self.kernel
        epoch = await kernel.rights.count(connection, user_id)
        if epoch is None:
            raise NotFound("no such user", user=user_id)
        entry = kernel.users.lockout(user_id, epoch=epoch)
        await kernel.revocation_log.append(connection, [entry])
        sessions = await kernel.sessions.end_all_within(connection, user_id, reason="user_disabled")
        return (*sessions, entry)

    async def _add(
        self,
        email: Identity,
        username: Identity | None,
        digest: str,
        roles: Iterable[str],
        values: Mapping[str, object],
    ) -> object:
        kernel = self.kernel
        try:
            async with kernel.database.transaction() as connection:
                user_id = await kernel.users.add(
                    connection, email=email, username=username, created_at=kernel.clock.now(), values=values
                )
                await self.passwords.add(connection, user_id, digest)
                await kernel.rights.grant(connection, user_id, roles=roles)
        except UniqueViolation as violation:
            _refuse_taken(violation)
        return user_id

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
