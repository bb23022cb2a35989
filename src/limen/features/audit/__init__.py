"""The record of who did what, when, from where and how; tampering shows."""

from limen.features.audit.feature import Audit

__all__ = ["Audit"]
