"""Decides about passwords: who they prove, which are good enough, what ends when they change."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.client import NOWHERE, Client
from limen.core.identity import canonical_identifier
from limen.core.limits import by_id
from limen.core.login import Completed, Pending, Proof
from limen.core.password_rules import BREACHED, PasswordRules, refuse
from limen.core.passwords import PasswordHasher
from limen.core.purposes import OF_THE_PASSWORD
from limen.core.revocations import Revocation, Revoked
from limen.db.accounts import Account
from limen.errors import IncorrectLogin
from limen.events import LoginFailed, PasswordChanged, SessionsEnded
from limen.features.passwords.breaches import BreachList
from limen.features.passwords.store import Keyed, PasswordStore
from limen.kernel import Kernel

_NOBODY = ""
"""A canonical name that no account has, so that what cannot be a name costs the same look-up."""

_MAX_LOGGED_NAME = 100

Write = Callable[[AsyncConnection], Awaitable[None]]


class PasswordService:
    """Verifies, sets and changes passwords."""

    kernel: Kernel
    store: PasswordStore
    hasher: PasswordHasher
    rules: PasswordRules
    breaches: BreachList | None = None

    async def verify(self, identifier: str, password: str, *, client: Client = NOWHERE) -> Account:
        """The account whose e-mail address or username and password these are.

        Unknown, wrong, disabled, blank, over-long: one error and one cost (ASVS 6.3.8).

        Raises:
            IncorrectLogin: whatever was wrong.
            TooManyRequests: too many tries failed on this account or from this address; nothing was looked at.
            ChallengeRequired: nearly too many, and the client must show that a person sits there.
            Unavailable: too many passwords wait, or the database is down.
        """
        canonical = canonical_identifier(identifier)
        keyed = await self.store.find(canonical or _NOBODY)
        account = by_id(keyed.account.subject) if keyed else canonical or identifier.strip().casefold()
        reason = await self._try(keyed, password, account=account, client=client)
        if keyed is None or reason:
            await self._report(identifier, keyed, reason, client)
            raise IncorrectLogin(reason)
        return keyed.account

    async def login(
        self,
        identifier: str,
        password: str,
        *,
        scope: str | None = None,
        deliver: str = "token",
        client: Client = NOWHERE,
    ) -> Pending | Completed:
        """Sign in: the pipeline's answer to this first factor.

        Raises:
            IncorrectLogin: whatever was wrong.
            TooManyRequests, ChallengeRequired: as in `verify`.
            InvalidScope: the scope is malformed.
            InvalidRequest: nothing here delivers that way.
        """
        account = await self.verify(identifier, password, client=client)
        proof = Proof(subject=account.subject, amr=("pwd",), scope=scope or None, deliver=deliver, held=account.held)
        return await self.kernel.login.complete(proof, client)

    async def change(
        self, user_id: object, *, current: str, new: str, keep: UUID | None = None, client: Client = NOWHERE
    ) -> None:
        """Replace a password that its owner knows; every session but `keep` ends (ASVS 7.4.3).

        Raises:
            IncorrectLogin: `current` is wrong.
            TooManyRequests: too many tries failed, here and at sign-in together.
            WeakPassword: `new` is refused.
        """
        keyed = await self.store.find_of(user_id)
        reason = await self._try(keyed, current, account=by_id(str(user_id)), client=client)
        if keyed is None or keyed.digest is None or reason:
            raise IncorrectLogin(reason, user=user_id)
        await self.check_new(new, context=self.context_of(keyed.account), field="new_password")
        digest = await self.hasher.hash(new)
        old = keyed.digest

        async def swap(connection: AsyncConnection) -> None:
            if not await self.store.replace(connection, user_id, old, digest, at=self.kernel.clock.now()):
                raise IncorrectLogin("the password was changed meanwhile", user=user_id)

        await self._replace(user_id, swap, keep=keep, client=client)

    async def set(self, user_id: object, new: str, *, client: Client = NOWHERE) -> None:
        """Give a user a password, as an operator or after a reset; every session ends.

        Raises:
            WeakPassword: it is refused.
        """
        account = await self.kernel.users.find(user_id)
        await self.check_new(new, context=self.context_of(account) if account else ())
        digest = await self.hasher.hash(new)

        async def put(connection: AsyncConnection) -> None:
            await self.store.set(connection, user_id, digest, at=self.kernel.clock.now())

        await self._replace(user_id, put, keep=None, client=client)

    async def set_within(
        self, connection: AsyncConnection, changed: PasswordChanged, user_id: object, digest: str
    ) -> tuple[Revocation, ...]:
        """Give a user a digest inside a caller's transaction; every session ends. `report` after its commit."""
        await self.store.set(connection, user_id, digest, at=changed.at)
        return await self._end_with_the_old(connection, changed, user_id, keep=None)

    async def report(self, changed: PasswordChanged, ended: Iterable[Revocation]) -> None:
        """Let a committed change of password take effect here, and tell who listens."""
        kernel, entries = self.kernel, tuple(ended)
        kernel.revocation_log.apply(entries)
        await kernel.events.publish(changed)
        ids, reason = tuple(entry.target for entry in entries if entry.kind is Revoked.SESSION), "password_changed"
        at, subject, client = changed.at, changed.subject, changed.client
        await kernel.events.publish(
            SessionsEnded(at=at, subject=subject, client=client, session_ids=ids, reason=reason)
        )

    async def add(self, connection: AsyncConnection, user_id: object, digest: str) -> None:
        """Store the first digest of a new account inside the transaction that makes it."""
        await self.store.set(connection, user_id, digest, at=self.kernel.clock.now())

    async def add_all(self, connection: AsyncConnection, digests: Sequence[tuple[object, str]]) -> None:
        """The same for many new accounts: digests that another app made, by the key of their user."""
        await self.store.add_all(connection, digests, at=self.kernel.clock.now())

    async def check_new(self, password: str, *, context: Iterable[str] = (), field: str = "password") -> None:
        """Refuse a new password that is easy to guess or, where the operator asks for it, that a breach has made known.

        A breach list that does not answer refuses nothing.

        Raises:
            WeakPassword: with every reason in `errors`, and never the password.
        """
        self.rules.check(password, context=context, field=field)
        if self.breaches is not None and await self.breaches.knows(password):
            refuse((BREACHED,), field=field)

    def context_of(self, account: Account) -> Iterable[str]:
        """The words that an attacker would try for this account first."""
        own = (account.columns[name] for name in self.kernel.users.own_fields)
        return self.context(account.email, str(account.columns["username"] or ""), *own)

    def context(self, *names: object) -> Iterable[str]:
        """The same from names, those that are texts; the site's own among them."""
        texts = (name for name in names if isinstance(name, str))
        return (*texts, (urlsplit(self.kernel.settings.base_url).hostname or "").removeprefix("www."))

    async def _try(self, keyed: Keyed | None, password: str, *, account: str, client: Client) -> str:
        """The same, counted before the work: sign-in and whatever else asks for the password share one budget."""
        async with await self.kernel.limits.take("login", client=client, account=account) as attempt:
            reason = await self._refusal(keyed, password)
            if not reason:
                await attempt.give_back()
        return reason

    async def _refusal(self, keyed: Keyed | None, password: str) -> str:
        """Why this password proves nobody, after the same work in every case; empty when it proves."""
        digest = keyed.digest if keyed else None
        verification = await self.hasher.verify(password, digest)
        if keyed is None:
            return "no such account"
        if not verification.ok:
            return verification.reason or "wrong password"
        if not keyed.account.held.may_sign_in:
            return "the account is disabled or a service"
        if digest is not None and verification.replacement is not None:
            await self.store.upgrade(keyed.account.id, digest, verification.replacement)
        return ""

    async def _replace(self, user_id: object, write: Write, *, keep: UUID | None, client: Client) -> None:
        changed = PasswordChanged(at=self.kernel.clock.now(), subject=str(user_id), client=client)
        async with self.kernel.database.transaction() as connection:
            await write(connection)
            ended = await self._end_with_the_old(connection, changed, user_id, keep=keep)
        await self.report(changed, ended)

    async def _end_with_the_old(
        self, connection: AsyncConnection, changed: PasswordChanged, user_id: object, *, keep: UUID | None
    ) -> tuple[Revocation, ...]:
        """Sessions, and what was asked for by mail, may be those of whoever knew the old password."""
        kernel = self.kernel
        await kernel.events.record(connection, changed)
        await kernel.one_time.void_within(connection, str(user_id), OF_THE_PASSWORD)
        return await kernel.sessions.end_all_within(connection, user_id, reason="password_changed", but=keep)

    async def _report(self, identifier: str, keyed: Keyed | None, reason: str, client: Client) -> None:
        subject = keyed.account.subject if keyed else None
        name = identifier[:_MAX_LOGGED_NAME]
        event = LoginFailed(at=self.kernel.clock.now(), subject=subject, client=client, reason=reason, identifier=name)
        await self.kernel.events.publish(event)
