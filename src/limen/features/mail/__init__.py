"""Mail: letters leave after the commit, from an outbox, and a crash loses none."""

from limen.features.mail.feature import Mail, MailSettings
from limen.features.mail.mailers import Mailer, Undeliverable
from limen.features.mail.service import NOBODY, Letter

__all__ = ["NOBODY", "Letter", "Mail", "MailSettings", "Mailer", "Undeliverable"]
