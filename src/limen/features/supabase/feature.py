"""Declares the feature `supabase`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar

from fastapi import APIRouter
from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.admission import Admission, Claims, Links, Rights
from limen.core.discovery import check_url, is_exposed
from limen.core.keys import MIN_SECRET
from limen.core.policy import Policy
from limen.core.principal import Principal
from limen.core.rules import issued_by
from limen.core.sealing import Sealer
from limen.db.tables import Tables
from limen.errors import ConfigurationError
from limen.feature import Feature, Finding
from limen.features.supabase.claims import (
    AUDIENCE,
    Names,
    SupabaseTokens,
    address_of,
    app_permissions,
    app_roles,
    key_role,
)
from limen.features.supabase.routes import routes
from limen.features.supabase.scheme import SupabaseBearer, SupabaseCookie
from limen.features.supabase.service import SupabaseService, is_local_path
from limen.features.supabase.steps import GoTrue
from limen.features.supabase.store import SupabaseSessionStore
from limen.features.supabase.tables import supabase_session_table
from limen.features.trusted_issuers.service import TrustedIssuer
from limen.http.cookies import cookie_name
from limen.http.scheme import Scheme
from limen.kernel import Kernel
from limen.settings import load

AUTH_PATH = "/auth/v1"


class SupabaseSettings(BaseSettings):
    """`LIMEN_SUPABASE_…`: which project, and by which key."""

    model_config = SettingsConfigDict(
        env_prefix="LIMEN_SUPABASE_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("LIMEN_SUPABASE_URL", "SUPABASE_URL"),
        description="the project: `https://<project>.supabase.co`; the demo turns the feature on when it is set",
    )
    key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("LIMEN_SUPABASE_KEY", "SUPABASE_KEY"),
        description="its publishable key (`sb_publishable_…`) or legacy anon key; a secret key is more than is needed",
    )
    jwt_secret: SecretStr | None = Field(
        default=None, description="the legacy JWT secret, for projects that still sign with HS256"
    )
    confirms_email: bool = Field(
        default=False, description="whether the project confirms addresses; then those of its users count as verified"
    )


class Supabase(SupabaseService, Feature):
    """Supabase as the place where people sign in: its tokens at every guard, its sessions in this app's cookie.

    Args:
        url, key, jwt_secret, confirms_email: instead of the settings.
        rights: what counts: what the `token` says in `app_metadata`, what the `account` holds here, or `both`.
        links: `verified` takes somebody for the account whose address is theirs, if both sides verified it; or `never`.
        roles, permissions: read them out of the verified claims, instead of `app_metadata.roles` and `.permissions`.
        values: the app's own columns of a new row, from the verified claims.
        anonymous: whether Supabase's anonymous users come in.
        scopes: what a provider is asked for where a sign-in names nothing else.
        error_page: the path at which a failed sign-in elsewhere ends, with `#error=`.
    """

    name = "supabase"
    settings: ClassVar[type[BaseSettings]] = SupabaseSettings

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        jwt_secret: str | None = None,
        confirms_email: bool | None = None,
        rights: Rights = "both",
        links: Links = "never",
        roles: Names = app_roles,
        permissions: Names = app_permissions,
        values: Callable[[Claims], Mapping[str, object]] | None = None,
        anonymous: bool = False,
        scopes: str = "email",
        error_page: str = "/",
    ) -> None:
        if not is_local_path(error_page):
            raise ConfigurationError(f"Supabase(error_page={error_page!a}) is not a path of this app, such as /sign-in")
        self._given = {"url": url, "key": key, "jwt_secret": jwt_secret, "confirms_email": confirms_email}
        self._rights: Rights = rights
        self._links: Links = links
        self._roles, self._permissions, self._values = roles, permissions, values
        self._anonymous = anonymous
        self._error_page = error_page
        self.scopes = scopes
        self._flights = {}

    def bind(self, kernel: Kernel) -> None:
        self.kernel = kernel
        given = load(SupabaseSettings).model_copy(update=_given(self._given))
        self.url = _project(given.url)
        self._key = given.key.get_secret_value() if given.key else None
        issuer = f"{self.url}{AUTH_PATH}"
        trusted = TrustedIssuer(
            issuer,
            audience=AUDIENCE,
            typ=None,
            jwks_url=f"{issuer}/.well-known/jwks.json",
            permissions=None,
            roles=None,
            untyped=frozenset({"amr", "roles", "scope"}),
        )
        self.people = SupabaseTokens(
            trusted,
            kernel,
            admission=Admission(
                provider="supabase",
                users="make",
                rights=self._rights,
                links=self._links,
                address=partial(address_of, confirmed=given.confirms_email),
                values=self._values,
            ),
            secret=_secret(given.jwt_secret),
            roles=self._roles,
            permissions=self._permissions,
            anonymous=self._anonymous,
        )
        self.gotrue = GoTrue(issuer, self._key)
        table = supabase_session_table(kernel.tables)
        self.store = SupabaseSessionStore(kernel.database, table, clock=kernel.clock)
        self.sealer = Sealer(kernel.derived_keys("supabase sessions"))
        kernel.follower.purge_by("Supabase sessions", self.store.purge)
        kernel.sessions.also_end(self)

    def uid_of(self, principal: Principal) -> str | None:
        return principal.subject if principal.issuer == self.people.issuer else None

    async def has_way_in(self, connection: AsyncConnection, user_id: object) -> bool:
        return self.people.issuer in await self.kernel.identities.issuers_of(connection, user_id)

    def schemes(self) -> Sequence[Scheme]:
        name = cookie_name(secure=self.kernel.settings.is_secure)
        return (SupabaseBearer(self), SupabaseCookie(self, cookie_name=name))

    def routes(self) -> Sequence[APIRouter]:
        return routes(self, error_page=self._error_page)

    def tables(self, kernel_tables: Tables) -> Sequence[Table]:
        return (supabase_session_table(kernel_tables),)

    def policies(self) -> Sequence[Policy]:
        return (issued_by(self.people.issuer),)

    def checks(self) -> Sequence[Finding]:
        found = []
        if is_exposed(self.url):
            found.append(Finding(id="limen.W040", sentence=f"{self.url} is asked by plain http: use https"))
        if self._key is not None and key_role(self._key) == "secret":
            found.append(Finding(id="limen.W041", sentence=_MORE_THAN_NEEDED))
        if self._key is None:
            found.append(Finding(id="limen.W042", sentence=_NO_KEY))
        return found

    async def start(self) -> None:
        await self.people.start()

    async def stop(self) -> None:
        await self.people.stop()
        await self.gotrue.close()


_MORE_THAN_NEEDED = (
    "LIMEN_SUPABASE_KEY is a secret (service_role) key, which may do everything in the project: limen needs only the "
    "publishable (anon) one"
)
_NO_KEY = (
    "LIMEN_SUPABASE_KEY is not set: tokens are verified without it, but a hosted project refuses sign-ins; "
    "set its publishable key"
)


def _given(given: Mapping[str, object]) -> dict[str, object]:
    secret = ("key", "jwt_secret")
    return {
        name: SecretStr(str(value)) if name in secret else value for name, value in given.items() if value is not None
    }


def _project(url: str | None) -> str:
    if not url:
        raise ConfigurationError("Supabase() needs the project: set LIMEN_SUPABASE_URL=https://<project>.supabase.co")
    project = check_url(url, of="LIMEN_SUPABASE_URL").rstrip("/").removesuffix(AUTH_PATH)
    if "?" in project:
        raise ConfigurationError(f"LIMEN_SUPABASE_URL: {url!a} has a query, which no project has")
    return project


def _secret(given: SecretStr | None) -> bytes | None:
    secret = given.get_secret_value().encode() if given else b""
    if not secret:
        return None
    if len(secret) < MIN_SECRET or secret.startswith((b"sb_", b"-----BEGIN", b"{")):
        raise ConfigurationError(
            "LIMEN_SUPABASE_JWT_SECRET is not a JWT secret: take the legacy one of 32 bytes or more from the project's "
            "JWT settings, no API key and no public key"
        )
    return secret
