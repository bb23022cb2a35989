"""What an app declares about who may do what: guards, rules over objects, conditions for lists, row-level security."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar, overload

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession

from limen.core.object_rules import ObjectRule, ObjectRules, models_of
from limen.core.permissions import check_permission
from limen.core.policy import permission
from limen.core.principal import Principal
from limen.core.rules import PolicyLike, as_policy
from limen.db import rls
from limen.db.filters import condition
from limen.errors import ConfigurationError
from limen.feature import features_of
from limen.http.guards import PrincipalGuard
from limen.http.object_guard import ObjectGuard
from limen.http.public import public
from limen.kernel import Kernel

RuleOverObject: TypeAlias = Callable[[Principal, Any], bool | ColumnElement[bool] | Awaitable[bool]]
R = TypeVar("R", bound=RuleOverObject)


class Authorization:
    """The part of `Auth` that decides.

    Attributes:
        object_rules: the rules over objects that were declared so far.
        public: marks an endpoint, or a mounted app, as open to everyone on purpose.
    """

    kernel: Kernel
    object_rules: ObjectRules
    public = staticmethod(public)

    @overload
    def require(self, policy: PolicyLike) -> PrincipalGuard: ...

    @overload
    def require(
        self, policy: str, *, on: Callable[..., object], visible_to: PolicyLike | None = None
    ) -> ObjectGuard: ...

    def require(
        self, policy: PolicyLike, *, on: Callable[..., object] | None = None, visible_to: PolicyLike | None = None
    ) -> PrincipalGuard | ObjectGuard:
        """A dependency that lets in whom the policy allows: `Depends(auth.require("items:write"))`.

        With `on`, the endpoint gets the object: `Annotated[Item, Depends(auth.require("items:delete", on=get_item))]`.
        Nothing is loaded for who does not hold the permission at all (401, 403); an object that does not exist, or that
        one may not know of, is 404; one that one may know of and not do this to is 403.

        Args:
            policy: a permission, a policy such as `role("admin") & fresh(minutes=10)`, or a function of the principal.
            on: the dependency that loads the object, or answers None; then `policy` is a permission.
            visible_to: who may know that the object exists; else whoever may read it, by `<resource>:read`.

        Raises:
            ConfigurationError: it is none of these, or names what nobody declared.
        """
        if on is not None and not isinstance(policy, str):
            raise ConfigurationError(f"auth.require({policy}, on=…): rules over objects are asked by a permission.")
        asked = as_policy(policy)
        self.kernel.vocabulary.check(asked)
        guard = PrincipalGuard(self.kernel.authenticator, self.kernel.clock, asked)
        if on is None or not isinstance(policy, str):
            return guard
        visible = None if visible_to is None else as_policy(visible_to)
        if visible is not None:
            self.kernel.vocabulary.check(visible)
        return ObjectGuard(guard, self.object_rules, needed=check_permission(policy), load=on, visible_to=visible)

    def policy(
        self, *permissions: str, where: Callable[[Principal], ColumnElement[bool]] | None = None
    ) -> Callable[[R], R]:
        """Declare on which objects a permission counts: `@auth.policy("items:delete")` over `def owner(p, item: Item)`.

        The function answers True or False for an object, and is asked with the class to filter lists. Whoever holds a
        wider permission than the one named is not narrowed: `items` counts on every item, `items:delete` on one's own.

        Args:
            permissions: those that it narrows.
            where: the condition for lists, when the function cannot be one (`in`, relationships, awaiting).

        Raises:
            ConfigurationError: the second parameter has no class as annotation, or there is such a rule already.
        """
        if not permissions:
            raise ConfigurationError("auth.policy() needs the permission that it narrows.")
        for name in permissions:
            self.kernel.vocabulary.check(permission(name))

        def declare(function: R) -> R:
            for model in models_of(function):
                for name in map(check_permission, permissions):
                    self.object_rules.add(ObjectRule(permission=name, model=model, function=function, where=where))
            return function

        return declare

    async def check(
        self, principal: Principal, needed: str, target: object | None, *, visible_to: PolicyLike | None = None
    ) -> None:
        """Pass if the principal may do to this object what asks for `needed`.

        Raises:
            InsufficientScope: the principal does not hold the permission, whatever the object.
            NotFound: it is None, or the principal may not know of it.
            Forbidden: the principal may know of it, and not do this.
            ConfigurationError: there is no rule for this permission over such objects.
        """
        visible = None if visible_to is None else as_policy(visible_to)
        await self.object_rules.check(principal, check_permission(needed), target, visible_to=visible)

    def filter(self, principal: Principal, needed: str, model: type) -> ColumnElement[bool]:
        """The condition for a list: `select(Item).where(auth.filter(principal, "items:read", Item))`.

        Raises:
            ConfigurationError: there is no rule for this permission, or it cannot be a condition and has no `where`.
        """
        return condition(self.object_rules, principal, check_permission(needed), model)

    async def rls(self, session: AsyncSession, principal: Principal | None, *, role: str | None = None) -> None:
        """Let PostgreSQL's row-level security decide for this principal, in every transaction of this session.

        As Supabase and PostgREST do: `request.jwt.claims` and the role are set locally to the transaction, so nothing
        is left on the connection for who gets it next. `auth.uid()` is the id of the row here, whoever vouches, and
        NULL for who has none; of Supabase's people it is Supabase's id.

        Args:
            principal: None is somebody who presented nothing.
            role: the database role to take on, one to which the policies apply; a table's owner is above them.

        Raises:
            ConfigurationError: the database is not PostgreSQL, or the session runs in autocommit.
        """
        uid = None if principal is None else self._uid_of(principal)
        await rls.act_as(session, principal, uid=uid, role=role)

    def _uid_of(self, principal: Principal) -> str | None:
        said = (each.uid_of(principal) for each in features_of(self.kernel))
        return next((uid for uid in said if uid is not None), principal.user_id)
