"""API keys: how machines sign in with one header."""

from limen.features.api_keys.feature import ApiKeys

__all__ = ["ApiKeys"]
