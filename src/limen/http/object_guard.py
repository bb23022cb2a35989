"""A guard over an object: first who asks, then which object, then whether they may."""

from collections.abc import Callable
from inspect import Parameter, Signature

from fastapi import Depends

from limen.core.object_rules import ObjectRule, ObjectRules
from limen.core.policy import Policy
from limen.core.principal import Principal
from limen.errors import ConfigurationError
from limen.http.guards import PrincipalGuard


class ObjectGuard:
    """The endpoint gets the object that `load` answers with, if the rules let the principal have it.

    FastAPI solves the parameters in order: nothing is loaded for who is not let in.

    Attributes:
        needed: the permission that it asks for.
        load: the app's own dependency; None or no answer is an object that does not exist.
    """

    def __init__(
        self,
        guard: PrincipalGuard,
        rules: ObjectRules,
        *,
        needed: str,
        load: Callable[..., object],
        visible_to: Policy | None,
    ) -> None:
        self.needed = needed
        self.load = load
        self._rules = rules
        self._visible_to = visible_to
        self.__signature__ = Signature(
            [
                Parameter("principal", Parameter.KEYWORD_ONLY, default=Depends(guard)),
                Parameter("target", Parameter.KEYWORD_ONLY, default=Depends(load)),
            ]
        )

    async def __call__(self, *, principal: Principal, target: object) -> object:
        """What FastAPI calls.

        Raises:
            NotFound: there is no such object, or the principal may not know of it.
            Forbidden: the principal may know of it, and not do this.
        """
        await self._rules.check(principal, self.needed, target, visible_to=self._visible_to)
        return target

    @property
    def rules(self) -> tuple[ObjectRule, ...]:
        """The rules that it asks, over whatever the app loads."""
        return self._rules.named(self.needed)

    def check_rules(self) -> None:
        """Refuse a guard that nothing would decide.

        Raises:
            ConfigurationError: there is no rule for its permission.
        """
        if not self.rules:
            raise ConfigurationError(
                f'auth.require("{self.needed}", on=…) has no rule: write one, @auth.policy("{self.needed}").'
            )
