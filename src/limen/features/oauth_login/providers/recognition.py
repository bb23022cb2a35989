"""Whose account somebody from a provider comes in by: the linking rule, linking on purpose, unlinking."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.admission import shown
from limen.core.client import NOWHERE, Client
from limen.core.identity import Identity as Name
from limen.core.identity import canonical_email
from limen.core.opaque import parse_uuid
from limen.db.accounts import Account
from limen.db.database import UniqueViolation
from limen.db.identities import Identity
from limen.errors import (
    AccessDenied,
    AccountExists,
    Conflict,
    EmailMissing,
    IdentityTaken,
    InvalidState,
    LastCredential,
    NotFound,
    SignUpClosed,
)
from limen.events import IdentityLinked, IdentityUnlinked, Registered
from limen.feature import features_of
from limen.features.oauth_login.providers.provider import Person
from limen.features.oauth_login.store import OAuthLoginStore
from limen.kernel import Kernel
from limen.ownership import disown, report

TRIES = 3  # of two sign-ups by one identity or address at once, the later looks again

SignUpValues = Callable[[Person], Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Whom the identity lets in."""

    user_id: object
    identity_id: UUID

    @property
    def subject(self) -> str:
        """The user's id as text."""
        return str(self.user_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What an operator allows.

    Attributes:
        sign_up: whether somebody without an account gets one.
        link_by_email: whether an address that the provider vouches for finds an account.
        values: the app's own columns of a new one.
    """

    sign_up: bool = True
    link_by_email: bool = False
    values: SignUpValues | None = None


class Recognition:
    """Knows whose an identity is, and makes it somebody's."""

    def __init__(self, kernel: Kernel, store: OAuthLoginStore, admission: Admission) -> None:
        self._kernel = kernel
        self._store = store
        self._admission = admission

    async def recognise(self, provider: str, person: Person, *, client: Client = NOWHERE) -> Arrival:
        """Whose account the person comes in by: the identity's, one that both sides proved, or a new one.

        Raises:
            AccountExists: somebody has the address, and nothing proves that it is the same person.
            EmailMissing, SignUpClosed: there is no account, and none can or may be made.
            AccessDenied: the account is disabled, or it was deleted and nobody let the identity in again.
        """
        for _ in range(TRIES):
            known = await self._kernel.identities.find(person.issuer, person.subject)
            try:
                if known is not None:
                    return await self._welcome(known, person)
                arrival = await self._admit(provider, person, client)
            except UniqueViolation:
                continue  # somebody was faster with this identity or address
            if arrival is not None:
                return arrival
        raise Conflict("the account changed while somebody signed in to it", provider=provider)

    async def link(
        self, provider: str, person: Person, *, subject: str, session_id: str | None, client: Client = NOWHERE
    ) -> Arrival:
        """Let the identity be the account's whose owner began this, in this session.

        Raises:
            InvalidState: the session that it was begun in is over.
            IdentityTaken: it lets somebody else in.
        """
        kernel = self._kernel
        key = parse_uuid(session_id or "")
        session = None if key is None else await kernel.sessions.find(key)
        if session is None or str(session.user_id) != subject or not session.is_live(kernel.clock.now()):
            raise InvalidState("the session that began the link is over", subject=subject)
        known = await kernel.identities.find(person.issuer, person.subject)
        if known is None:
            try:
                async with kernel.database.transaction() as connection:
                    identity_id, linked = await self._link(
                        connection, session.user_id, provider, person, client, on_purpose=True
                    )
            except UniqueViolation:
                raise IdentityTaken("linked meanwhile", provider=provider) from None
            await kernel.events.publish(linked)
            return Arrival(user_id=session.user_id, identity_id=identity_id)
        if known.user_id != session.user_id:
            raise IdentityTaken("the identity is another account's", provider=provider)
        return Arrival(user_id=known.user_id, identity_id=known.id)

    async def unlink(
        self, subject: str, identity_id: UUID, *, is_offered: Callable[[str], bool], client: Client = NOWHERE
    ) -> None:
        """Let an account elsewhere let this user in no more.

        Args:
            is_offered: whether an issuer is a provider's; the identities of others are none of this feature's.

        Raises:
            NotFound: it is not theirs.
            LastCredential: nothing else would.
        """
        kernel = self._kernel
        user_id = kernel.users.parse_key(subject)
        async with kernel.database.transaction() as connection:
            if user_id is None or not await self._store.lock_user(connection, user_id):
                raise NotFound("no such user", subject=subject)
            gone = await kernel.identities.unlink(connection, identity_id, user_id=user_id)
            if gone is None or not is_offered(gone.issuer):
                raise NotFound("not an identity of this user's", identity=identity_id)
            if not await self._has_way_in(connection, user_id):
                raise LastCredential("nothing else lets this user in", subject=subject)
            event = IdentityUnlinked(at=kernel.clock.now(), subject=subject, client=client, provider=gone.provider)
            await kernel.events.record(connection, event)
        await kernel.events.publish(event)

    async def _welcome(self, known: Identity, person: Person) -> Arrival:
        account = await self._kernel.users.find(known.user_id)
        if account is None or not account.held.may_sign_in:
            raise AccessDenied("the account is disabled", user=known.user_id)
        await self._kernel.identities.touch(known.id, email=_address(person))
        return Arrival(user_id=known.user_id, identity_id=known.id)

    async def _admit(self, provider: str, person: Person, client: Client) -> Arrival | None:
        """The arrival of somebody whose identity is new here; None where the account changed meanwhile."""
        email = _address(person)
        canonical = None if email is None else canonical_email(email)
        if email is None or canonical is None:
            raise EmailMissing("no address, or none that can be one", provider=provider)
        account = await self._kernel.users.find_by_identifier(canonical)
        if account is None:
            return await self._sign_up(provider, person, Name(email, canonical), client)
        if not (person.email_verified and self._admission.link_by_email) or not account.held.may_sign_in:
            if await self._kernel.identities.find(person.issuer, person.subject) is not None:
                return None  # it is their own, made a moment ago by another sign-in of theirs
            raise AccountExists("the address is an account's", provider=provider, user=account.id)
        if account.columns["is_verified"]:
            return await self._join(provider, person, account, canonical, client)
        return await self._claim(provider, person, account, canonical, client)

    async def _sign_up(self, provider: str, person: Person, email: Name, client: Client) -> Arrival:
        if not self._admission.sign_up:
            raise SignUpClosed("accounts are not made by this", provider=provider)
        kernel = self._kernel
        if not person.email_verified:
            if kernel.settings.email_verification == "required":
                raise EmailMissing("the provider does not vouch for the address", provider=provider)
            email = shown(email.typed, issuer=person.issuer, subject=person.subject)
        own = {} if self._admission.values is None else dict(self._admission.values(person))
        roles = tuple(sorted(role.name for role in kernel.roles.values() if role.default))
        async with kernel.database.transaction() as connection:
            user_id = await kernel.users.add(
                connection,
                email=email,
                username=None,
                created_at=kernel.clock.now(),
                values={**own, "is_verified": person.email_verified},
            )
            await kernel.rights.grant(connection, user_id, roles=roles)
            registered = Registered(at=kernel.clock.now(), subject=str(user_id), client=client, roles=roles)
            await kernel.events.record(connection, registered)
            identity_id, linked = await self._link(connection, user_id, provider, person, client, by_sign_up=True)
        await kernel.events.publish(registered)
        await kernel.events.publish(linked)
        return Arrival(user_id=user_id, identity_id=identity_id)

    async def _join(
        self, provider: str, person: Person, account: Account, canonical: str, client: Client
    ) -> Arrival | None:
        """Both sides proved the address."""
        async with self._kernel.database.transaction() as connection:
            if not await self._kernel.users.lock_verified(connection, account.id, canonical=canonical):
                return None
            identity_id, linked = await self._link(connection, account.id, provider, person, client)
        await self._kernel.events.publish(linked)
        return Arrival(user_id=account.id, identity_id=identity_id)

    async def _claim(
        self, provider: str, person: Person, account: Account, canonical: str, client: Client
    ) -> Arrival | None:
        """The owner of an address comes to an account that somebody made with it and never proved it.

        Whoever that was may have set the password to wait for this moment (pre-hijacking): every way in that the
        account has, and every session, ends in the transaction that lets its owner in.
        """
        kernel = self._kernel
        async with kernel.database.transaction() as connection:
            if not await self._store.claim(connection, account.id, canonical=canonical):
                return None
            taken = await disown(kernel, connection, account.id, reason="address_proved", client=client)
            identity_id, linked = await self._link(connection, account.id, provider, person, client)
        await report(kernel, taken)
        await kernel.events.publish(linked)
        return Arrival(user_id=account.id, identity_id=identity_id)

    async def _has_way_in(self, connection: AsyncConnection, user_id: object) -> bool:
        for feature in features_of(self._kernel):
            if await feature.has_way_in(connection, user_id):
                return True
        return False

    async def _link(
        self,
        connection: AsyncConnection,
        user_id: object,
        provider: str,
        person: Person,
        client: Client,
        *,
        by_sign_up: bool = False,
        on_purpose: bool = False,
    ) -> tuple[UUID, IdentityLinked]:
        """The identity's id, and what to publish after the commit.

        Args:
            on_purpose: whether the account's owner asked for it, who may connect what once was a deleted account's;
                somebody who only came to sign in may not.

        Raises:
            AccessDenied: the account of this identity was deleted.
        """
        kernel = self._kernel
        identity_id = await kernel.identities.link(
            connection,
            user_id,
            provider=provider,
            issuer=person.issuer,
            subject=person.subject,
            email=_address(person),
        )
        # After the insert: it waits for a deletion that is under way, and then this sees what that left.
        if not on_purpose and await kernel.identities.is_departed(connection, person.issuer, person.subject):
            raise AccessDenied("the account of this identity was deleted", provider=provider)
        linked = IdentityLinked(
            at=kernel.clock.now(), subject=str(user_id), client=client, provider=provider, by_sign_up=by_sign_up
        )
        await kernel.events.record(connection, linked)
        return identity_id, linked


def _address(person: Person) -> str | None:
    """The address, if it can be one."""
    return person.email if person.email is not None and canonical_email(person.email) is not None else None
