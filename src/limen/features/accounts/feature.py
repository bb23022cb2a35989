"""Declares the feature `accounts`."""

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

from fastapi import APIRouter
from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Table

from limen.core.policy import Policy
from limen.db.tables import Tables
from limen.db.users import UserMixin
from limen.errors import ConfigurationError
from limen.feature import Feature, Finding, features_of
from limen.features.accounts.routes import ADMINISTRATION, CLOSING, OWNER, routes
from limen.features.accounts.service import AccountService
from limen.features.accounts.store import DeletionStore
from limen.features.accounts.tables import deletion_table
from limen.features.mail.service import MailService
from limen.features.passwords.service import PasswordService
from limen.kernel import Kernel
from limen.settings import PagePath, load


class AccountSettings(BaseSettings):
    """`LIMEN_ACCOUNTS_…`: how long a closed account waits for its deletion, and where a link to restore it leads to."""

    model_config = SettingsConfigDict(env_prefix="LIMEN_ACCOUNTS_", env_file=".env", extra="ignore", frozen=True)

    deletion_grace_days: float = Field(
        default=0, ge=0, le=365, description="how long a closed account can be restored; 0 to delete at once"
    )
    restore_page: PagePath | None = Field(
        default=None, description="path of your own page for the link that restores an account; without it, limen's"
    )


class Accounts(AccountService, Feature):
    """Registration and one's own account.

    Args:
        deletion_grace_days: instead of the setting: how long a closed account can be restored; 0 to delete at once.
        profile: a pydantic model of the user table's own columns that people may set at registration, change and
            read; columns that it does not name stay out of every body (ASVS 15.3.3, mass assignment).
    """

    name = "accounts"
    requires = ("passwords",)
    settings: ClassVar[type[BaseSettings]] = AccountSettings

    def __init__(self, *, profile: type[BaseModel] | None = None, deletion_grace_days: float | None = None) -> None:
        self._profile = profile
        self._grace_days = deletion_grace_days

    def bind(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.passwords = kernel.service(PasswordService)
        kernel.users.own_fields = _own_fields(self._profile, kernel.tables.users) if self._profile else ()
        settings = load(AccountSettings)
        days = settings.deletion_grace_days if self._grace_days is None else self._grace_days
        self.grace = timedelta(days=days)
        self._has_own_page = settings.restore_page is None
        self.restore_page = settings.restore_page or f"{kernel.auth_prefix}/account/restore"
        self.deletions = DeletionStore(kernel.database, deletion_table(kernel.tables))
        self.features = tuple(features_of(kernel))
        self.mail = next((each for each in self.features if isinstance(each, MailService)), None)
        kernel.follower.purge_by("accounts", self.remove_due)

    def routes(self) -> Sequence[APIRouter]:
        return routes(self, self._profile, own_page=self._has_own_page)

    def tables(self, kernel_tables: Tables) -> Sequence[Table]:
        return (deletion_table(kernel_tables),)

    def checks(self) -> Sequence[Finding]:
        found = []
        if self.grace and self.mail is None:
            found.append(Finding(id="limen.W033", sentence=_NO_MAIL))
        if self.greeter is None and self.kernel.settings.email_verification != "off":
            found.append(Finding(id="limen.E031", sentence=_NO_GREETER))
        return found

    def policies(self) -> Sequence[Policy]:
        return (OWNER, CLOSING, *ADMINISTRATION)


def _own_fields(profile: type[BaseModel], users: Table) -> tuple[str, ...]:
    """The columns that a profile names: the app's own, none of limen's (nobody makes themselves active)."""
    for name in profile.model_fields:
        if name not in users.c or name in vars(UserMixin) or users.c[name].primary_key:
            raise ConfigurationError(
                f"Accounts(profile={profile.__name__}): {name!r} is not a column of the app's own in {users.name}"
            )
    return tuple(profile.model_fields)


_NO_MAIL = (
    "LIMEN_ACCOUNTS_DELETION_GRACE_DAYS is set and the feature Mail is missing: nobody gets the link that restores a "
    "closed account, so only an administrator can"
)
_NO_GREETER = (
    "LIMEN_EMAIL_VERIFICATION is set and the feature EmailVerification is missing: add EmailVerification(), "
    "PasswordReset() and Mail() to Auth(features=[…])"
)
