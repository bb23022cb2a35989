"""Limits on tries: by account and by address, exact over every worker."""

from limen.features.limits.feature import Limits, LimitSettings
from limen.features.limits.steps import Challenge, SiteVerify

__all__ = ["Challenge", "LimitSettings", "Limits", "SiteVerify"]
