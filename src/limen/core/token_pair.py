"""What a sign-in's tokens say, and what of them the client gets."""

from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """What an access token says of the sign-in behind it."""

    subject: str
    session_id: UUID
    amr: tuple[str, ...]
    auth_time: float
    client_id: str | None
    epoch: int

    def claims(self) -> dict[str, object]:
        """RFC 9068 §2.2.1, with the session (`sid`) and the version of the user's rights (`epoch`)."""
        client = {} if self.client_id is None else {"client_id": self.client_id}
        return {
            "sub": self.subject,
            "sid": str(self.session_id),
            "auth_time": int(self.auth_time),
            "amr": list(self.amr),
            "epoch": self.epoch,
            **client,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """What the client gets (RFC 6749 §5.1): `expires_in` in seconds, `scope` as it was granted."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    scope: str

    def body(self) -> dict[str, object]:
        """The members of the answer."""
        return {
            "access_token": self.access_token,
            "refresh_token": self.refresh_token,
            "token_type": "bearer",
            "expires_in": self.expires_in,
            "scope": self.scope,
        }
