"""Accounts: register, see and change oneself."""

from limen.features.accounts.feature import Accounts

__all__ = ["Accounts"]
