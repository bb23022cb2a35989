"""Declares the feature `roles`."""

from collections.abc import Sequence

from fastapi import APIRouter

from limen.core.policy import Policy
from limen.feature import Feature
from limen.features.roles.routes import ASSIGN, routes
from limen.features.roles.service import RoleService


class Roles(RoleService, Feature):
    """Roles and direct permissions of users, felt on live credentials within the revocation promise."""

    name = "roles"

    def routes(self) -> Sequence[APIRouter]:
        return (routes(self),)

    def policies(self) -> Sequence[Policy]:
        return (ASSIGN,)
