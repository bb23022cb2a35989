"""Composition: builds the kernel, hands it to the features, takes what they bring, refuses what clashes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from difflib import get_close_matches
from functools import partial
from types import MappingProxyType
from typing import TypeVar

from limen.core.clock import Clock
from limen.core.keys import Keys, SigningKey, derive_key
from limen.core.limits import Limits
from limen.core.login import Grant, Login
from limen.core.oauth_client import ClientMethod
from limen.core.permissions import check_permission
from limen.core.revocations import Revocations
from limen.core.roles import Role
from limen.core.vocabulary import Vocabulary
from limen.db.accounts import UserStore
from limen.db.addresses import AddressStore
from limen.db.administrators import Administrators
from limen.db.database import Database
from limen.db.follower import Follower
from limen.db.identities import IdentityStore
from limen.db.key_sources import given_keys, stored_keys
from limen.db.last_seen import LastSeen
from limen.db.newcomers import Newcomers
from limen.db.notifications import can_notify, listen
from limen.db.one_time import OneTimeSecrets
from limen.db.revocation_log import RevocationLog
from limen.db.rights import RightsStore
from limen.db.sessions import Lifetimes, SessionStore
from limen.db.tables import derive_tables
from limen.db.users import UserMixin
from limen.errors import ConfigurationError
from limen.events import Events, Listener
from limen.feature import Feature
from limen.feed.mirror import Mirror
from limen.feed.redis import RedisFeed
from limen.http.authenticate import Authenticator
from limen.http.cause import RequestCauses
from limen.http.client import address_of, client_of
from limen.http.cookies import SessionCookie, cookie_name
from limen.http.origin import OriginCheck
from limen.kernel import Kernel
from limen.settings import AuthSettings, known_names, warn_of_unknown_names

T = TypeVar("T")

KEEP_ENDED_SESSIONS = timedelta(days=30)


def build_kernel(
    user: type[UserMixin],
    *,
    database: Database,
    settings: AuthSettings,
    clock: Clock,
    roles: Iterable[Role],
    permissions: Mapping[str, str],
    features: Sequence[Feature],
    listeners: Iterable[Listener],
    prefixes: tuple[str, str],
) -> tuple[Kernel, Mapping[str, Feature]]:
    """Build the rooms, hand them to the features, take what these bring.

    Raises:
        ConfigurationError: what is given cannot work together; the message names both sides.
    """
    found = _resolve(features)
    warn_of_unknown_names(known_names(each.settings for each in found.values() if each.settings))
    declared = _by_name("role", roles, lambda role: role.name)
    tables = derive_tables(user)
    revocations = Revocations(deaf_after=settings.revocation_deaf_seconds, issuer=settings.issuer)
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
    secrets = _secrets(settings)
    code_keys = tuple(derive_key(secret, purpose="one-time codes") for secret in secrets)
    one_time = OneTimeSecrets(database, tables, clock=clock, code_keys=code_keys)
    addresses = AddressStore(database, tables, clock=clock)
    keys = given_keys(settings) or stored_keys(
        settings,
        database,
        tables,
        secrets=secrets,
        log=log,
        revocations=revocations,
        clock=clock,
        token_life=lifetimes.credential,
    )
    last_seen = LastSeen(database, tables, clock=clock, lifetimes=lifetimes, issuer=settings.issuer)
    origin = OriginCheck(settings.base_url, trusted_origins=settings.trusted_origins)
    follower = Follower(
        log,
        revocations=revocations,
        clock=clock,
        poll_seconds=settings.revocation_poll_seconds,
        last_seen=last_seen,
        purges={
            "revocations": log.purge,
            "one-time secrets": one_time.purge,
            "changes of address": addresses.purge,
            "signing keys": keys.purge,
            "sessions": partial(sessions.purge, keep=KEEP_ENDED_SESSIONS),
        },
    )
    if can_notify(database.engine):
        follower.run(partial(listen, database.engine, follower.wake))
    if settings.redis_url is not None:
        feed = RedisFeed(settings.redis_url.get_secret_value(), settings.issuer, clock=clock)
        _mirror(feed, follower=follower, log=log, revocations=revocations)
    grants: dict[str, Grant] = {}
    client_methods: dict[str, ClientMethod] = {}
    kernel_features = MappingProxyType(found)
    events = Events()
    users = UserStore(database, tables, model=user, rights=rights, clock=clock, lifetimes=lifetimes)
    identities = IdentityStore(database, tables, clock=clock)
    newcomers = Newcomers(
        database,
        tables,
        users=users,
        identities=identities,
        rights=rights,
        roles=declared,
        events=events,
        clock=clock,
        remember_for=timedelta(minutes=settings.access_token_expire_minutes),
    )
    authenticator = Authenticator(
        revocations=revocations,
        clock=clock,
        origin=origin,
        stale_after=2 * settings.revocation_poll_seconds,
        keep_up=partial(_keep_up, follower, keys),
        uses=last_seen,
        client_of=partial(client_of, trusted_proxies=settings.trusted_proxies),
        address_of=partial(address_of, trusted_proxies=settings.trusted_proxies),
    )
    authenticator.causes = RequestCauses(
        memo=authenticator.memo,
        client_of=partial(client_of, trusted_proxies=settings.trusted_proxies),
        issuer=settings.issuer,
        clock=clock,
        events=events,
    )
    kernel = Kernel(
        settings=settings,
        clock=clock,
        events=events,
        database=database,
        tables=tables,
        users=users,
        rights=rights,
        administrators=Administrators(tables, declared.values()),
        sessions=sessions,
        one_time=one_time,
        identities=identities,
        newcomers=newcomers,
        addresses=addresses,
        revocations=revocations,
        revocation_log=log,
        last_seen=last_seen,
        follower=follower,
        keys=keys,
        login=Login(tickets=one_time),
        limits=Limits(),
        authenticator=authenticator,
        origin=origin,
        cookie=SessionCookie(secure=settings.is_secure),
        roles=declared,
        scopes=_scopes(declared.values(), permissions),
        vocabulary=Vocabulary(roles=declared, listed=permissions),
        grants=MappingProxyType(grants),
        client_methods=MappingProxyType(client_methods),
        features=kernel_features,
        secrets=secrets,
        auth_prefix=prefixes[0],
        users_prefix=prefixes[1],
    )
    grants.update(_arrange(kernel, tuple(found.values()), listeners))
    every_method = (each for feature in found.values() for each in feature.client_methods())
    client_methods.update(_by_name("client authentication method", every_method, lambda it: it.name))
    return kernel, kernel_features


def _mirror(feed: RedisFeed, *, follower: Follower, log: RevocationLog, revocations: Revocations) -> None:
    """Tell Redis or Valkey what is taken back here, and hear from it what is elsewhere; the log stays the truth."""
    mirror = Mirror(feed, live=log.live)
    revocations.subscribe(mirror.announce)
    follower.run(mirror.run)
    follower.run(partial(feed.follow, revocations.apply))


def _arrange(kernel: Kernel, features: Sequence[Feature], listeners: Iterable[Listener]) -> Mapping[str, Grant]:
    """Bind the features, then take their schemes, steps, issuers, grants and listeners."""
    for feature in features:
        feature.bind(kernel)
        for policy in feature.policies():
            kernel.vocabulary.check(policy)
    schemes = _by_name("scheme", (each for feature in features for each in feature.schemes()), lambda it: it.name)
    steps = _by_name("step", (each for feature in features for each in feature.steps()), lambda it: it.name)
    issuers = _by_name("issuer", (each for feature in features for each in feature.issuers()), lambda it: it.name)
    kernel.authenticator.arrange(tuple(schemes.values()), cookie_name=cookie_name(secure=kernel.settings.is_secure))
    kernel.login.arrange(steps=tuple(steps.values()), issuers=tuple(issuers.values()))
    for listener in (*listeners, *(each for feature in features for each in feature.listeners())):
        kernel.events.listen(listener)
    every_grant = (each for feature in features for each in feature.grants())
    return _by_name("grant type", every_grant, lambda grant: grant.grant_type)


def _resolve(features: Sequence[Feature]) -> dict[str, Feature]:
    """The features by name, each after those that it requires."""
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


def _unmet(waiting: Mapping[str, Feature], named: Mapping[str, Feature]) -> str:
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


async def _keep_up(follower: Follower, keys: Keys) -> None:
    await follower.keep_up()
    await keys.keep_up()


def _lifetimes(settings: AuthSettings) -> Lifetimes:
    longest = timedelta(minutes=settings.access_token_expire_minutes, seconds=settings.clock_leeway_seconds)
    return Lifetimes(
        idle=timedelta(days=settings.refresh_token_expire_days),
        absolute=timedelta(days=settings.session_expire_days),
        credential=longest + timedelta(minutes=1),
    )
