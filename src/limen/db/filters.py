"""A rule over objects as a condition of SQL: the same function, asked with the class instead of an object.

What such a function may do with an attribute is what Python and SQL agree on: `==`, `!=`, `<`, `<=`, `>`, `>=`, and `&`
and `|` between comparisons. The rest (`and`, `or`, `not`, `in`, `is`, `LIKE`, relationships) would be silently another
condition, so it is refused, and the rule is given its condition by `where=`. NULL is None: `!=` finds it, as in Python.
"""

import dis
import inspect
from collections.abc import Callable
from types import CodeType
from typing import NoReturn, cast

from sqlalchemy import Boolean, ColumnElement, false, or_, true
from sqlalchemy.exc import ArgumentError
from sqlalchemy.inspection import inspect as inspect_model
from sqlalchemy.orm import QueryableAttribute, RelationshipProperty
from sqlalchemy.sql import operators

from limen.core.object_rules import ObjectRule, ObjectRules
from limen.core.principal import Principal
from limen.errors import ConfigurationError

_COMPARISONS = frozenset({operators.eq, operators.ne, operators.lt, operators.le, operators.gt, operators.ge})
_JUNCTIONS = frozenset({operators.and_, operators.or_})
_NUMBERS = (int, float)


class NotOneCondition(Exception):
    """The function does something with an attribute that SQL would understand differently."""


def condition(rules: ObjectRules, principal: Principal, needed: str, model: type) -> ColumnElement[bool]:
    """The objects of `model` to which the principal may do what asks for `needed`; none without the permission.

    Raises:
        ConfigurationError: there is no rule, or it cannot be one condition and has no `where`.
    """
    conditions: list[ColumnElement[bool]] = []
    for rule in rules.counting(principal, needed, model):
        if rule is None:
            return true()
        conditions.append(_condition_of(rule, principal, model))
    return or_(false(), *conditions)


def _condition_of(rule: ObjectRule, principal: Principal, model: type) -> ColumnElement[bool]:
    if rule.where is not None:
        return _as_condition(rule, rule.where(principal))
    if inspect_model(model, raiseerr=False) is None:
        raise ConfigurationError(
            f"{rule}: {model.__name__} is not mapped to a table, so no list of it can be filtered."
        )
    try:
        return _asked_with_the_class(rule, principal, model)
    except (NotOneCondition, ArgumentError, AttributeError, TypeError) as error:
        raise ConfigurationError(
            f"{rule} cannot be one condition of SQL ({error}): give it one, @auth.policy(…, where=…)."
        ) from error


def _asked_with_the_class(rule: ObjectRule, principal: Principal, model: type) -> ColumnElement[bool]:
    _check_identity(rule.function)
    outcome = _as_condition(rule, rule.function(principal, _Attributes(model)))
    if not isinstance(outcome.type, Boolean):
        raise NotOneCondition(f"it answers with a {outcome.type}")
    return outcome


def _as_condition(rule: ObjectRule, outcome: object) -> ColumnElement[bool]:
    if inspect.iscoroutine(outcome):
        outcome.close()
        raise NotOneCondition("it is asynchronous")
    element = _plain(outcome)
    if isinstance(element, bool):
        return true() if element else false()
    if not isinstance(element, ColumnElement):
        raise ConfigurationError(f"{rule} answers a list with {type(outcome).__name__}, not with a condition.")
    return element


def _check_identity(function: object) -> None:
    """`is None` asks for the object itself, and the stand-in for a column is never None."""
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    for instruction in dis.get_instructions(code) if isinstance(code, CodeType) else ():
        if instruction.opname == "IS_OP" or instruction.opname.endswith("_NONE"):
            raise NotOneCondition("`is` has no SQL: write == None, != None or == True")


class _Attributes:
    """Stands for any object of a model: its attributes are the columns."""

    def __init__(self, model: type) -> None:
        self._model = model

    @property  # type: ignore[misc]  # what isinstance() looks at
    def __class__(self) -> type:
        raise NotOneCondition("isinstance() of the object")

    def __getattr__(self, name: str) -> object:
        value: object = getattr(self._model, name)
        if isinstance(value, QueryableAttribute):
            if isinstance(getattr(value, "property", None), RelationshipProperty):
                raise NotOneCondition(f"{self._model.__name__}.{name} is a relationship")
            return _Attribute(value.__clause_element__(), value.__str__())
        return _Attribute(value, name) if isinstance(value, ColumnElement) else value


class _Attribute(operators.ColumnOperators):
    """A column, or a condition made of some, that does only what it would do as a Python value."""

    __hash__ = None  # type: ignore[assignment]  # a set would compare by identity

    def __init__(self, element: object, name: str) -> None:
        self._element = cast("ColumnElement[object]", element)
        self._name = name

    def __clause_element__(self) -> object:
        return self._element

    def operate(self, op: Callable[..., object], *other: object, **kwargs: object) -> "_Attribute":
        if op not in _COMPARISONS | _JUNCTIONS or kwargs:
            raise NotOneCondition(f"{getattr(op, '__name__', op)} of {self._name}")
        value = _plain(other[0])
        if op in _COMPARISONS:
            self._check_type(value)
        if op is operators.ne and value is not None:
            return _Attribute(self._element.is_distinct_from(value), self._name)
        if op is operators.eq and isinstance(value, ColumnElement):
            return _Attribute(self._element.is_not_distinct_from(value), self._name)
        return _Attribute(op(self._element, value), self._name)

    def reverse_operate(self, op: Callable[..., object], other: object, **_: object) -> NoReturn:
        raise NotOneCondition(f"{getattr(op, '__name__', op)} of {other!r} and {self._name}")

    def __rand__(self, other: object) -> "_Attribute":
        return self & other  # type: ignore[return-value]  # `operate` answers

    def __ror__(self, other: object) -> "_Attribute":
        return self | other  # type: ignore[return-value]

    def __invert__(self) -> NoReturn:
        raise NotOneCondition(f"~ of {self._name}, which is no negation in Python: write != ")

    def __bool__(self) -> NoReturn:
        raise NotOneCondition(
            f"{self._name} was asked for its truth: write & and | with brackets, not `and`, `or`, `in`"
        )

    def __contains__(self, _: object) -> NoReturn:
        raise NotOneCondition(f"`in` of {self._name}")

    def __iter__(self) -> NoReturn:
        raise NotOneCondition(f"{self._name} was iterated over")

    def _check_type(self, value: object) -> None:
        """A number is not its text in Python, and may be in SQL."""
        try:
            expected = self._element.type.python_type
        except NotImplementedError:
            return
        if value is None or isinstance(value, (ColumnElement, expected)):
            return
        if not (issubclass(expected, _NUMBERS) and isinstance(value, _NUMBERS)):
            raise NotOneCondition(f"{self._name} is of {expected.__name__}, compared with a {type(value).__name__}")


def _plain(value: object) -> object:
    return value.__clause_element__() if isinstance(value, _Attribute) else value
