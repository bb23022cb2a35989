"""What verified claims say of whoever presents them (RFC 9068 §2.2)."""

from collections.abc import Mapping
from datetime import UTC, datetime

from limen.core.principal import Principal


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
