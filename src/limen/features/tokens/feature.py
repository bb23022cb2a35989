"""Declares the feature `tokens`."""

from collections.abc import Sequence

from fastapi import APIRouter

from limen.core.client import Client
from limen.core.jwt import Expected, sign
from limen.core.login import Completed, Grant, Issuer, Proof
from limen.core.opaque import RefreshTokens
from limen.core.policy import Policy
from limen.feature import Feature
from limen.features.tokens.routes import INTROSPECT, RefreshGrant, routes
from limen.features.tokens.scheme import BearerTokens
from limen.features.tokens.service import CARRIER, TokenService
from limen.http.scheme import Scheme
from limen.kernel import Kernel


class Tokens(TokenService, Feature):
    """JWT access tokens that need no look-up and rotating refresh tokens that survive tabs and retries.

    The pair is handed out by `/auth/login` and `/auth/token`; the same verbs are here for workers and scripts.
    """

    name = "tokens"

    def bind(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.authenticator = kernel.authenticator
        self.refresh_tokens = RefreshTokens(kernel.derived_keys("refresh token"))

    def schemes(self) -> Sequence[Scheme]:
        kernel = self.kernel
        expected = Expected(
            issuer=kernel.settings.issuer,
            audience=kernel.settings.expected_audience,
            leeway=kernel.settings.clock_leeway_seconds,
        )
        token_url = f"{kernel.auth_prefix.lstrip('/')}/token"
        tokens = BearerTokens(
            kernel.keys,
            expected,
            lifetime=kernel.settings.access_token_expire_minutes * 60,
            clock=kernel.clock,
            token_url=token_url,
            scopes=kernel.scopes,
        )
        return (tokens,)

    def issuers(self) -> Sequence[Issuer]:
        return (_TokenIssuer(self),)

    def grants(self) -> Sequence[Grant]:
        return (RefreshGrant(self),)

    def routes(self) -> Sequence[APIRouter]:
        return routes(self)

    def policies(self) -> Sequence[Policy]:
        return (INTROSPECT,)

    async def start(self) -> None:
        """Sign once for nobody, so that the first sign-in does not wait for the JOSE library to load."""
        sign({}, key=await self.kernel.keys.signing_key(), typ="nothing")


class _TokenIssuer:
    name = CARRIER

    def __init__(self, service: TokenService) -> None:
        self._service = service

    async def issue(self, proof: Proof, client: Client) -> Completed:
        return await self._service.issue(proof, client)
