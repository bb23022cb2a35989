"""OAuth clients: how one names itself at the token endpoint, and what one proved (RFC 6749 §2.3)."""

from dataclasses import dataclass, field
from typing import Protocol

from limen.core.rights import Held


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedClient:
    """What a client shows of itself, by exactly one method, not yet believed.

    Attributes:
        method: a `token_endpoint_auth_method` of RFC 7591 §2: `client_secret_basic`, `private_key_jwt`, …; `none` for a
            client that only says who it is.
        client_id: who it says it is.
        proof: the secret or the signed assertion.
    """

    method: str
    client_id: str
    proof: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenClient:
    """Who a client proved to be.

    Attributes:
        subject: the user that it acts as when it acts for itself.
        held: what that user holds.
        credential_id: which of its secrets or keys proved it; for logs.
        grant_types: what it may redeem (RFC 7591 §2).
    """

    client_id: str
    subject: str
    held: Held
    credential_id: str
    grant_types: frozenset[str]


class ClientMethod(Protocol):
    """One way in which clients prove who they are.

    Attributes:
        name: as in RFC 7591 §2.
    """

    name: str

    async def prove(self, presented: PresentedClient) -> ProvenClient:
        """Who the client is.

        Raises:
            InvalidClient: whatever was wrong; an unknown client costs the same as a wrong secret.
        """
        ...
