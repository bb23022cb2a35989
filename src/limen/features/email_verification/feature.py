"""Declares the feature `email_verification`."""

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

from fastapi import APIRouter
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from limen.core.login import Step
from limen.core.policy import Policy
from limen.feature import Feature
from limen.features.accounts.service import AccountService
from limen.features.email_verification.routes import CHANGING, routes
from limen.features.email_verification.service import EmailVerificationService
from limen.features.email_verification.steps import VerifyEmail
from limen.features.mail.service import MailService
from limen.features.password_reset.service import PasswordResetService
from limen.features.passwords.service import PasswordService
from limen.kernel import Kernel
from limen.settings import PagePath, load


class EmailVerificationSettings(BaseSettings):
    """`LIMEN_EMAIL_VERIFICATION_…`: how long links are good, and where they lead to."""

    model_config = SettingsConfigDict(
        env_prefix="LIMEN_EMAIL_VERIFICATION_", env_file=".env", extra="ignore", frozen=True
    )

    hours: float = Field(default=24, gt=0, le=168, description="how long a link or code is good")
    undo_hours: float = Field(default=72, gt=0, le=720, description="how long the old address can undo a change")
    page: PagePath | None = Field(
        default=None, description="path of your own page for the link, such as `/verify`; without it, limen's"
    )
    undo_page: PagePath | None = Field(
        default=None, description="path of your own page for the link that undoes a change; without it, limen's"
    )


class EmailVerification(EmailVerificationService, Feature):
    """Addresses are proved by a link or a code: when they change, and at registration if the setting says so."""

    name = "email_verification"
    requires = ("accounts", "mail", "password_reset", "passwords")
    settings: ClassVar[type[BaseSettings]] = EmailVerificationSettings

    def bind(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.accounts = kernel.service(AccountService)
        self.passwords = kernel.service(PasswordService)
        self.resets = kernel.service(PasswordResetService)
        self.mail = kernel.service(MailService)
        settings = load(EmailVerificationSettings)
        self.lifetime = timedelta(hours=settings.hours)
        self.undo_for = timedelta(hours=settings.undo_hours)
        self._own_pages = (settings.page is None, settings.undo_page is None)
        self.page = settings.page or f"{kernel.auth_prefix}/email/verify"
        self.undo_page = settings.undo_page or f"{kernel.auth_prefix}/email/change/undo"
        if kernel.settings.email_verification != "off":
            self.accounts.greet_by(self)

    def steps(self) -> Sequence[Step]:
        return (VerifyEmail(self),)

    def routes(self) -> Sequence[APIRouter]:
        return routes(self, own_pages=self._own_pages)

    def policies(self) -> Sequence[Policy]:
        return (CHANGING,)
