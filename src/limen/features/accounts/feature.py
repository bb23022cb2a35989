"""Declares the feature `accounts`."""

from collections.abc import Sequence

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import Table

from limen.core.policy import Policy
from limen.db.users import UserMixin
from limen.errors import ConfigurationError
from limen.feature import Feature
from limen.features.accounts.routes import ADMINISTRATION, CLOSING, OWNER, routes
from limen.features.accounts.service import AccountService
from limen.features.passwords.service import PasswordService
from limen.kernel import Kernel


class Accounts(AccountService, Feature):
    """Registration and one's own account.

    Args:
        profile: a pydantic model of the user table's own columns that people may set at registration, change and
            read; columns that it does not name stay out of every body (ASVS 15.3.3, mass assignment).
    """

    name = "accounts"
    requires = ("passwords",)

    def __init__(self, *, profile: type[BaseModel] | None = None) -> None:
        self._profile = profile

    def bind(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.passwords = kernel.service(PasswordService)
        kernel.users.own_fields = _own_fields(self._profile, kernel.tables.users) if self._profile else ()

    def routes(self) -> Sequence[APIRouter]:
        return routes(self, self._profile)

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
