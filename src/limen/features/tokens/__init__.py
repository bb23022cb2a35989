"""JWT access tokens and rotating refresh tokens (RFC 9068, RFC 9700)."""

from limen.features.tokens.feature import Tokens

__all__ = ["Tokens"]
