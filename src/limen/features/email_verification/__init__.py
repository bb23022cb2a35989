"""E-mail verification: addresses are proved by mail, at registration and when they change."""

from limen.features.email_verification.feature import EmailVerification

__all__ = ["EmailVerification"]
