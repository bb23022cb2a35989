"""Sign-in with an account elsewhere: any OpenID Connect provider, and presets for ten (RFC 6749, OpenID Connect)."""

from limen.features.oauth_login.feature import OAuthLogin, OAuthLoginSettings
from limen.features.oauth_login.providers import (
    Apple,
    Discord,
    Facebook,
    GitHub,
    GitLab,
    Google,
    LinkedIn,
    Microsoft,
    OpenIDProvider,
    Person,
    Provider,
    Slack,
    X,
)

__all__ = [
    "Apple",
    "Discord",
    "Facebook",
    "GitHub",
    "GitLab",
    "Google",
    "LinkedIn",
    "Microsoft",
    "OAuthLogin",
    "OAuthLoginSettings",
    "OpenIDProvider",
    "Person",
    "Provider",
    "Slack",
    "X",
]
