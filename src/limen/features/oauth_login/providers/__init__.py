"""The providers: presets for those that need no issuer, and any other by its issuer."""

from limen.features.oauth_login.providers.presets import (
    PRESETS,
    Apple,
    Discord,
    Facebook,
    GitHub,
    GitLab,
    Google,
    LinkedIn,
    Microsoft,
    OpenIDProvider,
    Slack,
    X,
)
from limen.features.oauth_login.providers.provider import Claims, ClientKey, Endpoints, Person, Provider

__all__ = [
    "PRESETS",
    "Apple",
    "Claims",
    "ClientKey",
    "Discord",
    "Endpoints",
    "Facebook",
    "GitHub",
    "GitLab",
    "Google",
    "LinkedIn",
    "Microsoft",
    "OpenIDProvider",
    "Person",
    "Provider",
    "Slack",
    "X",
]
