"""People whom another issuer vouches for get a row here: found by `(issuer, subject)`, made at first sight, once."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.admission import Address, Admission, is_address, is_placeholder, placeholder_of, rights_of, shown
from limen.core.clock import Clock
from limen.core.identity import Identity, canonical_email
from limen.core.principal import Principal
from limen.core.rights import Held, carry
from limen.core.roles import Role
from limen.db.accounts import UserStore
from limen.db.database import ConstraintViolation, Database, UniqueViolation
from limen.db.identities import IdentityStore
from limen.db.rights import RightsStore
from limen.db.tables import Tables
from limen.db.users import UserMixin
from limen.errors import Conflict, InvalidCredential
from limen.events import Events, IdentityLinked, Registered

_log = logging.getLogger("limen.newcomers")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    id: object
    held: Held


class Newcomers:
    """Lets other issuers' people in.

    Args:
        remember_for: how long what is read here may be believed without another look; revocations outlive it.
    """

    def __init__(
        self,
        database: Database,
        tables: Tables,
        *,
        users: UserStore[UserMixin],
        identities: IdentityStore,
        rights: RightsStore,
        roles: Mapping[str, Role],
        events: Events,
        clock: Clock,
        remember_for: timedelta,
    ) -> None:
        self._database = database
        self._users = users
        self._identities = identities
        self._rights = rights
        self._roles = roles
        self._events = events
        self._clock = clock
        self._remember_for = remember_for
        table = tables.identities
        held = rights.columns(table.c.user_id)
        known = (table.c.issuer == bindparam("known_issuer"), table.c.subject == bindparam("known_subject"))
        self._find_row = select(table.c.user_id, *held).where(*known)

    async def admit(self, principal: Principal, admission: Admission) -> Principal:
        """The principal with the row that it has here: one read, or one transaction the first time.

        Raises:
            InvalidCredential: the row is disabled, or it was deleted and nobody let the identity in again.
            Unavailable: the database is down.
        """
        row = await self._find(principal)
        if row is None and admission.users == "make":
            row = await self._make(principal, admission)
        if row is None:
            return principal
        if not row.held.may_sign_in:
            raise InvalidCredential("the account of this identity is disabled or a service", account=row.id)
        carried = rights_of(principal, carry(row.held, self._roles, scope=None), rights=admission.rights)
        until = (self._clock.now() + self._remember_for).timestamp()
        return replace(
            principal,
            account=str(row.id),
            epoch=row.held.epoch,
            permissions=carried.permissions,
            roles=carried.roles,
            expires_at=min(principal.expires_at, until),
        )

    async def link(self, user: object, *, provider: str, issuer: str, subject: str) -> None:
        """Let an identity be a user's on an operator's word.

        Raises:
            Conflict: it is somebody's already, or there is no such user.
        """
        user_id = self._users.key_of(user)
        event = IdentityLinked(at=self._clock.now(), subject=str(user_id), provider=provider)
        try:
            async with self._database.transaction() as connection:
                named = {"provider": provider[:64], "issuer": issuer, "subject": subject}
                await self._identities.link(connection, user_id, **named)
                await self._events.record(connection, event)
        except UniqueViolation:
            raise Conflict("the identity is somebody's already", issuer=issuer) from None
        await self._events.publish(event)

    async def _find(self, principal: Principal) -> _Row | None:
        values = {"known_issuer": principal.issuer, "known_subject": principal.subject}
        rows = await self._database.read(self._find_row, values)
        return _Row(id=rows[0].user_id, held=self._rights.held(rows[0])) if rows else None

    async def _make(self, principal: Principal, admission: Admission) -> _Row | None:
        """Of any number who try at once one makes it; whose address is taken or not verified gets a row without it."""
        said = admission.address(principal.claims)
        for name in await self._names(principal, said):
            linked = await self._link(principal, admission, said)
            if linked is not None:
                return linked
            try:
                registered = await self._add(principal, admission, name)
            except UniqueViolation:
                row = await self._find(principal)
                if row is not None:
                    return row
                continue
            except ConstraintViolation as violation:
                _log.warning("no account for people of %s: %s; values= says columns", principal.issuer, violation)
                raise InvalidCredential("the app's own columns refuse the new account") from None
            await self._events.publish(registered)
            return await self._find(principal)
        raise InvalidCredential("the app's own columns refuse the new account: a value is taken")

    async def _names(self, principal: Principal, said: Address | None) -> Sequence[Identity]:
        """What the new account may be called, the best first."""
        placeholder = placeholder_of(principal.issuer, principal.subject)
        nameless = Identity(placeholder, placeholder)
        canonical = None if said is None else canonical_email(said.email)
        if said is None or canonical is None:
            return (nameless,)
        if said.is_verified:
            return (Identity(said.email, canonical), nameless)
        if await self._users.find_by_identifier(canonical) is not None:
            return (nameless,)  # nobody is to be shown as somebody else
        return (shown(said.email, issuer=principal.issuer, subject=principal.subject), nameless)

    async def _add(self, principal: Principal, admission: Admission, name: Identity) -> Registered:
        now = self._clock.now()
        own = _own_columns(principal, admission)
        async with self._database.transaction() as connection:
            user_id = await self._users.add(
                connection,
                email=name,
                username=None,
                created_at=now,
                values={**own, "is_verified": not is_placeholder(name.canonical)},
            )
            await self._link_within(connection, user_id, principal, admission)
            await self._rights.grant(connection, user_id, roles=self._default_roles())
            registered = Registered(at=now, subject=str(user_id), roles=self._default_roles())
            await self._events.record(connection, registered)
        return registered

    def _default_roles(self) -> tuple[str, ...]:
        return tuple(sorted(role.name for role in self._roles.values() if role.default))

    async def _link(self, principal: Principal, admission: Admission, said: Address | None) -> _Row | None:
        """Take somebody for the account whose address both sides verified, if there is one and that is allowed."""
        if admission.links != "verified" or said is None or not said.is_verified:
            return None
        canonical = canonical_email(said.email)
        account = canonical and await self._users.find_by_identifier(canonical)
        if not canonical or not account:
            return None
        event = IdentityLinked(at=self._clock.now(), subject=account.subject, provider=admission.provider)
        try:
            async with self._database.transaction() as connection:
                if not await self._users.lock_verified(connection, account.id, canonical=canonical):
                    return None
                await self._link_within(connection, account.id, principal, admission)
                await self._events.record(connection, event)
        except UniqueViolation:
            return await self._find(principal)
        await self._events.publish(event)
        return await self._find(principal)

    async def _link_within(
        self, connection: AsyncConnection, user_id: object, principal: Principal, admission: Admission
    ) -> None:
        said = principal.claims.get("email")
        await self._identities.link(
            connection,
            user_id,
            provider=admission.provider,
            issuer=principal.issuer,
            subject=principal.subject,
            email=said if is_address(said) else None,
        )
        # After the insert: it waits for a deletion that is under way, and then this sees what that left.
        if await self._identities.is_departed(connection, principal.issuer, principal.subject):
            raise InvalidCredential("the account of this identity was deleted", issuer=principal.issuer)


def _own_columns(principal: Principal, admission: Admission) -> dict[str, object]:
    if admission.values is None:
        return {}
    try:
        return dict(admission.values(principal.claims))
    except Exception:
        _log.exception("the app's own function of the claims failed")
        raise InvalidCredential("the claims cannot be read by the app's own function") from None
