"""`Verifier`: another service verifies an issuer's tokens with no database, no user table and no secret."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from typing import Self

from fastapi import APIRouter, FastAPI

from limen.core.clock import Clock, SystemClock
from limen.core.discovery import is_exposed
from limen.core.revocations import Revocations
from limen.core.rules import PolicyLike, as_policy, authenticated
from limen.errors import ConfigurationError
from limen.features.trusted_issuers.scheme import TrustedIssuerBearer
from limen.features.trusted_issuers.service import IssuerTokens, TrustedIssuer
from limen.feed.follower import FeedFollower
from limen.feed.redis import LOOK_SECONDS, RedisFeed
from limen.http.authenticate import Authenticator
from limen.http.guarded_route import GuardedRoute
from limen.http.guards import PrincipalGuard
from limen.http.installation import install_guards, settle
from limen.http.origin import OriginCheck

_log = logging.getLogger("limen.trusted_issuers")


class Verifier:
    """Guards the routes of a service that only verifies tokens: `Verifier("https://id.example.com/auth")`.

    It fetches the issuer's public keys and keeps them fresh; a request in steady state does no I/O. A token is good
    until it expires, or with `redis_url` until the issuer takes it back.

    Args:
        issuer: whose tokens; a `TrustedIssuer` says more about them.
        audience: what `aud` must name; the issuer itself by default, as limen's own tokens say.
        jwks_url: where the keys are, instead of what the issuer's metadata says.
        redis_url: the Redis or Valkey to which the issuer publishes its revocations.
        revocation_deaf_seconds: for how long that may be silent before every credential is answered with 503.
        clock_leeway_seconds: by how much the issuer's clock and ours may differ.
        clock: a test's own time.

    Attributes:
        current_principal: dependency: who the credential proves.

    Raises:
        ConfigurationError: the set-up cannot work; one sentence names the setting and the cure.
    """

    route_class = GuardedRoute

    def __init__(
        self,
        issuer: str | TrustedIssuer,
        *,
        audience: str | None = None,
        jwks_url: str | None = None,
        redis_url: str | None = None,
        revocation_deaf_seconds: float = 30,
        clock_leeway_seconds: int = 5,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self.trusted = _trusted(issuer, audience=audience, jwks_url=jwks_url)
        self._issuer = IssuerTokens(self.trusted, clock=self._clock, leeway=clock_leeway_seconds)
        deaf_after = inf if redis_url is None else revocation_deaf_seconds
        self.revocations = Revocations(deaf_after=deaf_after, issuer=self.trusted.issuer)
        self.revocations.subscribe(self._issuer.keys.hear)
        self._follower: FeedFollower | None = None
        look_seconds = min(LOOK_SECONDS, revocation_deaf_seconds / 3)
        if redis_url is not None:
            feed = RedisFeed(redis_url, self.trusted.issuer, clock=self._clock, look_seconds=look_seconds)
            self._follower = FeedFollower(feed, revocations=self.revocations, clock=self._clock)
        self.authenticator = Authenticator(
            revocations=self.revocations,
            clock=self._clock,
            origin=OriginCheck(self.trusted.issuer, trusted_origins=()),
            stale_after=inf if redis_url is None else 2 * look_seconds,
            keep_up=self._keep_up,
        )
        self.authenticator.arrange([TrustedIssuerBearer([self._issuer])], cookie_name="")
        self.current_principal: PrincipalGuard = self.require(authenticated())

    def require(self, policy: PolicyLike) -> PrincipalGuard:
        """A dependency that lets in whom the policy allows: `Depends(verifier.require("items:write"))`.

        Raises:
            ConfigurationError: it is not a policy.
        """
        return PrincipalGuard(self.authenticator, self._clock, as_policy(policy))

    def install(self, app: FastAPI) -> None:
        """Add error answers, OpenAPI and lifespan to the app; call it once.

        Raises:
            ConfigurationError: called twice.
        """
        if self.authenticator.is_installed:
            raise ConfigurationError("verifier.install(app) was called twice: once, after app = FastAPI(), is enough")
        app.include_router(APIRouter(lifespan=self._lifespan))
        install_guards(app, self.authenticator)

    async def start(self) -> None:
        """Take in what was revoked, begin to follow that and to fetch the keys.

        `install` does this by the app's lifespan. An issuer or a Redis that does not answer does not keep the app from
        starting: until they do, credentials are answered with 503.
        """
        if is_exposed(self.trusted.keys_from):
            _log.warning("%s is fetched by plain http: use https", self.trusted.keys_from)
        await self._issuer.keys.start()
        if self._follower is not None:
            await self._follower.start()

    async def stop(self) -> None:
        """End what `start` began."""
        if self._follower is not None:
            await self._follower.stop()
        await self._issuer.keys.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        settle(app, self.authenticator)
        async with self:
            yield

    async def _keep_up(self) -> None:
        if self._follower is not None:
            await self._follower.keep_up()


def _trusted(issuer: str | TrustedIssuer, *, audience: str | None, jwks_url: str | None) -> TrustedIssuer:
    if isinstance(issuer, str):
        return TrustedIssuer(issuer, audience=audience, jwks_url=jwks_url)
    if audience is not None or jwks_url is not None:
        raise ConfigurationError("Verifier(TrustedIssuer(…)): give audience and jwks_url to the TrustedIssuer")
    return issuer
