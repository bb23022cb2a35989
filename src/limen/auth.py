"""`Auth`: composes features into one checked, frozen object, and installs it on an app."""

import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Generic, Literal, Self, TypeVar, cast

from fastapi import FastAPI
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncEngine
from typing_extensions import TypeVar as TypeVarWithDefault

from limen.authorization import Authorization
from limen.composition import build_kernel
from limen.core.clock import Clock, SystemClock
from limen.core.object_rules import ObjectRules
from limen.core.principal import Principal
from limen.core.roles import Role
from limen.core.rules import authenticated
from limen.db.accounts import UserStore
from limen.db.database import Database
from limen.db.users import User, UserMixin
from limen.errors import ConfigurationError
from limen.events import Listener
from limen.feature import Feature
from limen.features.trusted_issuers.service import TrustedIssuer
from limen.http.explain import Explainer
from limen.http.guarded_route import GuardedRoute
from limen.http.guards import OptionalUserGuard, PrincipalGuard, UserGuard
from limen.http.installation import include_apart, install_guards, settle
from limen.http.inventory import check_unique
from limen.http.route_map import Declared, MappedRoute, check_all_decided, route_map
from limen.http.routing import WELL_KNOWN, LimenRouter
from limen.settings import AuthSettings
from limen.verifier import Verifier

_log = logging.getLogger("limen")

U = TypeVarWithDefault("U", bound=UserMixin, default=User, covariant=True)  # an Auth[Member] is an Auth[UserMixin]
F = TypeVar("F", bound=Feature)


class Auth(Authorization, Generic[U]):
    """Authentication and authorization of one app: `Auth()` is enough to begin with.

    Args:
        user: the app's own `class User(UserMixin, Base)`; limen's `User` otherwise.
        engine: the app's own engine; one for `LIMEN_DATABASE_URL` otherwise.
        roles: named bundles of permissions.
        permissions: a sentence for each permission that OpenAPI should explain.
        features: instead of limen's default ones, which `default_features()` lists.
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
        self.object_rules = ObjectRules(self._clock)
        self._app: FastAPI | None = None
        self._own_endpoints: tuple[object, ...] = ()
        self._must_decide_all = False
        guard_of = self.kernel.authenticator, self._clock, self._load
        self.current_user: UserGuard[U] = UserGuard(*guard_of)
        self.optional_user: OptionalUserGuard[U] = OptionalUserGuard(*guard_of)
        self.current_principal: PrincipalGuard = self.require(authenticated())

    def install(self, app: FastAPI, *, default: Literal["allow", "deny"] = "allow") -> None:
        """Add limen's routes, error answers, OpenAPI and lifespan to the app; call it once.

        From then on `app.state.limen` is this `Auth`.

        Args:
            default: what becomes of a route that is neither guarded nor marked `@auth.public`: it is open, or with
                `deny` the app does not start; routes that are added later are looked at when the app starts.

        Raises:
            ConfigurationError: called twice, a route of the app's is in the way, or one is undecided.
        """
        router = LimenRouter(lifespan=self._lifespan)
        router.prefixes = (self.kernel.auth_prefix, self.kernel.users_prefix, WELL_KNOWN)
        include_apart(app, router, self.kernel.authenticator.causes)
        parts = [part for feature in self.features.values() for part in feature.routes()]
        for part in parts:  # now, not before: FastAPI builds each route once more to include a router that has some
            router.include_router(part)
        self._own_endpoints = tuple(getattr(route, "endpoint", None) for part in parts for route in part.routes)
        self._app = app
        app.state.limen = self
        self._must_decide_all = default == "deny"
        self._check_routes(app)
        install_guards(app, self.kernel.authenticator)

    def __getitem__(self, feature: type[F]) -> F:
        """The feature of this class: its own Python API, in and outside requests.

        Raises:
            MissingFeature: it is not part of this `Auth`.
        """
        return self.kernel.service(feature)

    def routes(self) -> tuple[MappedRoute, ...]:
        """The route map: every HTTP and WebSocket route of the app, mounted apps included, and who comes in.

        Raises:
            ConfigurationError: there is no app: `install` was not called.
        """
        if self._app is None:
            raise ConfigurationError("auth.install(app) was not called: call it once, after app = FastAPI()")
        return route_map(self._app, self.kernel.authenticator.schemes, own=self._own_endpoints)

    @property
    def app(self) -> FastAPI | None:
        """The app that it was installed on."""
        return self._app

    def explainer(self) -> Explainer:
        """Says why somebody would come in at a route of the app, or would not.

        Raises:
            ConfigurationError: there is no app: `install` was not called.
        """
        routes = self.routes()
        assert self._app is not None, "there are routes"
        memo = self.kernel.authenticator.memo
        return Explainer(self._app, routes, rules=self.object_rules, clock=self._clock, memo=memo)

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
        await self.kernel.database.leave()
        if self._owns_engine:
            await self.kernel.database.engine.dispose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        for declared in self._check_routes(app):
            for guard, _ in declared.object_guards:
                guard.check_rules()
        settle(app, self.kernel.authenticator)
        async with self:
            yield

    def _check_routes(self, app: FastAPI) -> Iterator[Declared]:
        check_unique(app)
        routes = self.routes()
        found = [route.declared for route in routes if route.declared is not None]
        for guard, policy in (pair for declared in found for pair in declared.guards):
            if guard.authenticator is self.kernel.authenticator:  # with what `Security(…, scopes=[…])` adds
                self.kernel.vocabulary.check(policy)
        if self._must_decide_all:
            check_all_decided(routes)
        return iter(found)

    def _check_features(self) -> None:
        for finding in (finding for feature in self.features.values() for finding in feature.checks()):
            if finding.severity == "error":
                raise ConfigurationError(f"{finding.id}: {finding.sentence}")
            level = logging.WARNING if finding.severity == "warning" else logging.INFO
            _log.log(level, "%s: %s", finding.id, finding.sentence)

    async def _load(self, principal: Principal) -> U | None:
        users = cast("UserStore[U]", self.kernel.users)
        return None if principal.user_id is None else await users.load(principal.user_id)


def default_features() -> tuple[Feature, ...]:
    """What `Auth()` is made of."""
    from limen.features.accounts import Accounts
    from limen.features.api_keys import ApiKeys
    from limen.features.audit import Audit
    from limen.features.email_verification import EmailVerification
    from limen.features.limits import Limits
    from limen.features.mail import Mail
    from limen.features.password_reset import PasswordReset
    from limen.features.passwords import Passwords
    from limen.features.roles import Roles
    from limen.features.services import Services
    from limen.features.sessions import Sessions
    from limen.features.tokens import Tokens

    return (
        Passwords(),
        Tokens(),
        Sessions(),
        ApiKeys(),
        Services(),
        Accounts(),
        Roles(),
        Limits(),
        Mail(),
        PasswordReset(),
        EmailVerification(),
        Audit(),
    )


def _gathered(features: Sequence[Feature | TrustedIssuer]) -> Sequence[Feature]:
    """The features, with those issuers that are given by themselves made into one."""
    trusted = [each for each in features if isinstance(each, TrustedIssuer)]
    others = [each for each in features if not isinstance(each, TrustedIssuer)]
    if not trusted:
        return others
    from limen.features.trusted_issuers.feature import TrustedIssuers

    return (*others, TrustedIssuers(trusted))
