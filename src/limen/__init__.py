"""limen: authentication and authorization for FastAPI, complete and in-process.

Everything public is named here and loads on first use, so that `import limen` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limen.auth import Auth
    from limen.core.policy import Policy, permission
    from limen.core.principal import Principal
    from limen.core.roles import Role
    from limen.core.rules import authenticated, fresh, method, role, rule
    from limen.core.shadow import shadow
    from limen.db.users import User, UserMixin
    from limen.errors import AuthError, ConfigurationError
    from limen.events import Event
    from limen.feature import Feature
    from limen.features.accounts import Accounts
    from limen.features.api_keys import ApiKeys
    from limen.features.magic_links import MagicLinks
    from limen.features.oauth_login import OAuthLogin
    from limen.features.passwords import Passwords
    from limen.features.roles import Roles
    from limen.features.services import Services
    from limen.features.sessions import Sessions
    from limen.features.supabase import Supabase
    from limen.features.tokens import Tokens
    from limen.features.trusted_issuers.service import TrustedIssuer
    from limen.settings import AuthSettings
    from limen.verifier import Verifier

__version__ = "0.1.0"

__all__ = [
    "Accounts",
    "ApiKeys",
    "Auth",
    "AuthError",
    "AuthSettings",
    "ConfigurationError",
    "Event",
    "Feature",
    "MagicLinks",
    "OAuthLogin",
    "Passwords",
    "Policy",
    "Principal",
    "Role",
    "Roles",
    "Services",
    "Sessions",
    "Supabase",
    "Tokens",
    "TrustedIssuer",
    "User",
    "UserMixin",
    "Verifier",
    "authenticated",
    "fresh",
    "method",
    "permission",
    "role",
    "rule",
    "shadow",
]

_ROOMS = {
    "Accounts": "limen.features.accounts",
    "ApiKeys": "limen.features.api_keys",
    "Auth": "limen.auth",
    "AuthError": "limen.errors",
    "AuthSettings": "limen.settings",
    "ConfigurationError": "limen.errors",
    "Event": "limen.events",
    "Feature": "limen.feature",
    "MagicLinks": "limen.features.magic_links",
    "OAuthLogin": "limen.features.oauth_login",
    "Passwords": "limen.features.passwords",
    "Policy": "limen.core.policy",
    "Principal": "limen.core.principal",
    "Role": "limen.core.roles",
    "Roles": "limen.features.roles",
    "Services": "limen.features.services",
    "Sessions": "limen.features.sessions",
    "Supabase": "limen.features.supabase",
    "Tokens": "limen.features.tokens",
    "TrustedIssuer": "limen.features.trusted_issuers.service",
    "User": "limen.db.users",
    "UserMixin": "limen.db.users",
    "Verifier": "limen.verifier",
    "authenticated": "limen.core.rules",
    "fresh": "limen.core.rules",
    "method": "limen.core.rules",
    "permission": "limen.core.policy",
    "role": "limen.core.rules",
    "rule": "limen.core.rules",
    "shadow": "limen.core.shadow",
}


def __getattr__(name: str) -> object:
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module 'limen' has no attribute {name!r}")
    value: object = getattr(import_module(room), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
