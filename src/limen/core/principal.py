"""Who a verified credential proves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from limen.core.conditions import Condition
from limen.core.permissions import covers_any

_NO_CLAIMS: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who a verified credential proves: a frozen value, made without a look at the database.

    Attributes:
        subject: the user's id, as text (`sub`).
        issuer: who vouches: the `iss` of the token, or this app's own issuer for cookies and API keys.
        credential: what was presented: `access_token`, `session_cookie`, `api_key`.
        permissions: what this credential may do now: granted to the user ∩ scopes of the credential.
        roles: the user's roles whose permissions this credential carries whole.
        session_id: the sign-in that it belongs to; None for API keys and services.
        credential_id: the `jti` of a token or the id of an API key; for logs.
        client_id: the OAuth client that acts, if one does.
        auth_time: when the person last proved who they are; None where nobody did (API keys).
        amr: how they proved it (RFC 8176: `pwd`, `otp`, `hwk`, `mfa`…).
        expires_at: seconds since the epoch at which the credential ends.
        account: the id, as text, of the row that another issuer's subject has here; None for this app's own people,
            whose `subject` it is, and for whoever has none.
        elsewhere: whether another issuer vouches, whose subjects are no namesakes of this app's users.
        epoch: the version of the user's rights that it was made with.
        version: the version of the credential's own record, for those that can change.
        conditions: what it asks of every request that carries it: from where, how often.
        claims: the other verified claims of the token, as they came.
    """

    subject: str
    issuer: str
    credential: str
    permissions: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    session_id: str | None = None
    credential_id: str | None = None
    client_id: str | None = None
    auth_time: datetime | None = None
    amr: tuple[str, ...] = ()
    expires_at: float = float("inf")
    account: str | None = None
    elsewhere: bool = False
    epoch: int = 0
    version: int = 0
    conditions: tuple[Condition, ...] = field(default=(), repr=False, compare=False)
    claims: Mapping[str, object] = field(default_factory=lambda: _NO_CLAIMS, repr=False, hash=False)

    @property
    def user_id(self) -> str | None:
        """The id, as text, of the row that this person has here, whoever vouches; None for who has none.

        What belongs to somebody is kept by this: `subject` is a name only together with `issuer`.
        """
        return self.account if self.elsewhere or self.account is not None else self.subject

    def can(self, permission: str) -> bool:
        """Whether this credential carries `permission`, itself or through a wider one (`items` covers `items:read`)."""
        return covers_any(self.permissions, permission)
