"""Bearer tokens of other issuers, verified by the keys that these publish (RFC 9068, RFC 8414).

Loads on first use: a verifier needs the service without the feature, which brings the database along.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limen.features.trusted_issuers.feature import TrustedIssuers
    from limen.features.trusted_issuers.service import TrustedIssuer

__all__ = ["TrustedIssuer", "TrustedIssuers"]

_FILES = {"TrustedIssuer": "service", "TrustedIssuers": "feature"}


def __getattr__(name: str) -> object:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
    globals()[name] = value
    return value
