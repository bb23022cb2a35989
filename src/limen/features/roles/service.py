"""Decides who holds what."""

from collections.abc import Iterable

from limen.core.client import NOWHERE, Client
from limen.core.permissions import is_permission
from limen.db.accounts import Account
from limen.errors import NotFound, Unprocessable
from limen.events import RightsChanged
from limen.kernel import Kernel


class RoleService:
    """Assigns roles and direct permissions; credentials made before are refused, a refresh brings the new rights."""

    kernel: Kernel

    async def assign(
        self,
        user_id: object,
        *,
        roles: Iterable[str] | None = None,
        permissions: Iterable[str] | None = None,
        client: Client = NOWHERE,
    ) -> Account:
        """Replace a user's roles, direct permissions or both.

        Raises:
            Unprocessable: a role that is not declared, or text that is no permission.
            NotFound: no such user.
        """
        kernel = self.kernel
        roles, permissions = _sorted(roles), _sorted(permissions)
        self._check_declared(roles or (), permissions or ())
        async with kernel.database.transaction() as connection:
            epoch = await kernel.rights.replace(connection, user_id, roles=roles, permissions=permissions)
            if epoch is None:
                raise NotFound("no such user", user=user_id)
            entry = kernel.users.lockout(user_id, epoch=epoch)
            await kernel.revocation_log.append(connection, [entry])
        kernel.revocation_log.apply([entry])
        account = await kernel.users.find(user_id)
        if account is None:
            raise NotFound("the user is gone", user=user_id)
        await kernel.events.publish(
            RightsChanged(
                at=kernel.clock.now(),
                subject=account.subject,
                client=client,
                roles=tuple(sorted(account.held.roles)),
                permissions=tuple(sorted(account.held.permissions)),
            )
        )
        return account

    def _check_declared(self, roles: Iterable[str], permissions: Iterable[str]) -> None:
        unknown = [name for name in roles if name not in self.kernel.roles]
        odd = [name for name in permissions if not is_permission(name)]
        errors = [
            *({"loc": ["body", "roles"], "msg": "There is no such role.", "type": "unknown_role"} for _ in unknown),
            *({"loc": ["body", "permissions"], "msg": "This is no permission.", "type": "permission"} for _ in odd),
        ]
        if errors:
            raise Unprocessable("unknown roles or permissions", errors=errors, roles=unknown)


def _sorted(names: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(sorted(set(names)))
