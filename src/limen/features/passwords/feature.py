"""Declares the feature `passwords`."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from fastapi import APIRouter
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.login import Grant
from limen.core.password_rules import PasswordRules
from limen.core.passwords import PasswordHasher
from limen.core.policy import Policy
from limen.core.revocations import Revocation
from limen.db.tables import Tables
from limen.feature import Feature
from limen.features.passwords.breaches import BreachList
from limen.features.passwords.routes import OWNER, PasswordGrant, routes
from limen.features.passwords.service import PasswordService
from limen.features.passwords.store import PasswordStore
from limen.features.passwords.tables import password_table
from limen.kernel import Kernel
from limen.settings import load

SAMPLE = 500
"""Digests that the start looks at: an app that moved in has one or two kinds."""


class PasswordSettings(BaseSettings):
    """`LIMEN_PASSWORDS_…`: Argon2id's cost, the hashing pool of each process, and the shortest password."""

    model_config = SettingsConfigDict(env_prefix="LIMEN_PASSWORDS_", env_file=".env", extra="ignore", frozen=True)

    min_length: int = Field(default=8, ge=8, le=128, description="characters")
    memory_kib: int = Field(default=19 * 1024, ge=8, description="Argon2id memory of one hash")
    iterations: int = Field(default=2, ge=1, description="Argon2id passes")
    workers: int = Field(default=1, ge=1, le=64, description="hashing threads of one process")
    waiting: int = Field(default=400, ge=1, description="passwords that may wait; the next is a 503")
    breach_check: Literal["off", "on"] = Field(
        default="off", description="whether new passwords are looked up in Have I Been Pwned, five characters of a hash"
    )
    breach_url: str = Field(default="https://api.pwnedpasswords.com", description="a mirror of it, without `/range`")


class Passwords(PasswordService, Feature):
    """Sign-in by password, hashed by Argon2id in a bounded pool that never blocks the event loop.

    Args:
        hasher: another cost or pool than the settings say; tests hand in a cheap one.
    """

    name = "passwords"
    settings: ClassVar[type[BaseSettings]] = PasswordSettings

    def __init__(self, *, hasher: PasswordHasher | None = None) -> None:
        self._given_hasher = hasher

    def bind(self, kernel: Kernel) -> None:
        self.kernel = kernel
        settings = load(PasswordSettings)
        self.rules = PasswordRules(min_length=settings.min_length)
        self.hasher = self._given_hasher or PasswordHasher(
            memory_kib=settings.memory_kib,
            iterations=settings.iterations,
            workers=settings.workers,
            waiting=settings.waiting,
        )
        self.breaches = BreachList(settings.breach_url) if settings.breach_check == "on" else None
        self.store = PasswordStore(kernel.database, password_table(kernel.tables), kernel.users)

    def grants(self) -> Sequence[Grant]:
        return (PasswordGrant(self),)

    def routes(self) -> Sequence[APIRouter]:
        return routes(self)

    def tables(self, kernel_tables: Tables) -> Sequence[Table]:
        return (password_table(kernel_tables),)

    def policies(self) -> Sequence[Policy]:
        return (OWNER,)

    async def start(self) -> None:
        """See what other apps' digests there are, so that a failing sign-in costs the same for all of them."""
        self.hasher.make_up_for(await self.store.sample(but=self.hasher.own_form, limit=SAMPLE))
        if self.breaches is not None:
            await self.breaches.prepare()

    async def export_of(self, user_id: object) -> Mapping[str, object]:
        changed_at = await self.store.changed_at(user_id)
        return {} if changed_at is None else {"changed_at": changed_at}

    async def disown(self, connection: AsyncConnection, user_id: object) -> Sequence[Revocation]:
        await self.store.forget(connection, user_id)
        return ()

    async def has_way_in(self, connection: AsyncConnection, user_id: object) -> bool:
        return await self.store.has(connection, user_id)

    async def stop(self) -> None:
        self.hasher.close()
