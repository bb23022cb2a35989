"""Reads JWT access tokens: `Authorization: Bearer <jwt>` (RFC 6750 §2.1)."""

from collections.abc import Mapping
from datetime import UTC, datetime

from limen.core.clock import Clock
from limen.core.jwt import Expected, verify
from limen.core.keys import Keys
from limen.core.principal import Principal
from limen.http.scheme import Carrier, Presented


class BearerTokens:
    """Verifies this app's own access tokens, without I/O.

    Args:
        token_url: where Swagger UI's Authorize gets one, relative to the app.
        scopes: every permission that can be asked for, with its sentence.
    """

    name = "OAuth2PasswordBearer"
    carriers: tuple[Carrier, ...] = (Carrier.BEARER,)

    def __init__(
        self, keys: Keys, expected: Expected, *, clock: Clock, token_url: str, scopes: Mapping[str, str]
    ) -> None:
        self._keys = keys
        self._expected = expected
        self._clock = clock
        self._token_url = token_url
        self._scopes = dict(scopes)

    def openapi(self) -> Mapping[str, object]:
        flow = {"tokenUrl": self._token_url, "refreshUrl": self._token_url, "scopes": self._scopes}
        return {"type": "oauth2", "flows": {"password": flow}}

    def reads(self, presented: Presented) -> bool:
        return presented.value.count(".") == 2 and not presented.value.startswith("lm")

    async def verify(self, presented: Presented) -> Principal:
        claims = verify(presented.value, keys=self._keys.ring, expected=self._expected, now=self._clock.time())
        return principal_of(claims)


def principal_of(claims: Mapping[str, object]) -> Principal:
    """The principal that verified claims say; their forms were checked with the signature."""
    return Principal(
        subject=_text(claims["sub"]),
        issuer=_text(claims["iss"]),
        credential="access_token",
        permissions=frozenset(_text(claims.get("scope", "")).split()),
        roles=frozenset(_texts(claims.get("roles"))),
        session_id=_text_or_none(claims.get("sid")),
        credential_id=_text_or_none(claims.get("jti")),
        client_id=_text_or_none(claims.get("client_id")),
        auth_time=_moment(claims.get("auth_time")),
        amr=_texts(claims.get("amr")),
        expires_at=_number(claims["exp"]),
        epoch=int(_number(claims.get("epoch", 0))),
        claims=claims,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _moment(value: object) -> datetime | None:
    return datetime.fromtimestamp(_number(value), UTC) if isinstance(value, int | float) else None
