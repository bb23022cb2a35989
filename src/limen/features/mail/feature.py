"""Declares the feature `mail`."""

from collections.abc import Sequence
from datetime import timedelta
from email.headerregistry import Address
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Table

from limen.core.sealing import Sealer
from limen.db.tables import Tables
from limen.errors import ConfigurationError
from limen.feature import Feature, Finding
from limen.features.mail.delivery import Delivery
from limen.features.mail.mailers import ConsoleMailer, Mailer, SmtpMailer, SmtpServer
from limen.features.mail.message import sender_address
from limen.features.mail.service import MailService
from limen.features.mail.store import OutboxStore
from limen.features.mail.tables import outbox_table
from limen.features.mail.wording import Wording
from limen.kernel import Kernel
from limen.settings import load


class MailSettings(BaseSettings):
    """`LIMEN_SMTP_URL` and `LIMEN_MAIL_…`: where letters go out, whose they are, what they look like."""

    model_config = SettingsConfigDict(env_prefix="LIMEN_", env_file=".env", extra="ignore", frozen=True)

    smtp_url: SecretStr | None = Field(
        default=None, description="`smtp://user:pass@host:port` or `smtps://…`; without it, mail is printed"
    )
    mail_from: str | None = Field(
        default=None,
        description="`Example <no-reply@example.com>`; without it, `no-reply@` the base URL's host",
    )
    mail_app_name: str | None = Field(
        default=None, max_length=64, description="what letters call the app; without it, the host of the base URL"
    )
    mail_templates: Path | None = Field(default=None, description="folder whose templates go before limen's own")
    mail_notices: bool = Field(default=True, description="whether people are told of what happens to their account")
    mail_give_up_hours: float = Field(default=48, gt=0, le=120, description="how old a letter that cannot be sent gets")


class Mail(MailService, Feature):
    """Letters to the people of the app: they leave after the commit, from an outbox that a crash does not empty.

    Args:
        mailer: instead of `LIMEN_SMTP_URL`: whatever takes messages to their readers.
        sender: instead of the setting: `Example <no-reply@example.com>`.
        app_name: instead of the setting: what letters call the app.
        templates: instead of the setting: the folder whose templates go before limen's own.
        notices: instead of the setting: whether people are told of what happens to their account.
    """

    name = "mail"
    settings: ClassVar[type[BaseSettings]] = MailSettings

    def __init__(
        self,
        *,
        mailer: Mailer | None = None,
        sender: str | None = None,
        app_name: str | None = None,
        templates: str | Path | None = None,
        notices: bool | None = None,
    ) -> None:
        self._mailer = mailer
        self._sender = sender
        self._app_name = app_name
        self._templates = templates
        self._notices = notices

    def bind(self, kernel: Kernel) -> None:
        self.kernel = kernel
        settings = load(MailSettings)
        host = urlsplit(kernel.settings.base_url).hostname or "localhost"
        self.sender = _sender(self._sender or settings.mail_from or f"no-reply@{_domain(host)}")
        folder = self._templates or settings.mail_templates
        self.wording = Wording(
            folder=None if folder is None else _folder(Path(folder)),
            app_name=self._app_name or settings.mail_app_name or host.removeprefix("www."),
            base_url=kernel.settings.base_url,
        )
        self.give_up_after = timedelta(hours=settings.mail_give_up_hours)
        self.sealer = Sealer(kernel.derived_keys("mail outbox"))
        self.store = OutboxStore(kernel.database, outbox_table(kernel.tables))
        self.delivery = Delivery(
            self.store,
            sealer=self.sealer,
            wording=self.wording,
            clock=kernel.clock,
            mailer=self._mailer or _mailer(settings, self.sender),
            sender=self.sender,
        )
        kernel.follower.purge_by(self.purge)

    def tables(self, kernel_tables: Tables) -> Sequence[Table]:
        return (outbox_table(kernel_tables),)

    def checks(self) -> Sequence[Finding]:
        return ()

    async def start(self) -> None:
        await self.delivery.start()

    async def stop(self) -> None:
        await self.delivery.stop()


def _mailer(settings: MailSettings, sender: Address) -> Mailer:
    if settings.smtp_url is None:
        return ConsoleMailer()
    try:
        server = SmtpServer.parse(settings.smtp_url.get_secret_value())
    except ValueError as error:
        raise ConfigurationError(f"LIMEN_SMTP_URL: {error}") from None
    if find_spec("aiosmtplib") is None:
        raise ConfigurationError("LIMEN_SMTP_URL is set and aiosmtplib is not installed: pip install 'limen[email]'")
    return SmtpMailer(server, local_hostname=sender.domain)


def _sender(text: str) -> Address:
    try:
        return sender_address(text)
    except ValueError as error:
        raise ConfigurationError(f"LIMEN_MAIL_FROM: {error}") from None


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise ConfigurationError(f"LIMEN_MAIL_TEMPLATES: there is no folder {path}")
    return path


def _domain(host: str) -> str:
    """What can stand behind the `@`: an address of the network cannot."""
    try:
        ip_address(host)
    except ValueError:
        return host
    return "localhost"
