"""Declares the feature `roles`."""

from limen.feature import Feature
from limen.features.roles.service import RoleService


class Roles(RoleService, Feature):
    """Roles and direct permissions of users, felt on live credentials within the revocation promise."""

    name = "roles"
