"""Service accounts: machines that get tokens for themselves."""

from limen.features.services.feature import Services

__all__ = ["Services"]
