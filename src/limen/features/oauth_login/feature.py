"""Declares the feature `oauth_login`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from fastapi import APIRouter
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.policy import Policy
from limen.core.return_to import ReturnTo
from limen.core.sealing import Sealer
from limen.db.tables import Tables
from limen.errors import ConfigurationError, InvalidRequest
from limen.feature import Feature, Finding
from limen.features.oauth_login.providers.environment import unread_names
from limen.features.oauth_login.providers.presets import providers_that_are_set
from limen.features.oauth_login.providers.provider import Provider
from limen.features.oauth_login.providers.recognition import Admission, Recognition, SignUpValues
from limen.features.oauth_login.providers.upstream import Upstream
from limen.features.oauth_login.providers.vault import TokenVault
from limen.features.oauth_login.routes import CHANGING, OWNER, routes
from limen.features.oauth_login.service import OAuthLoginService
from limen.features.oauth_login.store import OAuthLoginStore
from limen.features.oauth_login.tables import provider_token_table
from limen.http.outgoing import Outgoing
from limen.kernel import Kernel
from limen.settings import load

if TYPE_CHECKING:
    from httpx2 import AsyncBaseTransport


class OAuthLoginSettings(BaseSettings):
    """`LIMEN_OAUTH_LOGIN_…`: who may come in by an account elsewhere, and where errors are shown."""

    model_config = SettingsConfigDict(env_prefix="LIMEN_OAUTH_LOGIN_", env_file=".env", extra="ignore", frozen=True)

    sign_up: bool = Field(default=True, description="whether somebody without an account here gets one")
    link_by_email: bool = Field(
        default=False,
        description="whether an address that both sides verified joins an account here, and one that only the provider "
        "verified takes it over",
    )
    keep_tokens: bool = Field(default=True, description="whether providers' tokens are kept, sealed, for the app's use")
    error_path: str | None = Field(
        default=None, description="the app's own page for errors, a path or a URL on a trusted origin"
    )


class OAuthLogin(OAuthLoginService, Feature):
    """Sign-in with Google, GitHub, Apple and others, and with any OpenID Connect provider.

    Args:
        providers: instead of every one that `LIMEN_OAUTH_<NAME>_CLIENT_ID` sets.
        sign_up_values: the app's own columns of a new account, from what the provider said of the person.
        transport: instead of the network, for an app's own tests: `FakeProvider().transport`.

    Raises:
        ConfigurationError: two providers of one name.
    """

    name = "oauth_login"
    settings: ClassVar[type[BaseSettings]] = OAuthLoginSettings

    def __init__(
        self,
        *,
        providers: Sequence[Provider] | None = None,
        sign_up_values: SignUpValues | None = None,
        transport: "AsyncBaseTransport | None" = None,
    ) -> None:
        self._given = providers
        self._sign_up_values = sign_up_values
        self._outgoing = Outgoing(transport)
        self._left_out: tuple[Provider, ...] = ()
        names = [each.name for each in providers or ()]
        if len(names) > len(set(names)):
            raise ConfigurationError(f"OAuthLogin(providers=[…]): name each provider once; there are {names!r}")

    def bind(self, kernel: Kernel) -> None:
        self.kernel = kernel
        settings = load(OAuthLoginSettings)
        self.keeps_tokens = settings.keep_tokens
        self.places = ReturnTo(kernel.settings.base_url, trusted_origins=kernel.settings.trusted_origins)
        self.error_page = self._error_page(settings.error_path)
        self.sealer = Sealer(kernel.derived_keys("oauth login"))
        self._store = store = OAuthLoginStore(kernel.database, provider_token_table(kernel.tables), kernel.tables)
        admission = Admission(
            sign_up=settings.sign_up, link_by_email=settings.link_by_email, values=self._sign_up_values
        )
        self.recognition = Recognition(kernel, store, admission)
        self.vault = TokenVault(store, self.sealer, clock=kernel.clock)
        self.upstreams = {each.name: self._upstream(each) for each in self._offered()}

    @property
    def providers(self) -> tuple[str, ...]:
        """The names of the providers, in order: for the buttons of a sign-in page."""
        return tuple(self.upstreams)

    def routes(self) -> Sequence[APIRouter]:
        return routes(self)

    def tables(self, kernel_tables: Tables) -> Sequence[Table]:
        return (provider_token_table(kernel_tables),)

    def policies(self) -> Sequence[Policy]:
        return (OWNER, CHANGING)

    def checks(self) -> Sequence[Finding]:
        shown = [
            Finding(
                id="limen.W080",
                sentence=f"The provider {each.name} ({each.issuer}) is a program on this machine and LIMEN_BASE_URL is "
                f"not: {'it is not offered' if each in self._left_out else 'make sure that this is meant'}",
            )
            for each in (*self._left_out, *(upstream.provider for upstream in self.upstreams.values()))
            if each.is_on_loopback and not self._is_in_development
        ]
        for name in unread_names(OAuthLoginSettings.model_fields):
            shown.append(Finding(id="limen.W081", sentence=f"{name} is set and nothing reads it"))
        return shown

    async def has_way_in(self, connection: AsyncConnection, user_id: object) -> bool:
        return any(map(self.is_offered, await self.kernel.identities.issuers_of(connection, user_id)))

    async def stop(self) -> None:
        for upstream in self.upstreams.values():
            await upstream.stop()

    @property
    def _is_in_development(self) -> bool:
        return self.kernel.origin.is_on_loopback

    def _offered(self) -> Sequence[Provider]:
        """Those that are given; of those that the environment sets, a program on this machine in development only."""
        if self._given is not None:
            return self._given
        found = providers_that_are_set()
        self._left_out = tuple(each for each in found if each.is_on_loopback and not self._is_in_development)
        return [each for each in found if each not in self._left_out]

    def _upstream(self, provider: Provider) -> Upstream:
        leeway = self.kernel.settings.clock_leeway_seconds
        return Upstream(provider, outgoing=self._outgoing, clock=self.kernel.clock, leeway=leeway)

    def _error_page(self, path: str | None) -> str:
        try:
            return self.places.check(path or f"{self.kernel.auth_prefix}/oauth/error")
        except InvalidRequest:
            raise ConfigurationError(
                f"LIMEN_OAUTH_LOGIN_ERROR_PATH: {path!a} is no path, and no URL on an origin of the app's"
            ) from None
