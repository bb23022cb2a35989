"""Roles and direct permissions: who holds what."""

from limen.features.roles.feature import Roles

__all__ = ["Roles"]
