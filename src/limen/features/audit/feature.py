"""Declares the feature `audit`."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, ClassVar

from fastapi import APIRouter
from pydantic import Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import Table

from limen.core.audit_chain import ChainKeys, Entry
from limen.core.policy import Policy
from limen.db.tables import Tables
from limen.events import Listener
from limen.feature import Feature
from limen.features.audit.routes import READ, routes
from limen.features.audit.service import AuditService
from limen.features.audit.steps import Chain
from limen.features.audit.store import AuditStore
from limen.features.audit.tables import audit_head_table, audit_table
from limen.kernel import Kernel
from limen.settings import CommaList, load

MAX_EXPORTED = 1000


class AuditSettings(BaseSettings):
    """`LIMEN_AUDIT_…`: how long entries are kept, and which events have none."""

    model_config = SettingsConfigDict(env_prefix="LIMEN_AUDIT_", env_file=".env", extra="ignore", frozen=True)

    retention_days: float = Field(default=400, ge=0, description="how long entries are kept; 0 for ever")
    skip: Annotated[tuple[str, ...], NoDecode, CommaList] = Field(
        default=("tokens_refreshed",), description="events that are counted and not recorded, comma separated"
    )


class Audit(AuditService, Feature):
    """A record of who did what, when, from where and how, in which tampering shows.

    Args:
        skip: instead of the setting: names of events that are counted and not recorded.
        retention: instead of the setting.
    """

    name = "audit"
    settings: ClassVar[type[BaseSettings]] = AuditSettings

    def __init__(self, *, skip: Sequence[str] | None = None, retention: timedelta | None = None) -> None:
        super().__init__()
        self._given_skip = skip
        self._given_retention = retention

    def bind(self, kernel: Kernel) -> None:
        self.kernel = kernel
        settings = load(AuditSettings)
        kept = timedelta(days=settings.retention_days) if settings.retention_days else None
        self.skipped = frozenset(settings.skip if self._given_skip is None else self._given_skip)
        self.retention = self._given_retention or kept
        self.digest_keys = kernel.derived_keys("audit names")
        keys = ChainKeys.of(kernel.derived_keys("audit"))
        table, heads = audit_table(kernel.tables), audit_head_table(kernel.tables)
        self.store = AuditStore(kernel.database, table, heads, keys=keys)
        self.chain = Chain(kernel.database, self.store, keys=keys, clock=kernel.clock)
        kernel.events.record_by(self.record)
        kernel.events.watch(self.note)
        kernel.follower.purge_by("audit entries", self.purge)

    def listeners(self) -> Sequence[Listener]:
        return (self.hear,)

    def routes(self) -> Sequence[APIRouter]:
        return (routes(self),)

    def tables(self, kernel_tables: Tables) -> Sequence[Table]:
        return (audit_table(kernel_tables), audit_head_table(kernel_tables))

    def policies(self) -> Sequence[Policy]:
        return (READ,)

    async def export_of(self, user_id: object) -> Mapping[str, object]:
        """The latest entries about the person; from where somebody else acted stays that person's own affair."""
        subject = str(user_id)
        latest = await self.list(user=user_id, limit=MAX_EXPORTED)
        return {"entries": [_exported(entry, to=subject) for entry in latest]}

    async def start(self) -> None:
        await self.begin()

    async def stop(self) -> None:
        await self.end()


def _exported(entry: Entry, *, to: str) -> Mapping[str, object]:
    shown = ("at", "event", "result", "method", "count")
    own = ("ip", "user_agent") if entry.actor == to else ()
    return {name: getattr(entry, name) for name in (*shown, *own)}
