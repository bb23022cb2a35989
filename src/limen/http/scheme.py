"""What a request presents, and who can verify it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from limen.core.client import NOWHERE, Client
from limen.core.principal import Principal


class Carrier(StrEnum):
    """How a credential travelled."""

    BEARER = "bearer"
    HEADER = "header"
    COOKIE = "cookie"
    QUERY = "query"
    KEY_COOKIE = "key_cookie"


AMBIENT = frozenset({Carrier.COOKIE, Carrier.KEY_COOKIE})
"""What browsers send by themselves, so that where the request came from must be asked too."""

UNSAFE = frozenset({Carrier.QUERY, Carrier.KEY_COOKIE})
"""Read only where a scheme that was turned on asks for it: URLs end up in logs and histories, cookies are ambient."""


@dataclass(frozen=True, slots=True)
class Presented:
    """A credential as it came: bounded, ASCII, not yet believed.

    Attributes:
        client: from where, when its scheme is asked.
    """

    carrier: Carrier
    value: str = field(repr=False)
    client: Client = field(default=NOWHERE, compare=False)


class Scheme(Protocol):
    """Reads one kind of credential and verifies it.

    Attributes:
        name: the scheme's name in OpenAPI.
        carriers: how its credentials travel.
    """

    name: str
    carriers: tuple[Carrier, ...]

    def openapi(self) -> Mapping[str, object]:
        """The OpenAPI security scheme object."""
        ...

    def reads(self, presented: Presented) -> bool:
        """Whether this is a credential of the scheme, by its form alone."""
        ...

    async def verify(self, presented: Presented) -> Principal:
        """Who it proves.

        Raises:
            InvalidCredential: it proves nobody.
            Unavailable: what decides it is down.
        """
        ...
