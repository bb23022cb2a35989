"""Declares the feature `password_reset`."""

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

from fastapi import APIRouter
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from limen.feature import Feature
from limen.features.accounts.service import AccountService
from limen.features.mail.service import MailService
from limen.features.password_reset.routes import routes
from limen.features.password_reset.service import PasswordResetService
from limen.features.passwords.service import PasswordService
from limen.kernel import Kernel
from limen.settings import PagePath, load


class PasswordResetSettings(BaseSettings):
    """`LIMEN_PASSWORD_RESET_…`: how long a link is good, and where it leads to."""

    model_config = SettingsConfigDict(env_prefix="LIMEN_PASSWORD_RESET_", env_file=".env", extra="ignore", frozen=True)

    minutes: float = Field(default=60, gt=0, le=1440, description="how long a link is good")
    page: PagePath | None = Field(
        default=None, description="path of your own page for the link, such as `/reset`; without it, limen's"
    )


class PasswordReset(PasswordResetService, Feature):
    """Forgotten passwords are replaced by a link in a mail, good once and for an hour."""

    name = "password_reset"
    requires = ("accounts", "mail", "passwords")
    settings: ClassVar[type[BaseSettings]] = PasswordResetSettings

    def bind(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.accounts = kernel.service(AccountService)
        self.passwords = kernel.service(PasswordService)
        self.mail = kernel.service(MailService)
        settings = load(PasswordResetSettings)
        self.lifetime = timedelta(minutes=settings.minutes)
        self._has_own_page = settings.page is None
        self.page = settings.page or f"{kernel.auth_prefix}/password/reset"

    def routes(self) -> Sequence[APIRouter]:
        return routes(self, own_page=self._has_own_page)
