"""Declares the feature `sessions`."""

from collections.abc import Sequence

from fastapi import APIRouter

from limen.core.policy import Policy
from limen.feature import Feature
from limen.features.sessions.routes import OWNER, routes
from limen.features.sessions.service import SessionService


class Sessions(SessionService, Feature):
    """What a person is signed in on: a list, and an end to any of it that every worker feels."""

    name = "sessions"

    def routes(self) -> Sequence[APIRouter]:
        return routes(self)

    def policies(self) -> Sequence[Policy]:
        return (OWNER,)
