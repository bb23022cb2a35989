"""Declares the feature `trusted_issuers`."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.discovery import is_exposed
from limen.errors import ConfigurationError
from limen.feature import Feature, Finding
from limen.features.trusted_issuers.scheme import TrustedIssuerBearer
from limen.features.trusted_issuers.service import IssuerTokens, TrustedIssuer
from limen.http.scheme import Scheme
from limen.kernel import Kernel


class TrustedIssuers(Feature):
    """Accepts bearer tokens of other issuers; `Principal.issuer` says whose it was.

    `Auth(features=[…, TrustedIssuer("https://id.example.com")])` makes one of these by itself.

    Raises:
        ConfigurationError: none, one twice, or this app's own issuer.
    """

    name = "trusted_issuers"

    def __init__(self, trusted: Sequence[TrustedIssuer]) -> None:
        self.trusted = tuple(trusted)
        self.accepted: tuple[IssuerTokens, ...] = ()
        names = [each.issuer for each in self.trusted]
        if not names or len(names) > len(set(names)):
            raise ConfigurationError(f"TrustedIssuers([…]): name each issuer once; there are {names!r}")

    def bind(self, kernel: Kernel) -> None:
        self.kernel = kernel
        settings = kernel.settings
        if any(each.issuer == settings.issuer for each in self.trusted):
            raise ConfigurationError(
                f"TrustedIssuer({settings.issuer!r}) is this app itself, whose tokens the feature Tokens() accepts; "
                "check LIMEN_BASE_URL"
            )
        leeway = settings.clock_leeway_seconds
        self.accepted = tuple(IssuerTokens(each, clock=kernel.clock, leeway=leeway) for each in self.trusted)

    async def has_way_in(self, connection: AsyncConnection, user_id: object) -> bool:
        with_rows = {each.issuer for each in self.trusted if each.users is not None}
        return not with_rows.isdisjoint(await self.kernel.identities.issuers_of(connection, user_id))

    def schemes(self) -> Sequence[Scheme]:
        return (TrustedIssuerBearer(self.accepted, admit=self.kernel.newcomers.admit),)

    async def link(self, user: object, *, issuer: str, subject: str) -> None:
        """Let this subject of an issuer be the user's, as the operator knows that it is.

        Raises:
            Conflict: it is somebody's already, or there is no such user.
        """
        await self.kernel.newcomers.link(user, provider=issuer, issuer=issuer, subject=subject)

    async def readmit(self, *, issuer: str, subject: str) -> bool:
        """Let a subject whose account was deleted have a new one; False if there was no such."""
        return await self.kernel.identities.readmit(issuer, subject)

    def checks(self) -> Sequence[Finding]:
        urls = [each.keys_from for each in self.trusted]
        return [
            Finding(id="limen.W010", sentence=f"{url} is fetched by plain http: use https")
            for url in urls
            if is_exposed(url)
        ]

    async def start(self) -> None:
        for issuer in self.accepted:
            await issuer.keys.start()

    async def stop(self) -> None:
        for issuer in self.accepted:
            await issuer.keys.stop()
