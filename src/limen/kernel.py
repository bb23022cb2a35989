"""The kernel: the rooms that every feature stands on, built once, checked, then left alone."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import HTTPConnection

from limen.core.client import Client
from limen.core.clock import Clock
from limen.core.keys import KeyRing, Keys, SigningKey, derive_key
from limen.core.login import Login
from limen.core.permissions import check_permission
from limen.core.policy import Policy
from limen.core.revocations import Revocations
from limen.core.roles import Role
from limen.db.accounts import UserStore
from limen.db.database import Database
from limen.db.follower import Follower
from limen.db.last_seen import LastSeen
from limen.db.notifications import can_notify, listen
from limen.db.one_time import OneTimeSecrets
from limen.db.revocation_log import RevocationLog
from limen.db.rights import RightsStore
from limen.db.sessions import Lifetimes, SessionStore
from limen.db.tables import Tables, derive_tables
from limen.db.users import UserMixin
from limen.errors import ConfigurationError
from limen.events import Events, Listener
from limen.http.authenticate import Authenticator
from limen.http.client import client_of
from limen.http.cookies import SessionCookie, cookie_name
from limen.http.guards import PrincipalGuard
from limen.http.open_connections import OpenConnections
from limen.http.origin import OriginCheck
from limen.settings import AuthSettings, known_names, warn_of_unknown_names

if TYPE_CHECKING:
    from limen.feature import Feature, Grant

_log = logging.getLogger("limen")

S = TypeVar("S")
T = TypeVar("T")

KEEP_ENDED_SESSIONS = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """The rooms that every feature stands on.

    Attributes:
        roles: declared in code, by name.
        scopes: every permission that can be asked for, with its sentence.
        grants: every feature's, by `grant_type`.
        features: by name, in the order in which they require each other.
        secrets: the root secret's bytes, and those it replaced; ask for `derived_keys`.
        auth_prefix, users_prefix: where limen's routes are mounted.
    """

    settings: AuthSettings
    clock: Clock
    events: Events
    database: Database
    tables: Tables
    users: UserStore[UserMixin]
    rights: RightsStore
    sessions: SessionStore
    one_time: OneTimeSecrets
    revocations: Revocations
    revocation_log: RevocationLog
    follower: Follower
    keys: Keys
    login: Login
    authenticator: Authenticator
    open_connections: OpenConnections
    origin: OriginCheck
    cookie: SessionCookie
    roles: Mapping[str, Role]
    scopes: Mapping[str, str]
    grants: Mapping[str, "Grant"]
    features: Mapping[str, "Feature"]
    secrets: tuple[bytes, ...] = field(repr=False)
    auth_prefix: str
    users_prefix: str

    def service(self, kind: type[S]) -> S:
        """The feature of this class; a slice asks only for what it `requires`.

        Raises:
            LookupError: it is not part of this `Auth`.
        """
        for feature in self.features.values():
            if isinstance(feature, kind):
                return feature
        raise LookupError(f"{kind.__name__} is not among the features of this Auth")

    def require(self, policy: Policy) -> PrincipalGuard:
        """A guard for a route."""
        return PrincipalGuard(self.authenticator, self.clock, policy)

    def client(self, connection: HTTPConnection) -> Client:
        """From where this request came."""
        name = cookie_name(secure=self.cookie.secure)
        return client_of(connection, trusted_proxies=self.settings.trusted_proxies, cookie_name=name)

    def derived_keys(self, purpose: str) -> tuple[bytes, ...]:
        """One key per root secret for this purpose, the present one first; the others only verify."""
        return tuple(derive_key(secret, purpose=purpose) for secret in self.secrets)

    def check_findings(self) -> None:
        """Ask every feature's checks.

        Raises:
            ConfigurationError: one found an error.
        """
        for finding in (finding for feature in self.features.values() for finding in feature.checks()):
            if finding.id.startswith("limen.E"):
                raise ConfigurationError(f"{finding.id}: {finding.sentence}")
            _log.warning("%s: %s", finding.id, finding.sentence)


def build_kernel(
    user: type[UserMixin],
    *,
    engine: AsyncEngine,
    settings: AuthSettings,
    clock: Clock,
    roles: Iterable[Role],
    permissions: Mapping[str, str],
    features: Sequence["Feature"],
    listeners: Iterable[Listener],
    prefixes: tuple[str, str],
) -> Kernel:
    """Build the rooms, hand them to the features, take what these bring.

    Raises:
        ConfigurationError: what is given cannot work together; the message names both sides.
    """
    found = _resolve(features)
    warn_of_unknown_names(known_names(each.settings for each in found.values() if each.settings))
    declared = _by_name("role", roles, lambda role: role.name)
    database, tables = Database(engine), derive_tables(user)
    revocations = Revocations(deaf_after=settings.revocation_deaf_seconds)
    log = RevocationLog(database, tables, revocations=revocations, clock=clock)
    rights, lifetimes = RightsStore(tables), _lifetimes(settings)
    sessions = SessionStore(
        database,
        tables,
        rights=rights,
        log=log,
        clock=clock,
        lifetimes=lifetimes,
        max_sessions=settings.max_sessions,
    )
    one_time = OneTimeSecrets(database, tables, clock=clock)
    last_seen = LastSeen(database, tables, clock=clock, lifetimes=lifetimes)
    origin = OriginCheck(settings.base_url, trusted_origins=settings.trusted_origins)
    follower = Follower(
        log,
        revocations=revocations,
        clock=clock,
        poll_seconds=settings.revocation_poll_seconds,
        last_seen=last_seen,
        purges=(log.purge, one_time.purge, partial(sessions.purge, keep=KEEP_ENDED_SESSIONS)),
    )
    if can_notify(engine):
        follower.wake_by(partial(listen, engine))
    grants: dict[str, Grant] = {}
    events = Events()
    kernel = Kernel(
        settings=settings,
        clock=clock,
        events=events,
        database=database,
        tables=tables,
        users=UserStore(database, tables, model=user, rights=rights, clock=clock, lifetimes=lifetimes),
        rights=rights,
        sessions=sessions,
        one_time=one_time,
        revocations=revocations,
        revocation_log=log,
        follower=follower,
        keys=Keys(_key_ring(settings)),
        login=Login(tickets=one_time),
        authenticator=Authenticator(
            revocations=revocations, clock=clock, origin=origin, keep_up=follower.keep_up, note_use=last_seen.note
        ),
        open_connections=OpenConnections(revocations),
        origin=origin,
        cookie=SessionCookie(secure=settings.is_secure),
        roles=declared,
        scopes=_scopes(declared.values(), permissions),
        grants=MappingProxyType(grants),
        features=MappingProxyType(found),
        secrets=_secrets(settings),
        auth_prefix=prefixes[0],
        users_prefix=prefixes[1],
    )
    grants.update(_arrange(kernel, listeners))
    return kernel


def _arrange(kernel: Kernel, listeners: Iterable[Listener]) -> Mapping[str, "Grant"]:
    """Bind the features, then take their schemes, steps, issuers, grants and listeners."""
    features = tuple(kernel.features.values())
    for feature in features:
        feature.bind(kernel)
    schemes = _by_name("scheme", (each for feature in features for each in feature.schemes()), lambda it: it.name)
    steps = _by_name("step", (each for feature in features for each in feature.steps()), lambda it: it.name)
    issuers = _by_name("issuer", (each for feature in features for each in feature.issuers()), lambda it: it.name)
    kernel.authenticator.arrange(tuple(schemes.values()), cookie_name=cookie_name(secure=kernel.settings.is_secure))
    kernel.login.arrange(steps=tuple(steps.values()), issuers=tuple(issuers.values()))
    for listener in (*listeners, *(each for feature in features for each in feature.listeners())):
        kernel.events.listen(listener)
    every_grant = (each for feature in features for each in feature.grants())
    return _by_name("grant type", every_grant, lambda grant: grant.grant_type)


def _resolve(features: Sequence["Feature"]) -> dict[str, "Feature"]:
    """The features by name, each after those that it requires."""
    from limen.feature import Feature

    for given in features:
        if not isinstance(given, Feature):
            raise ConfigurationError(
                f"Auth(features=[…]): {given!r} is not a feature; give objects such as Passwords()"
            )
    named = _by_name("feature", features, lambda feature: feature.name)
    ordered: dict[str, Feature] = {}
    waiting = dict(named)
    while waiting:
        ready = [feature for feature in waiting.values() if all(name in ordered for name in feature.requires)]
        if not ready:
            raise ConfigurationError(_unmet(waiting, named))
        for feature in ready:
            ordered[feature.name] = waiting.pop(feature.name)
    return ordered


def _unmet(waiting: Mapping[str, "Feature"], named: Mapping[str, "Feature"]) -> str:
    for feature in waiting.values():
        for name in feature.requires:
            if name not in named:
                near = get_close_matches(name, named, n=1)
                hint = f" (there is {near[0]})" if near else ""
                return f"The feature {feature.name} requires {name}, which is not among Auth(features=[…]){hint}"
    return f"The features {', '.join(sorted(waiting))} require each other in a circle"


def _by_name(kind: str, things: Iterable[T], name_of: Callable[[T], str]) -> dict[str, T]:
    named: dict[str, T] = {}
    for thing in things:
        name = name_of(thing)
        if name in named:
            raise ConfigurationError(f"Two bring the {kind} {name!r}: {_said(named[name])} and {_said(thing)}")
        named[name] = thing
    return named


def _said(thing: object) -> str:
    kind = type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"


def _scopes(roles: Iterable[Role], permissions: Mapping[str, str]) -> Mapping[str, str]:
    """Every declared permission with its sentence; those that only roles name have none."""
    sentences = {check_permission(name): sentence for name, sentence in permissions.items()}
    named = {permission for role in roles for permission in role.permissions}
    return MappingProxyType({name: sentences.get(name, "") for name in sorted(named | sentences.keys())})


def _secrets(settings: AuthSettings) -> tuple[bytes, ...]:
    present = settings.secret()
    SigningKey.from_secret(present)  # refuses a short one, whatever the algorithm
    fallbacks = (secret.get_secret_value() for secret in settings.secret_key_fallbacks)
    return tuple(secret.encode() for secret in (present, *fallbacks))


def _key_ring(settings: AuthSettings) -> KeyRing:
    if settings.algorithm == "HS256":
        fallbacks = [secret.get_secret_value() for secret in settings.secret_key_fallbacks]
        return KeyRing.from_secret(settings.secret(), fallbacks=fallbacks)
    if settings.signing_key_file is None:
        raise ConfigurationError(
            f"LIMEN_ALGORITHM={settings.algorithm} needs LIMEN_SIGNING_KEY_FILE, a PEM file with the private key"
        )
    try:
        pem = settings.signing_key_file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"LIMEN_SIGNING_KEY_FILE cannot be read: {error.strerror}") from None
    return KeyRing.from_key(SigningKey.from_pem(pem, algorithm=settings.algorithm))


def _lifetimes(settings: AuthSettings) -> Lifetimes:
    longest = timedelta(minutes=settings.access_token_expire_minutes, seconds=settings.clock_leeway_seconds)
    return Lifetimes(
        idle=timedelta(days=settings.refresh_token_expire_days),
        absolute=timedelta(days=settings.session_expire_days),
        credential=longest + timedelta(minutes=1),
    )
