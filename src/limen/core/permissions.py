"""Permissions as text: which covers which, and what is left of them under a scope.

A permission is `resource:action`, further `:qualifier`s allowed: segments of `a-z 0-9 _ . -` in lower case, joined by
`:`, at most 128 characters. It covers itself and whatever continues it by whole segments, so `items` covers
`items:write:own` and says nothing about `item` or `itemsx:read`. `*` covers every permission. `items:*` is another
spelling of `items`, which is the canonical one: declarations and effective sets hold only that. Text that is not a
permission covers nothing and is covered by nothing.
"""

import re
from collections.abc import Set as AbstractSet
from functools import lru_cache

from limen.errors import ConfigurationError, InvalidScope

MAX_PERMISSION_LENGTH = 128
MAX_SCOPE_LENGTH = 4096
MAX_SCOPE_TOKENS = 128

_SEGMENT = r"[a-z0-9_][a-z0-9_.-]*"
_PERMISSION = re.compile(rf"\*|{_SEGMENT}(?::{_SEGMENT})*(?::\*)?")
_SCOPE_TOKEN = r"[\x21\x23-\x5B\x5D-\x7E]+"  # noqa: S105  the grammar of RFC 6749 §3.3, not a secret
_SCOPE = re.compile(rf"{_SCOPE_TOKEN}(?: {_SCOPE_TOKEN})*")


def is_permission(text: object) -> bool:
    """Whether `text` is a well-formed permission, in either spelling."""
    return isinstance(text, str) and len(text) <= MAX_PERMISSION_LENGTH and _PERMISSION.fullmatch(text) is not None


def check_permission(name: str) -> str:
    """The canonical form of a permission that the app declares: `items:*` becomes `items`.

    Raises:
        ConfigurationError: `name` is not a permission; the message names it, with look-alike letters escaped.
    """
    if not is_permission(name):
        raise ConfigurationError(
            f"{name!a} is not a permission: write `resource:action` with lower-case segments of a-z 0-9 _ . - "
            f"joined by ':', at most {MAX_PERMISSION_LENGTH} characters, or '*' for all."
        )
    return name.removesuffix(":*")


def covers(held: str, needed: str) -> bool:
    """Whether who holds `held` may do what asks for `needed`."""
    return is_permission(needed) and held in covering(needed)


def covers_any(held: frozenset[str], needed: str) -> bool:
    """Whether one of `held` covers `needed`: a few look-ups, however many are held."""
    # The length is asked first so that the memory of `covering` never keeps a long text.
    return len(needed) <= MAX_PERMISSION_LENGTH and not held.isdisjoint(covering(needed))


@lru_cache(maxsize=4096)
def covering(needed: str) -> tuple[str, ...]:
    """Every text that covers `needed`, its own canonical form first; empty when it is not a permission."""
    if not is_permission(needed):
        return ()
    if needed == "*":
        return ("*",)
    segments = needed.removesuffix(":*").split(":")
    names = [":".join(segments[:depth]) for depth in range(len(segments), 0, -1)]
    # Both spellings, because a principal made from a foreign token may hold `items:*` as it came.
    return (*names, "*", *(f"{name}:*" for name in names))


def minimal(permissions: AbstractSet[str]) -> frozenset[str]:
    """The same rights in the fewest words: canonical, none covered by another, what is no permission left out."""
    names = frozenset(name.removesuffix(":*") for name in permissions if is_permission(name))
    return frozenset(name for name in names if names.isdisjoint(covering(name)[1:]))


def intersect(granted: AbstractSet[str], scopes: AbstractSet[str]) -> frozenset[str]:
    """What a credential may do: exactly the permissions that both `granted` and `scopes` cover, in the fewest words.

    The wider of two entries narrows to the other, whichever side it is on, so neither side can widen the other. Scope
    tokens that are no permission, such as `https://example.com/read`, drop out; `openid`, which could be one, stays
    only where it is granted.
    """
    held, asked = frozenset(granted), frozenset(scopes)
    within = {name for name in asked if covers_any(held, name)} | {name for name in held if covers_any(asked, name)}
    return minimal(within)


def parse_scope(text: str) -> frozenset[str]:
    """The tokens of a `scope` parameter, as they came (RFC 6749 §3.3); none when it was sent without a value (§3.1).

    Raises:
        InvalidScope: over 4096 characters or 128 tokens, or not tokens with single spaces between.
    """
    if not text:
        return frozenset()
    if len(text) > MAX_SCOPE_LENGTH or text.count(" ") >= MAX_SCOPE_TOKENS:
        raise InvalidScope("scope too long", length=len(text))
    if not _SCOPE.fullmatch(text):
        raise InvalidScope("scope is not a list of tokens", length=len(text))
    return frozenset(text.split(" "))


def format_scope(permissions: AbstractSet[str]) -> str:
    """The `scope` text of a set of permissions, sorted, so that equal sets read the same."""
    return " ".join(sorted(permissions))
