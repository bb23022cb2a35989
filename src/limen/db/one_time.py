"""The one primitive for every single-use secret: reset, verification, OAuth state and code, ticket, invitation."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, insert

from limen.core.clock import Clock
from limen.core.opaque import digest
from limen.db.database import Database, UniqueViolation
from limen.db.tables import Tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumed:
    """What a one-time secret stood for."""

    subject: str | None
    payload: Mapping[str, object]


class OneTimeSecrets:
    """Issues secrets that succeed exactly once; only their digests are stored."""

    def __init__(self, database: Database, tables: Tables, *, clock: Clock) -> None:
        self._database = database
        self._table = tables.one_time_secrets
        self._clock = clock

    async def issue(self, kind: str, *, subject: str | None, payload: Mapping[str, object], lifetime: timedelta) -> str:
        """A fresh secret of this kind with 256 random bits; a newer one voids older ones of the same subject."""
        secret = secrets.token_urlsafe(32)
        row = {
            "kind": kind,
            "digest": digest(secret),
            "subject": subject,
            "payload": json.dumps(payload),
            "expires_at": self._clock.now() + lifetime,
        }
        async with self._database.transaction() as connection:
            if subject is not None:
                table = self._table
                await connection.execute(delete(table).where(table.c.kind == kind, table.c.subject == subject))
            await connection.execute(insert(self._table).values(row))
        return secret

    async def consume(self, kind: str, secret: str) -> Consumed | None:
        """What the secret stood for, to the first who shows it in time; None to everyone else. One statement."""
        table = self._table
        statement = (
            delete(table)
            .where(table.c.kind == kind, table.c.digest == digest(secret))
            .returning(table.c.subject, table.c.payload, table.c.expires_at)
        )
        rows = await self._database.write(statement)
        if not rows or rows[0].expires_at <= self._clock.now():
            return None
        return Consumed(subject=rows[0].subject, payload=json.loads(rows[0].payload))

    async def spend(self, kind: str, value: str, *, until: datetime) -> bool:
        """Whether a value that somebody else made (the `jti` of a signed assertion) comes for the first time.

        Args:
            until: from when on it would be refused anyway.
        """
        row = {"kind": kind, "digest": digest(value), "subject": None, "payload": "{}", "expires_at": until}
        try:
            await self._database.write(insert(self._table).values(row))
        except UniqueViolation:
            return False
        return True

    async def purge(self) -> None:
        """Delete what expired unused."""
        await self._database.write(delete(self._table).where(self._table.c.expires_at <= self._clock.now()))
