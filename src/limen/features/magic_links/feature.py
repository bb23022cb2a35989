"""Declares the feature `magic_links`."""

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

from fastapi import APIRouter
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.admission import is_placeholder
from limen.feature import Feature
from limen.features.accounts.service import AccountService
from limen.features.magic_links.routes import routes
from limen.features.magic_links.service import MagicLinkService
from limen.features.mail.service import MailService
from limen.kernel import Kernel
from limen.settings import PagePath, load


class MagicLinkSettings(BaseSettings):
    """`LIMEN_MAGIC_LINKS_…`: how long a link is good, who gets one, and where it leads to."""

    model_config = SettingsConfigDict(env_prefix="LIMEN_MAGIC_LINKS_", env_file=".env", extra="ignore", frozen=True)

    minutes: float = Field(default=10, gt=0, le=1440, description="how long a link or code is good")
    sign_up: bool = Field(default=False, description="whether an address without an account gets a link and an account")
    page: PagePath | None = Field(
        default=None, description="path of your own page for the link, such as `/welcome`; without it, limen's"
    )
    next: PagePath = Field(default="/", description="path that limen's page leads to after the sign-in")


class MagicLinks(MagicLinkService, Feature):
    """Sign-in by a link or a code in a mail, without a password.

    Args:
        sign_up: instead of the setting: whether an address without an account gets a link, and an account by it.
    """

    name = "magic_links"
    requires = ("accounts", "mail")
    settings: ClassVar[type[BaseSettings]] = MagicLinkSettings

    def __init__(self, *, sign_up: bool | None = None) -> None:
        self._given_sign_up = sign_up

    def bind(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.accounts = kernel.service(AccountService)
        self.mail = kernel.service(MailService)
        settings = load(MagicLinkSettings)
        self.lifetime = timedelta(minutes=settings.minutes)
        self.signs_up = settings.sign_up if self._given_sign_up is None else self._given_sign_up
        self._has_own_page, self._next = settings.page is None, settings.next
        self.page = settings.page or f"{kernel.auth_prefix}/magic-link/verify"

    async def has_way_in(self, connection: AsyncConnection, user_id: object) -> bool:
        """Whoever has an address that mail reaches can ask for a link."""
        address = await self.kernel.users.address_within(connection, user_id)
        return address is not None and not is_placeholder(address)

    def routes(self) -> Sequence[APIRouter]:
        return routes(self, own_page=self._has_own_page, next_path=self._next)
