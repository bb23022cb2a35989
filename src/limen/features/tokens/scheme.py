"""Reads JWT access tokens: `Authorization: Bearer <jwt>` (RFC 6750 §2.1)."""

from collections.abc import Mapping
from dataclasses import replace

from limen.core.claims import principal_of
from limen.core.clock import Clock
from limen.core.jwt import Expected, unverified_issuer, verify
from limen.core.keys import Keys
from limen.core.principal import Principal
from limen.errors import InvalidCredential, UnknownKey
from limen.http.scheme import Carrier, Presented


class BearerTokens:
    """Verifies this app's own access tokens, without I/O: only for a key that is not known may the database be asked.

    Args:
        lifetime: seconds that a token lives at most, whatever it says: revocations are kept no longer, so an operator
            who shortens it shortens it for tokens that are out already.
        token_url: where Swagger UI's Authorize gets one, relative to the app.
        scopes: every permission that can be asked for, with its sentence.
    """

    name = "OAuth2PasswordBearer"
    carriers: tuple[Carrier, ...] = (Carrier.BEARER,)

    def __init__(
        self,
        keys: Keys,
        expected: Expected,
        *,
        lifetime: float,
        clock: Clock,
        token_url: str,
        scopes: Mapping[str, str],
    ) -> None:
        self._keys = keys
        self._expected = expected
        self._lifetime = lifetime
        self._clock = clock
        self._token_url = token_url
        self._scopes = dict(scopes)

    def openapi(self) -> Mapping[str, object]:
        flow = {"tokenUrl": self._token_url, "refreshUrl": self._token_url, "scopes": self._scopes}
        return {"type": "oauth2", "flows": {"password": flow}}

    def reads(self, presented: Presented) -> bool:
        token = presented.value
        is_token = token.count(".") == 2 and not token.startswith("lm")
        return is_token and unverified_issuer(token) in (None, self._expected.issuer)  # another's may have its scheme

    async def verify(self, presented: Presented) -> Principal:
        try:
            return self._verify(presented.value)
        except UnknownKey:
            if not await self._keys.look_again():
                raise
        return self._verify(presented.value)

    def _verify(self, token: str) -> Principal:
        now = self._clock.time()
        principal = principal_of(verify(token, keys=self._keys.ring, expected=self._expected, now=now))
        issued_at = principal.claims["iat"]
        ends_at = min(principal.expires_at, _number(issued_at) + self._lifetime)
        if ends_at <= now - self._expected.leeway:
            raise InvalidCredential("token older than tokens may be now", subject=principal.subject)
        return replace(principal, expires_at=ends_at)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
