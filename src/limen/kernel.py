"""The kernel: the rooms that every feature stands on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from starlette.requests import HTTPConnection

from limen.core.client import Client
from limen.core.clock import Clock
from limen.core.keys import Keys, derive_key
from limen.core.limits import Limits
from limen.core.login import Grant, Login
from limen.core.oauth_client import ClientMethod
from limen.core.policy import Policy
from limen.core.principal import Principal
from limen.core.revocations import Revocations
from limen.core.roles import Role
from limen.core.rules import issued_by, with_account
from limen.core.vocabulary import Vocabulary
from limen.db.accounts import UserStore
from limen.db.addresses import AddressStore
from limen.db.administrators import Administrators
from limen.db.database import Database
from limen.db.follower import Follower
from limen.db.identities import IdentityStore
from limen.db.last_seen import LastSeen
from limen.db.newcomers import Newcomers
from limen.db.one_time import OneTimeSecrets
from limen.db.revocation_log import RevocationLog
from limen.db.rights import RightsStore
from limen.db.sessions import SessionStore
from limen.db.tables import Tables
from limen.db.users import UserMixin
from limen.errors import InvalidCredential, MissingFeature
from limen.events import Events
from limen.http.authenticate import Authenticator
from limen.http.client import client_of
from limen.http.cookies import SessionCookie, cookie_name
from limen.http.credentials import read_credential
from limen.http.guards import PrincipalGuard
from limen.http.origin import OriginCheck
from limen.http.scheme import Presented
from limen.settings import AuthSettings

S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """The rooms that every feature stands on.

    Attributes:
        roles: declared in code, by name.
        scopes: every permission that can be asked for, with its sentence.
        vocabulary: the names that mean something in this app.
        grants: every feature's, by `grant_type`.
        client_methods: every feature's ways for OAuth clients to prove who they are, by name.
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
    administrators: Administrators
    sessions: SessionStore
    one_time: OneTimeSecrets
    identities: IdentityStore
    newcomers: Newcomers
    addresses: AddressStore
    revocations: Revocations
    revocation_log: RevocationLog
    last_seen: LastSeen
    follower: Follower
    keys: Keys
    login: Login
    limits: Limits
    authenticator: Authenticator
    origin: OriginCheck
    cookie: SessionCookie
    roles: Mapping[str, Role]
    scopes: Mapping[str, str]
    vocabulary: Vocabulary
    grants: Mapping[str, Grant]
    client_methods: Mapping[str, ClientMethod]
    features: Mapping[str, object]
    secrets: tuple[bytes, ...] = field(repr=False)
    auth_prefix: str
    users_prefix: str

    def service(self, kind: type[S]) -> S:
        """The feature of this class; a slice asks only for what it `requires`.

        Raises:
            MissingFeature: it is not part of this `Auth`.
        """
        for feature in self.features.values():
            if isinstance(feature, kind):
                return feature
        raise MissingFeature(f"{kind.__name__} is not among the features of this Auth")

    def require(self, policy: Policy) -> PrincipalGuard:
        """A guard for limen's own routes: they act on this app's users, so another issuer's subjects stay out."""
        return PrincipalGuard(self.authenticator, self.clock, issued_by(self.settings.issuer) & policy)

    def require_account(self, policy: Policy) -> PrincipalGuard:
        """The same for those routes that act on one's own row, whoever vouches: `account_of` finds it."""
        return PrincipalGuard(self.authenticator, self.clock, with_account(self.settings.issuer) & policy)

    def account_of(self, principal: Principal) -> str:
        """The id, as text, of the row of somebody whom `require_account` let in."""
        return principal.account or principal.subject

    def client(self, connection: HTTPConnection) -> Client:
        """From where this request came."""
        name = cookie_name(secure=self.cookie.secure)
        return client_of(connection, trusted_proxies=self.settings.trusted_proxies, cookie_name=name)

    def presented(self, connection: HTTPConnection) -> Presented:
        """The credential that a guard has just verified.

        Raises:
            InvalidCredential: there is none.
        """
        name = cookie_name(secure=self.cookie.secure)
        presented = read_credential(connection.scope["headers"], cookie_name=name.encode())
        if presented is None:
            raise InvalidCredential("the credential is gone from the request")
        return presented

    def derived_keys(self, purpose: str) -> tuple[bytes, ...]:
        """One key per root secret for this purpose, the present one first; the others only verify."""
        return tuple(derive_key(secret, purpose=purpose) for secret in self.secrets)
