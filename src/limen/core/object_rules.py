"""Rules over objects: on which of them a permission counts.

    @auth.policy("items:delete")
    def owner(principal: Principal, item: Item) -> bool:
        return item.owner_id == principal.user_id

Whoever holds `items:delete` may delete what the rule allows; whoever holds the wider `items` or `*` may delete any. A
permission without a rule of its own follows the rule of the nearest wider one that has one: a rule for `items` also
narrows who holds only `items:read`. Of several permissions that are held, one that allows is enough.

`user_id` is the id of the row here, whoever vouches for the person; `subject` could be a namesake's: two issuers may
give one `sub` to two people.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from limen.core.clock import Clock
from limen.core.permissions import covering
from limen.core.policy import Policy
from limen.core.principal import Principal
from limen.errors import ConfigurationError, Forbidden, InsufficientScope, NotFound

Condition = Callable[[Principal], object]
ObjectFunction = Callable[[Principal, object], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRule:
    """On which objects of `model` the permission counts.

    Attributes:
        function: asked with the principal and the object, and with the class where a list is filtered.
        where: the condition for lists, where the function cannot be one.
    """

    permission: str
    model: type
    function: ObjectFunction
    where: Condition | None = None

    async def allows(self, principal: Principal, target: object) -> bool:
        """Whether the permission counts on this object.

        Raises:
            TypeError: the function does not answer True or False.
        """
        outcome = self.function(principal, target)
        if inspect.isawaitable(outcome):
            outcome = await outcome
        if not isinstance(outcome, bool):
            raise TypeError(f"{self} returned {type(outcome).__name__}, not True or False: use ==, !=, &, | in it.")
        return outcome

    def __str__(self) -> str:
        name = getattr(self.function, "__name__", type(self.function).__name__)
        return f"rule {name} over {self.model.__name__}"


@dataclass(slots=True)
class ObjectRules:
    """Decides about objects.

    Args:
        clock: for policies that say who may know of an object.
    """

    clock: Clock
    _rules: dict[tuple[str, type], ObjectRule] = field(default_factory=dict)

    def add(self, rule: ObjectRule) -> None:
        """Obey it from now on.

        Raises:
            ConfigurationError: there is one for this permission and model already.
        """
        known = self._rules.setdefault((rule.permission, rule.model), rule)
        if known is not rule:
            raise ConfigurationError(
                f"Two rules for {rule.permission}: {known} and {rule}. Write one function that says | or &."
            )

    def named(self, needed: str) -> tuple[ObjectRule, ...]:
        """The rules, over whatever model, that have a say about who needs this permission."""
        return tuple(rule for (permission, _), rule in self._rules.items() if permission in covering(needed))

    def counting(self, principal: Principal, needed: str, model: type) -> Iterator[ObjectRule | None]:
        """For each permission held that covers `needed`: the rule that narrows it, or None when it counts on all.

        Raises:
            ConfigurationError: there is no rule for this permission over this model.
        """
        if self.find(needed, model) is None:
            raise ConfigurationError(
                f'There is no rule for {needed} over {model.__name__}: write one, @auth.policy("{needed}").'
            )
        enough = covering(needed)
        for held in sorted(principal.permissions.intersection(enough)):
            yield self.find(held, model)

    def find(self, permission: str, model: type) -> ObjectRule | None:
        """The rule that narrows this permission over this model: its own, or that of the nearest wider one."""
        for name in covering(permission):
            for kind in model.__mro__:
                if (name, kind) in self._rules:
                    return self._rules[name, kind]
        return None

    async def allows(self, principal: Principal, needed: str, target: object) -> bool:
        """Whether the principal may do to this object what asks for `needed`."""
        for rule in self.counting(principal, needed, type(target)):
            if rule is None or await rule.allows(principal, target):
                return True
        return False

    async def check(
        self, principal: Principal, needed: str, target: object | None, *, visible_to: Policy | None = None
    ) -> None:
        """Pass, or raise what the client may be told.

        Args:
            target: None is an object that does not exist.
            visible_to: who may know that the object exists; else whoever may read it, by `<resource>:read`.

        Raises:
            InsufficientScope: the principal does not hold the permission, whatever the object.
            NotFound: there is no such object, or the principal may not know of it.
            Forbidden: the principal may know of it, and not do this.
        """
        if not principal.can(needed):
            raise InsufficientScope(f"policy refused: {needed}", scope=needed, subject=principal.subject)
        if target is None:
            raise NotFound("no such object", subject=principal.subject)
        if await self.allows(principal, needed, target):
            return
        reason = f"policy refused: {needed}, {self.find(needed, type(target))}"
        if await self._is_visible(principal, needed, target, visible_to):
            raise Forbidden(reason, subject=principal.subject)
        raise NotFound(reason, subject=principal.subject)

    async def _is_visible(self, principal: Principal, needed: str, target: object, visible_to: Policy | None) -> bool:
        if visible_to is not None:
            now = self.clock.time()
            return (await visible_to.resolve(principal, now=now)).decide(principal, now) is None
        reading = f"{needed.partition(':')[0]}:read"
        if reading == needed or not principal.can(reading):
            return False
        return self.find(reading, type(target)) is None or await self.allows(principal, reading, target)


def models_of(function: Callable[..., object]) -> tuple[type, ...]:
    """The models that a rule's second parameter is annotated with.

    Raises:
        ConfigurationError: it does not take two parameters, or the second has no class as annotation.
    """
    name = getattr(function, "__name__", type(function).__name__)
    try:
        parameters = list(inspect.signature(function, eval_str=True).parameters.values())
    except NameError as error:
        raise ConfigurationError(f"The rule {name}: its annotation {error.name!a} cannot be resolved.") from None
    kinds = _classes(parameters[1].annotation) if len(parameters) == 2 else ()
    if not kinds:
        raise ConfigurationError(
            f"The rule {name} must be of the form {name}(principal: Principal, item: Item) -> bool."
        )
    return kinds


def _classes(annotation: object) -> tuple[type, ...]:
    options = getattr(annotation, "__args__", None) or (annotation,)
    return tuple(each for each in options if isinstance(each, type) and each is not inspect.Parameter.empty)
