"""Declares the feature `api_keys`."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar

from fastapi import APIRouter
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.checked_token import prefix_of
from limen.core.conditions import Meter
from limen.core.policy import Policy
from limen.core.revocations import Revocation
from limen.db.tables import Tables
from limen.feature import Feature, Finding
from limen.features.api_keys.routes import MANAGE, OWNER, SEE, routes
from limen.features.api_keys.scheme import ApiKeyScheme
from limen.features.api_keys.service import KIND, ApiKeyService
from limen.features.api_keys.store import ApiKey, ApiKeyStore
from limen.features.api_keys.tables import api_key_table
from limen.http.scheme import Carrier, Scheme
from limen.kernel import Kernel
from limen.settings import load


class ApiKeySettings(BaseSettings):
    """`LIMEN_API_KEYS_…`: the environment in every key, how many a user may have, how long a rotated one lives on."""

    model_config = SettingsConfigDict(env_prefix="LIMEN_API_KEYS_", env_file=".env", extra="ignore", frozen=True)

    environment: str = Field(default="", pattern="^(|[a-z0-9]{1,16})$", description="`test` makes keys `lmk_test_…`")
    per_user: int = Field(default=100, ge=1, description="live keys of one user")
    overlap_seconds: int = Field(default=86_400, ge=0, description="a rotated key's life, where the caller says none")


class ApiKeys(ApiKeyService, Feature):
    """Keys with which machines sign in by one header; they never exceed their owner.

    Args:
        environment: instead of the setting: part of every key, so that a test system's is refused in production.
        unsafe_query: also take keys from `?api_key=…`, where proxies, logs and histories see them.
        unsafe_cookie: also take keys from a cookie `api_key`, which browsers send by themselves.
    """

    name = "api_keys"
    settings: ClassVar[type[BaseSettings]] = ApiKeySettings

    def __init__(
        self, *, environment: str | None = None, unsafe_query: bool = False, unsafe_cookie: bool = False
    ) -> None:
        self._environment = environment
        self._unsafe_query = unsafe_query
        self._unsafe_cookie = unsafe_cookie

    def bind(self, kernel: Kernel) -> None:
        self.kernel = kernel
        settings = load(ApiKeySettings)
        environment = settings.environment if self._environment is None else self._environment
        self.prefix = prefix_of(KIND, environment)
        self.per_user = settings.per_user
        self.overlap = timedelta(seconds=settings.overlap_seconds)
        self.meter = Meter(kernel.clock)
        table = api_key_table(kernel.tables)
        self.store = ApiKeyStore(kernel.database, table, users=kernel.users, rights=kernel.rights)
        kernel.last_seen.watch("api_key", self.store.touch)
        kernel.follower.purge_by("API keys", self.purge)

    def schemes(self) -> Sequence[Scheme]:
        carriers = [Carrier.HEADER, Carrier.BEARER]
        carriers += [Carrier.QUERY] if self._unsafe_query else []
        carriers += [Carrier.KEY_COOKIE] if self._unsafe_cookie else []
        return tuple(ApiKeyScheme(self, carrier) for carrier in carriers)

    def routes(self) -> Sequence[APIRouter]:
        return routes(self)

    def tables(self, kernel_tables: Tables) -> Sequence[Table]:
        return (api_key_table(kernel_tables),)

    def policies(self) -> Sequence[Policy]:
        return (OWNER, SEE, MANAGE)

    async def export_of(self, user_id: object) -> Mapping[str, object]:
        return {"keys": [self._exported(key) for key in await self.list(user_id)]}

    async def disown(self, connection: AsyncConnection, user_id: object) -> Sequence[Revocation]:
        return await self.end_all_within(connection, user_id, reason="owner_changed")

    def _exported(self, key: ApiKey) -> Mapping[str, object]:
        shown = ("name", "scopes", "allowed_networks", "rate_limit", "created_at", "expires_at", "last_used_at")
        return {"id": key.id, "prefix": self.shown(key), **{name: getattr(key, name) for name in shown}}

    def checks(self) -> Sequence[Finding]:
        found = []
        if self._unsafe_query:
            found.append(Finding(id="limen.W020", sentence=_QUERY_WARNING))
        if self._unsafe_cookie:
            found.append(Finding(id="limen.W021", sentence=_COOKIE_WARNING))
        return found


_QUERY_WARNING = (
    "ApiKeys(unsafe_query=True) takes keys from URLs, which access logs, proxies and browser histories keep: "
    "use the header X-API-Key"
)
_COOKIE_WARNING = (
    "ApiKeys(unsafe_cookie=True) takes keys from a cookie, which browsers send by themselves and scripts may read: "
    "use the header X-API-Key, or cookie sessions for people"
)
