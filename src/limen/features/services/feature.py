"""Declares the feature `services`."""

from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar

from fastapi import APIRouter
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import Table

from limen.core.checked_token import prefix_of
from limen.core.login import Grant
from limen.core.oauth_client import ClientMethod
from limen.core.policy import Policy
from limen.db.tables import Tables
from limen.feature import Feature
from limen.features.services.routes import MANAGE, SEE, ClientCredentialsGrant, routes
from limen.features.services.scheme import ClientSecret, PrivateKeyJwt
from limen.features.services.service import SECRET_KIND, ServiceAccounts
from limen.features.services.store import ServiceStore
from limen.features.services.tables import service_credential_table
from limen.features.tokens.service import TokenService
from limen.kernel import Kernel
from limen.settings import CommaList, load


class ServiceSettings(BaseSettings):
    """`LIMEN_SERVICES_…`: what service accounts may ask tokens for, beside this app."""

    model_config = SettingsConfigDict(env_prefix="LIMEN_SERVICES_", env_file=".env", extra="ignore", frozen=True)

    audiences: Annotated[tuple[str, ...], NoDecode, CommaList] = ()


class Services(ServiceAccounts, Feature):
    """Service accounts: machines that get access tokens for themselves (`client_credentials`, RFC 6749 §4.4).

    Args:
        audiences: instead of the setting: other APIs that trust this app's tokens.
    """

    name = "services"
    requires = ("tokens",)
    settings: ClassVar[type[BaseSettings]] = ServiceSettings

    def __init__(self, *, audiences: Iterable[str] | None = None) -> None:
        self._audiences = audiences

    def bind(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.tokens = kernel.service(TokenService)
        self.prefix = prefix_of(SECRET_KIND, "")
        self.audiences = frozenset(load(ServiceSettings).audiences if self._audiences is None else self._audiences)
        table = service_credential_table(kernel.tables)
        self.store = ServiceStore(kernel.database, table, users=kernel.users, rights=kernel.rights)
        kernel.follower.purge_by("credentials of services", self.purge)

    def client_methods(self) -> Sequence[ClientMethod]:
        return (
            ClientSecret(self, "client_secret_basic"),
            ClientSecret(self, "client_secret_post"),
            PrivateKeyJwt(self),
        )

    def grants(self) -> Sequence[Grant]:
        return (ClientCredentialsGrant(self),)

    def routes(self) -> Sequence[APIRouter]:
        return routes(self)

    def tables(self, kernel_tables: Tables) -> Sequence[Table]:
        return (service_credential_table(kernel_tables),)

    def policies(self) -> Sequence[Policy]:
        return (MANAGE, SEE)
