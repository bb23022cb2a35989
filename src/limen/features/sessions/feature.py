"""Declares the feature `sessions`."""

from collections.abc import Sequence

from fastapi import APIRouter

from limen.core.client import Client
from limen.core.login import Completed, Issuer, Proof
from limen.core.policy import Policy
from limen.feature import Feature
from limen.features.sessions.routes import OWNER, routes
from limen.features.sessions.scheme import CookieSessions
from limen.features.sessions.service import CARRIER, SessionService
from limen.http.cookies import cookie_name
from limen.http.scheme import Scheme


class Sessions(SessionService, Feature):
    """What a person is signed in on: a list, and an end to any of it that every worker feels."""

    name = "sessions"

    def schemes(self) -> Sequence[Scheme]:
        return (CookieSessions(self, cookie_name=cookie_name(secure=self.kernel.settings.is_secure)),)

    def issuers(self) -> Sequence[Issuer]:
        return (_CookieIssuer(self),)

    def routes(self) -> Sequence[APIRouter]:
        return routes(self)

    def policies(self) -> Sequence[Policy]:
        return (OWNER,)


class _CookieIssuer:
    name = CARRIER

    def __init__(self, service: SessionService) -> None:
        self._service = service

    async def issue(self, proof: Proof, client: Client) -> Completed:
        return await self._service.issue(proof, client)
