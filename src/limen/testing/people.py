"""People who went through the real pipeline, with whatever they carry."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from uuid import uuid4

from limen.auth import Auth
from limen.core.login import Completed, Pending
from limen.core.passwords import PasswordHasher
from limen.db.accounts import Account
from limen.db.users import UserMixin
from limen.errors import NotFound
from limen.features.accounts import Accounts
from limen.features.api_keys import ApiKeys
from limen.features.passwords import Passwords
from limen.http.cookies import cookie_name

PASSWORD = "correct horse battery staple"  # noqa: S105 - every test user's

Carrier = Literal["bearer", "cookie", "api_key"]


def fast_hasher() -> PasswordHasher:
    """Argon2id at the least that it takes: microseconds, for tests only."""
    return PasswordHasher(memory_kib=8, iterations=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A user who went through the real pipeline.

    Attributes:
        subject: the `sub` of their credentials.
        access_token, refresh_token: empty for whoever carries something else.
        shown: the headers that show the credential; a cookie's value is in `cookies`.
    """

    subject: str
    email: str
    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    shown: Mapping[str, str] = field(default_factory=dict, repr=False)
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def headers(self) -> Mapping[str, str]:
        """What a request carries."""
        if not self.cookies:
            return self.shown
        return {**self.shown, "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}


async def as_user(
    auth: Auth[UserMixin],
    *,
    email: str | None = None,
    roles: Iterable[str] | None = None,
    scopes: Iterable[str] | None = None,
    values: Mapping[str, object] | None = None,
    carrier: Carrier = "bearer",
) -> SignedIn:
    """Register someone and sign them in, with these roles and narrowed to these scopes.

    An address that is known signs in again: the same person on another device.

    Args:
        values: the app's own columns.
        carrier: whether they hold tokens, a session cookie, or an API key.

    Raises:
        RuntimeError: a step holds the sign-in up.
        ValueError: roles or columns for somebody who is there already.
    """
    account = await _account(auth, email, roles=roles, values=values)
    address = str(account.columns["email"])
    if carrier == "api_key":
        key = await auth[ApiKeys].create(account, name="test", scopes=None if scopes is None else list(scopes))
        return SignedIn(subject=account.subject, email=address, shown={"X-API-Key": key.text})
    scope = None if scopes is None else " ".join(scopes)
    deliver = "cookie" if carrier == "cookie" else "token"
    outcome = await auth[Passwords].login(address, PASSWORD, scope=scope, deliver=deliver)
    if isinstance(outcome, Pending):
        raise RuntimeError(f"the step {outcome.step} holds the sign-in up")  # noqa: TRY004 - a state, not a type
    return _by_cookie(auth, account, outcome) if outcome.cookie else _by_token(account, outcome)


def _by_token(account: Account, outcome: Completed) -> SignedIn:
    access_token = str(outcome.body["access_token"])
    return SignedIn(
        subject=account.subject,
        email=str(account.columns["email"]),
        access_token=access_token,
        refresh_token=str(outcome.body["refresh_token"]),
        shown={"Authorization": f"Bearer {access_token}"},
    )


def _by_cookie(auth: Auth[UserMixin], account: Account, outcome: Completed) -> SignedIn:
    assert outcome.cookie is not None, "the issuer of cookies hands one out"
    return SignedIn(
        subject=account.subject,
        email=str(account.columns["email"]),
        shown={"Sec-Fetch-Site": "same-origin"},  # as the browsers of the app's own pages say
        cookies={cookie_name(secure=auth.settings.is_secure): outcome.cookie.value},
    )


async def _account(
    auth: Auth[UserMixin], email: str | None, *, roles: Iterable[str] | None, values: Mapping[str, object] | None
) -> Account:
    known = None if email is None else await _known(auth, email)
    if known is not None:
        if roles is not None or values is not None:
            raise ValueError(f"{email} is registered already: roles and values are for new people")
        return known
    proved = auth.settings.email_verification == "required"  # whoever signs in has
    return await auth[Accounts].register(
        email=email or f"user-{uuid4().hex[:8]}@example.com",
        password=PASSWORD,
        roles=roles,
        is_verified=proved,
        values=values,
    )


async def _known(auth: Auth[UserMixin], email: str) -> Account | None:
    try:
        return await auth[Accounts].find(email)
    except NotFound:
        return None


async def create_tables(auth: Auth[UserMixin]) -> None:
    """Make every table of this `Auth` and those beside them in the user model's metadata, without migrations."""
    metadata = auth.kernel.tables.users.metadata
    async with auth.kernel.database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
