"""Reads bearer tokens of other issuers: `Authorization: Bearer <jwt>` (RFC 6750 §2.1)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from limen.core.admission import Admission
from limen.core.jwt import unverified_issuer
from limen.core.principal import Principal
from limen.errors import InvalidCredential
from limen.features.trusted_issuers.service import IssuerTokens
from limen.http.scheme import Carrier, Presented

Admit = Callable[[Principal, Admission], Awaitable[Principal]]


class TrustedIssuerBearer:
    """Hands each token to the issuer that it says it is from; whether it is decides the issuer's key."""

    name = "TrustedIssuerBearer"
    carriers: tuple[Carrier, ...] = (Carrier.BEARER,)

    def __init__(self, issuers: Sequence[IssuerTokens], *, admit: Admit | None = None) -> None:
        """
        Args:
            admit: gives a principal the row that it has here; a verifier has no rows.
        """
        self._issuers = {each.issuer: each for each in issuers}
        self._admit = admit

    def openapi(self) -> Mapping[str, object]:
        whose = ", ".join(sorted(self._issuers))
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": f"Access token of {whose}"}

    def reads(self, presented: Presented) -> bool:
        return presented.value.count(".") == 2 and unverified_issuer(presented.value) in self._issuers

    async def verify(self, presented: Presented) -> Principal:
        issuer = self._issuers.get(unverified_issuer(presented.value) or "")
        if issuer is None:
            raise InvalidCredential("token of an issuer that is not trusted")
        principal = await issuer.prove(presented.value)
        if issuer.admission is None or self._admit is None:
            return principal
        return await self._admit(principal, issuer.admission)
