"""What a key is limited to, checked and in canonical form before there is one."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from limen.core.conditions import Rate, parse_networks
from limen.core.permissions import MAX_SCOPE_LENGTH, MAX_SCOPE_TOKENS, is_permission
from limen.errors import Unprocessable

MAX_NAME = 100
MAX_OVERLAP = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTerms:
    """What a key is limited to.

    Attributes:
        name: by which its owner knows what it is for.
        scopes: None for everything that its owner holds.
        expires_at: None for never.
        allowed_networks: where it may come from, as CIDRs; empty for anywhere.
        rate_limit: how often it may be used, such as `100/minute`.
    """

    name: str
    scopes: tuple[str, ...] | None
    expires_at: datetime | None
    allowed_networks: tuple[str, ...]
    rate_limit: str | None

    @classmethod
    def check(
        cls,
        *,
        now: datetime,
        name: str = "unnamed",
        scopes: Iterable[str] | None = None,
        expires_in: timedelta | None = None,
        allowed_networks: Iterable[str] = (),
        rate_limit: str | None = None,
    ) -> "KeyTerms":
        """The terms, if each is of its form.

        Raises:
            Unprocessable: one is not; it names the field.
        """
        return cls(
            name=_checked_name(name),
            scopes=None if scopes is None else _checked_scopes(scopes),
            expires_at=None if expires_in is None else _checked_end(expires_in, now),
            allowed_networks=_checked_networks(allowed_networks),
            rate_limit=None if rate_limit is None else _checked_rate(rate_limit),
        )


def check_overlap(overlap: timedelta) -> timedelta:
    """How long what was replaced lives on.

    Raises:
        Unprocessable: it is negative or over 90 days.
    """
    if not timedelta() <= overlap <= MAX_OVERLAP:
        raise _refused("overlap_seconds", f"At least 0 seconds, at most {MAX_OVERLAP.days} days.")
    return overlap


def _checked_name(name: str) -> str:
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise _refused("name", f"Use 1 to {MAX_NAME} printable characters.")
    return name


def _checked_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    names = tuple(sorted(set(scopes)))
    if not names:
        raise _refused("scopes", "Name at least one, or leave them out for everything that the owner holds.")
    if not all(map(is_permission, names)):
        raise _refused("scopes", "These are not all permissions such as `items:read`.")
    if len(names) > MAX_SCOPE_TOKENS or len(" ".join(names)) > MAX_SCOPE_LENGTH:
        raise _refused("scopes", f"At most {MAX_SCOPE_TOKENS} of them and {MAX_SCOPE_LENGTH} characters.")
    return names


def _checked_end(expires_in: timedelta, now: datetime) -> datetime:
    if expires_in <= timedelta():
        raise _refused("expires_in_days", "A key lives for some time.")
    try:
        return now + expires_in
    except OverflowError:
        raise _refused("expires_in_days", "That is after the year 9999.") from None


def _checked_networks(networks: Iterable[str]) -> tuple[str, ...]:
    try:
        return tuple(str(network) for network in dict.fromkeys(parse_networks(tuple(networks))))
    except ValueError:
        raise _refused("allowed_networks", "Name networks such as 10.0.0.0/8 or 2001:db8::/32, at most 32.") from None


def _checked_rate(text: str) -> str:
    try:
        Rate.parse(text)
    except ValueError:
        raise _refused("rate_limit", "Name a rate such as 100/minute.") from None
    return text.strip()


def _refused(name: str, sentence: str) -> Unprocessable:
    return Unprocessable(f"{name} refused", errors=[{"loc": ["body", name], "msg": sentence, "type": name}])
