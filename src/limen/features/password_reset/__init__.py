"""Password reset: a forgotten password is replaced by whoever reads the account's mail."""

from limen.features.password_reset.feature import PasswordReset

__all__ = ["PasswordReset"]
