"""`Auth`: composes features into one checked, frozen object, and installs it on an app."""

import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Generic, Self, TypeVar, cast

from fastapi import FastAPI
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncEngine
from typing_extensions import TypeVar as TypeVarWithDefault

from limen.composition import build_kernel
from limen.core.clock import Clock, SystemClock
from limen.core.principal import Principal
from limen.core.roles import Role
from limen.core.rules import PolicyLike, as_policy, authenticated
from limen.db.accounts import UserStore
from limen.db.database import Database
from limen.db.users import User, UserMixin
from limen.errors import ConfigurationError
from limen.events import Listener
from limen.feature import Feature
from limen.features.trusted_issuers.service import TrustedIssuer
from limen.http.guarded_route import GuardedRoute
from limen.http.guards import OptionalUserGuard, PrincipalGuard, UserGuard
from limen.http.installation import install_guards
from limen.http.inventory import check_unique
from limen.http.routing import WELL_KNOWN, LimenRouter
from limen.settings import AuthSettings
from limen.verifier import Verifier

_log = logging.getLogger("limen")

U = TypeVarWithDefault("U", bound=UserMixin, default=User)
F = TypeVar("F", bound=Feature)


class Auth(Generic[U]):
    """Authentication and authorization of one app: `Auth()` is enough to begin with.

    Args:
        user: the app's own `class User(UserMixin, Base)`; limen's `User` otherwise.
        engine: the app's own engine; one for `LIMEN_DATABASE_URL` otherwise.
        roles: named bundles of permissions.
        permissions: a sentence for each permission that OpenAPI should explain.
        features: instead of passwords, tokens, sessions, API keys, accounts and roles.
        settings: instead of the environment and `.env`.
        listeners: hear every event.
        auth_prefix: where the routes of sign-in are.
        users_prefix: where the routes of accounts are.
        clock: a test's own time.

    Attributes:
        current_user: dependency: the signed-in user's row.
        optional_user: dependency: the same, or None for a request that presents nothing.
        current_principal: dependency: who the credential proves, without a look at the database.

    Raises:
        ConfigurationError: the set-up cannot work; one sentence names the setting and the cure.
    """

    route_class = GuardedRoute
    verifier = Verifier  # for a service that only verifies: `Auth.verifier("https://id.example.com/auth", …)`

    def __init__(
        self,
        *,
        user: type[U] | None = None,
        engine: AsyncEngine | None = None,
        roles: Iterable[Role] = (),
        permissions: Mapping[str, str] = MappingProxyType({}),
        features: Sequence[Feature | TrustedIssuer] | None = None,
        settings: AuthSettings | None = None,
        listeners: Iterable[Listener] = (),
        auth_prefix: str = "/auth",
        users_prefix: str = "/users",
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings or AuthSettings.load()
        self._clock = clock or SystemClock()
        self._owns_engine = engine is None
        self.kernel, self.features = build_kernel(
            user or User,
            database=Database.of_url(self.settings.database_url) if engine is None else Database(engine),
            settings=self.settings,
            clock=self._clock,
            roles=roles,
            permissions=permissions,
            features=default_features() if features is None else _gathered(features),
            listeners=listeners,
            prefixes=(auth_prefix, users_prefix),
        )
        guard_of = self.kernel.authenticator, self._clock, self._load
        self.current_user: UserGuard[U] = UserGuard(*guard_of)
        self.optional_user: OptionalUserGuard[U] = OptionalUserGuard(*guard_of)
        self.current_principal: PrincipalGuard = self.require(authenticated())

    def require(self, policy: PolicyLike) -> PrincipalGuard:
        """A dependency that lets in whom the policy allows: `Depends(auth.require("items:write"))`.

        Args:
            policy: a permission, a policy such as `role("admin") & fresh(minutes=10)`, or a function of the principal.

        Raises:
            ConfigurationError: it is none of these.
        """
        return PrincipalGuard(self.kernel.authenticator, self._clock, as_policy(policy))

    def install(self, app: FastAPI) -> None:
        """Add limen's routes, error answers, OpenAPI and lifespan to the app; call it once.

        Raises:
            ConfigurationError: called twice, or a route of the app's is in the way.
        """
        router = LimenRouter(lifespan=self._lifespan)
        for feature in self.features.values():
            for part in feature.routes():
                router.include_router(part)
        router.prefixes = (self.kernel.auth_prefix, self.kernel.users_prefix, WELL_KNOWN)
        app.include_router(router)
        check_unique(app)
        install_guards(app, self.kernel.authenticator, connections=self.kernel.open_connections)

    def __getitem__(self, feature: type[F]) -> F:
        """The feature of this class: its own Python API, in and outside requests.

        Raises:
            LookupError: it is not part of this `Auth`.
        """
        return self.kernel.service(feature)

    def tables(self) -> tuple[Table, ...]:
        """Every table that this `Auth` stands on, the user's first; all are in the user model's metadata."""
        tables = self.kernel.tables
        own = (table for feature in self.features.values() for table in feature.tables(tables))
        return (*tables.all(), *own)

    async def start(self) -> None:
        """Check the database and the features, load the keys and what was revoked, begin to follow both.

        `install` does this by the app's lifespan; a script or worker uses `async with auth:`.

        Raises:
            ConfigurationError: the database cannot be reached or is not migrated, or a feature's check failed.
        """
        self._check_features()
        await self.kernel.database.check(self.tables())
        await self.kernel.keys.start()
        await self.kernel.follower.start()
        for feature in self.features.values():
            await feature.start()

    async def stop(self) -> None:
        """End what `start` began and close limen's own engine."""
        for feature in reversed(tuple(self.features.values())):
            await feature.stop()
        await self.kernel.follower.stop()
        await self.kernel.keys.stop()
        if self._owns_engine:
            await self.kernel.database.dispose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        check_unique(app)
        async with self:
            yield

    def _check_features(self) -> None:
        for finding in (finding for feature in self.features.values() for finding in feature.checks()):
            if finding.id.startswith("limen.E"):
                raise ConfigurationError(f"{finding.id}: {finding.sentence}")
            _log.warning("%s: %s", finding.id, finding.sentence)

    async def _load(self, principal: Principal) -> U | None:
        if principal.issuer != self.settings.issuer:  # its `sub` is somebody else's name for somebody else
            return None
        users = cast("UserStore[U]", self.kernel.users)
        return await users.load(principal.subject)


def default_features() -> tuple[Feature, ...]:
    """What `Auth()` is made of."""
    from limen.features.accounts import Accounts
    from limen.features.api_keys import ApiKeys
    from limen.features.passwords import Passwords
    from limen.features.roles import Roles
    from limen.features.sessions import Sessions
    from limen.features.tokens import Tokens

    return (Passwords(), Tokens(), Sessions(), ApiKeys(), Accounts(), Roles())


def _gathered(features: Sequence[Feature | TrustedIssuer]) -> Sequence[Feature]:
    """The features, with those issuers that are given by themselves made into one."""
    trusted = [each for each in features if isinstance(each, TrustedIssuer)]
    others = [each for each in features if not isinstance(each, TrustedIssuer)]
    if not trusted:
        return others
    from limen.features.trusted_issuers.feature import TrustedIssuers

    return (*others, TrustedIssuers(trusted))
