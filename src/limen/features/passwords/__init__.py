"""Sign-in with e-mail or username and a password."""

from limen.features.passwords.feature import Passwords, PasswordSettings

__all__ = ["PasswordSettings", "Passwords"]
