"""Decides who holds what."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.client import NOWHERE, Client
from limen.core.permissions import format_scope, is_permission
from limen.core.principal import Principal
from limen.core.revocations import Revocation
from limen.core.rights import Held, check_may_administer
from limen.db.accounts import Account
from limen.errors import Forbidden, InsufficientScope, NotFound, Unprocessable
from limen.events import RightsChanged
from limen.kernel import Kernel


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a user shall hold, canonical; None leaves it as it is."""

    roles: frozenset[str] | None
    permissions: frozenset[str] | None

    def added_to(self, held: Held) -> Held:
        """What the user would hold that they do not hold yet."""
        return Held(
            roles=(self.roles or frozenset()) - held.roles,
            permissions=(self.permissions or frozenset()) - held.permissions,
        )


class RoleService:
    """Assigns roles and direct permissions; credentials made before are refused, a refresh brings the new rights."""

    kernel: Kernel

    async def assign(
        self,
        user_id: object,
        *,
        by: Principal,
        roles: Iterable[str] | None = None,
        permissions: Iterable[str] | None = None,
        client: Client = NOWHERE,
    ) -> Account:
        """Replace a user's roles, direct permissions or both, on behalf of `by`, who grants only what they hold.

        Raises:
            Unprocessable: a role or permission that is not declared.
            InsufficientScope, Forbidden: `by` does not hold what the user would get.
            LastAdmin: nobody active would hold `*` any more.
            NotFound: no such user.
        """
        return await self._assign(user_id, _wanted(roles, permissions), by=by, client=client)

    async def assign_as_operator(
        self,
        user_id: object,
        *,
        roles: Iterable[str] | None = None,
        permissions: Iterable[str] | None = None,
        client: Client = NOWHERE,
    ) -> Account:
        """The same for whoever runs the app, who may grant anything: the command line, a script, a test.

        Raises:
            Unprocessable: a role or permission that is not declared.
            LastAdmin: nobody active would hold `*` any more.
            NotFound: no such user.
        """
        return await self._assign(user_id, _wanted(roles, permissions), by=None, client=client)

    async def _assign(self, user_id: object, wanted: _Wanted, *, by: Principal | None, client: Client) -> Account:
        kernel = self.kernel
        self._check_declared(wanted)
        if isinstance(user_id, str):
            user_id = kernel.users.parse_key(user_id)
        if user_id is None:
            raise NotFound("not a user's id")
        async with kernel.database.transaction() as connection:
            async with kernel.administrators.keep_one(connection, user_id):
                if by is not None:
                    await self._check_holds(connection, by, user_id, wanted)
                entry = await self._replace(connection, user_id, wanted)
            changed = await self._record(connection, user_id, client)
            await kernel.revocation_log.append(connection, [entry])
        kernel.revocation_log.apply([entry])
        await kernel.events.publish(changed)
        account = await kernel.users.find(user_id)
        if account is None:
            raise NotFound("the user is gone", user=user_id)
        return account

    async def _replace(self, connection: AsyncConnection, user_id: object, wanted: _Wanted) -> Revocation:
        kernel = self.kernel
        epoch = await kernel.rights.replace(connection, user_id, roles=wanted.roles, permissions=wanted.permissions)
        if epoch is None:
            raise NotFound("no such user", user=user_id)
        return kernel.users.lockout(user_id, epoch=epoch)

    async def _check_holds(self, connection: AsyncConnection, by: Principal, user_id: object, wanted: _Wanted) -> None:
        """Nobody grants what they do not hold; what the user holds already is no grant."""
        held = await self.kernel.rights.find(connection, user_id)
        if held is None:
            raise NotFound("no such user", user=user_id)
        check_may_administer(by, held, self.kernel.roles)
        added = wanted.added_to(held)
        missing = {name for name in self._permissions_of(added) if not by.can(name)}
        if missing:
            raise InsufficientScope("granting what one does not hold", scope=format_scope(missing), subject=by.subject)
        for name in added.roles:  # one without permissions is a right too: a route may ask for it by name
            if not self.kernel.roles[name].permissions and name not in by.roles and not by.can("*"):
                raise Forbidden("granting a role that one does not hold", subject=by.subject, role=name)

    def _permissions_of(self, added: Held) -> Iterator[str]:
        yield from added.permissions
        for name in added.roles:
            yield from self.kernel.roles[name].permissions

    def _check_declared(self, wanted: _Wanted) -> None:
        unknown = sorted((wanted.roles or frozenset()) - self.kernel.roles.keys())
        odd = [name for name in sorted(wanted.permissions or ()) if not self._is_known(name)]
        errors = [
            *({"loc": ["body", "roles"], "msg": "There is no such role.", "type": "unknown_role"} for _ in unknown),
            *(
                {"loc": ["body", "permissions"], "msg": "There is no such permission.", "type": "unknown_permission"}
                for _ in odd
            ),
        ]
        if errors:
            raise Unprocessable("unknown roles or permissions", errors=errors, roles=unknown)

    def _is_known(self, name: str) -> bool:
        return is_permission(name) and self.kernel.vocabulary.knows_permission(name)

    async def _record(self, connection: AsyncConnection, user_id: object, client: Client) -> RightsChanged:
        held = await self.kernel.rights.find(connection, user_id) or Held()
        changed = RightsChanged(
            at=self.kernel.clock.now(),
            subject=str(user_id),
            client=client,
            roles=tuple(sorted(held.roles)),
            permissions=tuple(sorted(held.permissions)),
        )
        await self.kernel.events.record(connection, changed)
        return changed


def _wanted(roles: Iterable[str] | None, permissions: Iterable[str] | None) -> _Wanted:
    return _Wanted(
        None if roles is None else frozenset(roles),
        None if permissions is None else frozenset(name.removesuffix(":*") for name in permissions),
    )
