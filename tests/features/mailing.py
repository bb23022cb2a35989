"""An app that sends mail, and its mailbox."""

from typing import Any

from tests.features.mini_app import MiniApp, features_of

from limen import ApiKeys, Feature
from limen.features import EmailVerification, Mail, PasswordReset
from limen.testing import Outbox, outbox


def mailing_features(*more: Feature, **accounts: Any) -> tuple[Feature, ...]:
    """limen's features with everything that mail brings."""
    return features_of(ApiKeys(), Mail(), PasswordReset(), EmailVerification(), *more, **accounts)


async def open_mailing(
    opened: Any, *more: Feature, verification: str = "off", **options: Any
) -> tuple[MiniApp, Outbox]:
    """The app with these settings, and what it posts."""
    settings = {"email_verification": verification, **options.pop("settings", {})}
    features = mailing_features(*more, **options.pop("accounts", {}))
    mini = await opened(features=features, settings=settings, **options)
    return mini, outbox(mini.auth)
