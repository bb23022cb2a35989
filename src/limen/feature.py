"""A feature: one capability, one folder. It says what it adds through these seams, all of them optional."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fastapi import APIRouter
from pydantic_settings import BaseSettings
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.client import Client
from limen.core.login import Grant, Issuer, Step
from limen.core.oauth_client import ClientMethod
from limen.core.policy import Policy
from limen.core.principal import Principal
from limen.core.revocations import Revocation
from limen.db.tables import Tables
from limen.events import Listener
from limen.http.scheme import Presented, Scheme
from limen.kernel import Kernel

if TYPE_CHECKING:
    from typer import Typer


Severity = Literal["error", "warning", "note"]
SEVERITIES: Mapping[str, Severity] = {"E": "error", "W": "warning", "I": "note"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check found.

    Attributes:
        id: `limen.E003` stops the start, `limen.W001` is logged, `limen.I002` is only for who asks. Features number
            from 001 to 099; what only `limen check` looks at begins with 101.
        sentence: what is wrong and the cure.
        reason: why that matters, where the sentence does not say it.
        cure: what to do, where the sentence does not say it.
        where: a setting, a route, or a file with its line.
        line: of the file that `where` names; None where it names something else.
    """

    id: str
    sentence: str
    reason: str = ""
    cure: str = ""
    where: str = ""
    line: int | None = None

    @property
    def severity(self) -> Severity:
        """By the letter of the id."""
        return SEVERITIES.get(self.id.removeprefix("limen.")[:1], "warning")

    @property
    def docs(self) -> str:
        """Where the documentation tells of it."""
        return f"docs/checks.md#{self.id.replace('.', '').lower()}"


class Feature:
    """What a capability adds to an `Auth`. Every seam has an empty answer by default.

    Attributes:
        name: one word, the same in folder, tests, docs, settings prefix and CLI group.
        requires: names of features whose `service` this one uses.
        settings: a pydantic-settings class of its own, prefix `LIMEN_<NAME>_`, if it has any.
    """

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[type[BaseSettings] | None] = None
    kernel: Kernel

    def bind(self, kernel: Kernel) -> None:
        """Take the kernel; the seams are asked after every feature has it."""
        self.kernel = kernel

    def schemes(self) -> Sequence[Scheme]:
        """Readers of credentials."""
        return ()

    def steps(self) -> Sequence[Step]:
        """Gates between the first factor and the session."""
        return ()

    def issuers(self) -> Sequence[Issuer]:
        """What a finished sign-in can be handed out by."""
        return ()

    def grants(self) -> Sequence[Grant]:
        """Grant types of the token endpoint."""
        return ()

    def client_methods(self) -> Sequence[ClientMethod]:
        """Ways for OAuth clients to prove who they are at the token endpoint."""
        return ()

    def routes(self) -> Sequence[APIRouter]:
        """HTTP."""
        return ()

    def tables(self, kernel_tables: Tables) -> Sequence[Table]:  # noqa: ARG002 - the seam's shape
        """Tables of its own, derived from the user table."""
        return ()

    def listeners(self) -> Sequence[Listener]:
        """Who hears events."""
        return ()

    def policies(self) -> Sequence[Policy]:
        """Policies that its own routes use, so that start-up can check the names in them."""
        return ()

    def checks(self) -> Sequence[Finding]:
        """What start-up and `limen check` should say."""
        return ()

    def cli(self) -> "Typer | None":
        """Its group of commands."""
        return None

    def uid_of(self, principal: Principal) -> str | None:  # noqa: ARG002 - the seam's shape
        """What `auth.uid()` is, in row-level policies, of those of its people who have another id there."""
        return None

    async def export_of(self, user_id: object) -> Mapping[str, object]:  # noqa: ARG002 - the seam's shape
        """What it holds of a person, for that person to take along; never a secret, nor what proves one."""
        return {}

    async def disown(
        self,
        connection: AsyncConnection,  # noqa: ARG002 - the seam's shape
        user_id: object,  # noqa: ARG002
    ) -> Sequence[Revocation]:
        """Take back the ways in that an account has, because they may be a stranger's; in a caller's transaction.

        The caller applies the revocations after its commit.
        """
        return ()

    async def has_way_in(
        self,
        connection: AsyncConnection,  # noqa: ARG002 - the seam's shape
        user_id: object,  # noqa: ARG002
    ) -> bool:
        """Whether a person could sign in by what it keeps of them; asked before another way in is taken away."""
        return False

    async def log_out(
        self,
        principal: Principal,  # noqa: ARG002 - the seam's shape
        presented: Presented,  # noqa: ARG002
        *,
        client: Client,  # noqa: ARG002
    ) -> bool:
        """End the session of a credential that another issuer vouches for, here and there; False if none of its."""
        return False

    async def end_held(self, cookie: str, *, client: Client) -> None:
        """End the session that a browser still held when it signed in anew, if it is one of its own."""

    async def start(self) -> None:
        """Begin what runs beside the requests."""

    async def stop(self) -> None:
        """End it."""


def features_of(kernel: Kernel) -> Sequence[Feature]:
    """Every feature of this `Auth`, for whoever asks a seam of all of them."""
    return [each for each in kernel.features.values() if isinstance(each, Feature)]


async def end_what_is_held(kernel: Kernel, client: Client) -> None:
    """ASVS 7.2.4: a new sign-in ends the session that the browser still held, whichever feature's it was."""
    if client.session_cookie is not None:
        for feature in features_of(kernel):
            await feature.end_held(client.session_cookie, client=client)
