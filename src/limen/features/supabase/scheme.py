"""Reads what Supabase's people present: its access tokens as bearer tokens, this app's cookie of a Supabase session."""

from collections.abc import Mapping

from limen.core.jwt import unverified_issuer
from limen.core.principal import Principal
from limen.errors import InvalidCredential
from limen.features.supabase.claims import LEGACY_KEY_ISSUER
from limen.features.supabase.service import PREFIX, SupabaseService
from limen.http.scheme import Carrier, Presented

_KEYS = ("sb_publishable_", "sb_secret_")


class SupabaseBearer:
    """Verifies access tokens of the project: `Authorization: Bearer <jwt>`. Its API keys are nobody's tokens."""

    name = "SupabaseBearer"
    carriers: tuple[Carrier, ...] = (Carrier.BEARER,)

    def __init__(self, service: SupabaseService) -> None:
        self._service = service

    def openapi(self) -> Mapping[str, object]:
        whose = f"Access token of {self._service.url}"
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": whose}

    def reads(self, presented: Presented) -> bool:
        value = presented.value
        return value.startswith(_KEYS) or (
            value.count(".") == 2 and unverified_issuer(value) in (self._service.people.issuer, LEGACY_KEY_ISSUER)
        )

    async def verify(self, presented: Presented) -> Principal:
        if presented.value.startswith(_KEYS):
            raise InvalidCredential("an API key of Supabase is not a user's token")
        if unverified_issuer(presented.value) == LEGACY_KEY_ISSUER:
            raise InvalidCredential("an anon or service_role key of Supabase is not a user's token")
        return await self._service.prove(presented.value)


class SupabaseCookie:
    """Verifies the cookie of a session that Supabase holds: `lmp_<session>.<secret>`."""

    name = "SupabaseCookie"
    carriers: tuple[Carrier, ...] = (Carrier.COOKIE,)

    def __init__(self, service: SupabaseService, *, cookie_name: str) -> None:
        self._service = service
        self._cookie_name = cookie_name

    def openapi(self) -> Mapping[str, object]:
        return {"type": "apiKey", "in": "cookie", "name": self._cookie_name}

    def reads(self, presented: Presented) -> bool:
        return presented.value.startswith(PREFIX)

    async def verify(self, presented: Presented) -> Principal:
        return await self._service.prove_cookie(presented.value)
