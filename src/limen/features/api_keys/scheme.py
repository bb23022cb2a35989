"""Reads API keys: `X-API-Key` and `Authorization: Bearer`; in a query or cookie only where an app turns that on."""

from collections.abc import Mapping
from datetime import timedelta

from limen.core.conditions import AtRate, Condition, FromNetworks, Rate, parse_networks
from limen.core.principal import Principal
from limen.features.api_keys.service import KIND, ApiKeyService
from limen.features.api_keys.store import ApiKey
from limen.http.credentials import API_KEY
from limen.http.scheme import Carrier, Presented

NAMES: Mapping[Carrier, str] = {
    Carrier.HEADER: "ApiKeyHeader",
    Carrier.BEARER: "ApiKeyBearer",
    Carrier.QUERY: "ApiKeyQuery",
    Carrier.KEY_COOKIE: "ApiKeyCookie",
}


class ApiKeyScheme:
    """Verifies API keys that travel one way; one read, then remembered for as long as revocations are."""

    def __init__(self, service: ApiKeyService, carrier: Carrier) -> None:
        self._service = service
        self._carrier = carrier
        self.name = NAMES[carrier]
        self.carriers: tuple[Carrier, ...] = (carrier,)

    def openapi(self) -> Mapping[str, object]:
        if self._carrier is Carrier.BEARER:
            return {"type": "http", "scheme": "bearer", "bearerFormat": f"API key ({KIND}_…)"}
        if self._carrier is Carrier.HEADER:
            return {"type": "apiKey", "in": "header", "name": "X-API-Key"}
        place = "query" if self._carrier is Carrier.QUERY else "cookie"
        return {"type": "apiKey", "in": place, "name": API_KEY.decode(), "description": "Prefer the header: see docs."}

    def reads(self, presented: Presented) -> bool:
        return presented.value.startswith(f"{KIND}_")

    async def verify(self, presented: Presented) -> Principal:
        kernel = self._service.kernel
        with kernel.limits.failing("key", client=presented.client):
            key = await self._service.verify(presented.value)
        carried = self._service.carried(key)
        remembered_until = kernel.clock.now() + timedelta(minutes=kernel.settings.access_token_expire_minutes)
        return Principal(
            subject=key.subject,
            issuer=kernel.settings.issuer,
            credential="api_key",
            permissions=carried.permissions,
            roles=carried.roles,
            credential_id=key.id,
            expires_at=min(key.expires_at or remembered_until, remembered_until).timestamp(),
            epoch=key.held.epoch,
            version=key.version,
            conditions=self._conditions(key),
        )

    def _conditions(self, key: ApiKey) -> tuple[Condition, ...]:
        """The network is asked first, so that strangers do not use up the rate."""
        asked: list[Condition] = []
        if key.allowed_networks:
            asked.append(FromNetworks(parse_networks(key.allowed_networks), key.id))
        if key.rate_limit:
            asked.append(AtRate(Rate.parse(key.rate_limit), key.id, self._service.meter))
        return tuple(asked)
