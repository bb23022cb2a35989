"""Declares the feature `mail`."""

from collections.abc import Iterator, Sequence
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
from limen.events import Listener
from limen.feature import Feature, Finding
from limen.features.mail.delivery import Delivery
from limen.features.mail.mailers import ConsoleMailer, Mailer, SmtpMailer, SmtpServer
from limen.features.mail.message import sender_address
from limen.features.mail.notices import Notices
from limen.features.mail.samples import samples
from limen.features.mail.service import MailService
from limen.features.mail.store import DeviceStore, OutboxStore
from limen.features.mail.tables import outbox_table
from limen.features.mail.wording import UnusableLetter, Wording
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
        self._tells = settings.mail_notices if self._notices is None else self._notices
        kernel.follower.purge_by("letters", self.purge)

    def tables(self, kernel_tables: Tables) -> Sequence[Table]:
        return (outbox_table(kernel_tables),)

    def listeners(self) -> Sequence[Listener]:
        if not self._tells:
            return ()
        return (Notices(self, DeviceStore(self.kernel.database, self.kernel.tables.sessions)).hear,)

    def checks(self) -> Sequence[Finding]:
        found = [Finding(id="limen.E030", sentence=sentence) for sentence in self._broken_templates()]
        if isinstance(self.delivery.mailer, ConsoleMailer) and self.kernel.settings.is_secure:
            found.append(Finding(id="limen.W030", sentence=_PRINTS_SECRETS))
        return found

    def _broken_templates(self) -> Iterator[str]:
        """What is wrong with the app's own templates, told at start and not by the first letter that needs them."""
        values = samples(self.kernel.settings.base_url)
        for name in self.wording.overridden():
            try:
                self.wording.check(name, values.get(name))
            except UnusableLetter as error:
                yield f"LIMEN_MAIL_TEMPLATES: {error}"

    async def start(self) -> None:
        await self.delivery.start()

    async def stop(self) -> None:
        await self.delivery.stop()


_PRINTS_SECRETS = (
    "LIMEN_SMTP_URL is not set, so letters are printed on stderr, with the links and codes that are in them: "
    "set it, or give Mail(mailer=…)"
)


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
