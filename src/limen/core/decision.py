"""What a policy says: the refusal that it hands back, and the steps that explain it."""

from dataclasses import dataclass

from limen.errors import AuthError, Forbidden, InsufficientScope, StepUpRequired


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a refused principal lacks; nothing named means that nothing the client can fetch would help.

    Attributes:
        scopes: the permissions that would have been enough.
        max_age: how old, in seconds, the sign-in may be.
    """

    scopes: tuple[str, ...] = ()
    max_age: int | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing that the client can fetch would help."""
        return not self.scopes and self.max_age is None

    def error(self, reason: str, **context: object) -> AuthError:
        """The error that carries the challenge: the missing scope first, since signing in again would not bring it."""
        if self.scopes:
            return InsufficientScope(reason, scope=" ".join(self.scopes), **context)
        if self.max_age is not None:
            return StepUpRequired(reason, max_age=self.max_age, **context)
        return Forbidden(reason, data=None, **context)


FORBIDDEN = Refusal()


@dataclass(frozen=True, slots=True)
class Step:
    """One line of an explanation.

    Attributes:
        depth: 0 for the whole policy, one more for each part of a part.
        rule: the rule as text.
        allowed: what it decided; None where it was not reached or its function is asynchronous and not resolved.
    """

    depth: int
    rule: str
    allowed: bool | None
