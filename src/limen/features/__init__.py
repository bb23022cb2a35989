"""One folder per capability. The same file names in each; a missing file is a missing capability.

Every feature can be imported from here: `from limen.features import Passwords`. Each loads on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limen.features.accounts import Accounts
    from limen.features.api_keys import ApiKeys
    from limen.features.audit import Audit
    from limen.features.email_verification import EmailVerification
    from limen.features.limits import Limits
    from limen.features.magic_links import MagicLinks
    from limen.features.mail import Mail
    from limen.features.oauth_login import OAuthLogin
    from limen.features.password_reset import PasswordReset
    from limen.features.passwords import Passwords
    from limen.features.roles import Roles
    from limen.features.services import Services
    from limen.features.sessions import Sessions
    from limen.features.supabase import Supabase
    from limen.features.tokens import Tokens
    from limen.features.trusted_issuers import TrustedIssuers

__all__ = [
    "Accounts",
    "ApiKeys",
    "Audit",
    "EmailVerification",
    "Limits",
    "MagicLinks",
    "Mail",
    "OAuthLogin",
    "PasswordReset",
    "Passwords",
    "Roles",
    "Services",
    "Sessions",
    "Supabase",
    "Tokens",
    "TrustedIssuers",
]

_FOLDERS = {
    "Accounts": "accounts",
    "ApiKeys": "api_keys",
    "EmailVerification": "email_verification",
    "MagicLinks": "magic_links",
    "PasswordReset": "password_reset",
    "Mail": "mail",
    "Audit": "audit",
    "Limits": "limits",
    "OAuthLogin": "oauth_login",
    "Passwords": "passwords",
    "Roles": "roles",
    "Services": "services",
    "Sessions": "sessions",
    "Supabase": "supabase",
    "Tokens": "tokens",
    "TrustedIssuers": "trusted_issuers",
}


def __getattr__(name: str) -> object:
    if name not in _FOLDERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_FOLDERS[name]}"), name)
    globals()[name] = value
    return value
