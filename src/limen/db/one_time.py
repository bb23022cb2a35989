"""The one primitive for every single-use secret: reset, verification, OAuth state and code, ticket, invitation.

A secret has 256 random bits and is found by its digest. Beside it there may be a code of six digits for people to
type: it is found by kind and subject, never by itself, stored as a keyed MAC, and good for a few tries.
"""

import hmac
import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Insert, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningDelete

from limen.core.clock import Clock
from limen.core.opaque import digest
from limen.db.database import Database, UniqueViolation
from limen.db.expired import delete_expired
from limen.db.sqlite_lane import Rows
from limen.db.tables import Tables

CODE_DIGITS = 6
CODE_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A fresh secret and the code beside it: known now and never again."""

    secret: str = field(repr=False)
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumed:
    """What a one-time secret stood for."""

    subject: str | None
    payload: Mapping[str, object]


def nobody(name: str) -> str:
    """The subject of a secret that nobody gets: work for a name without an account is then the same work."""
    return f"nobody {digest(name).hex()}"


class OneTimeSecrets:
    """Issues secrets that succeed exactly once; only their digests, and MACs of their codes, are stored.

    Args:
        code_keys: what codes are MACed with, the present key first; the others only verify.
    """

    def __init__(self, database: Database, tables: Tables, *, clock: Clock, code_keys: Sequence[bytes]) -> None:
        self._database = database
        self._table = tables.one_time_secrets
        self._clock = clock
        self._code_keys = tuple(code_keys)

    async def issue(self, kind: str, *, subject: str | None, payload: Mapping[str, object], lifetime: timedelta) -> str:
        """A fresh secret of this kind with 256 random bits; a newer one voids the older of the same subject."""
        secret = secrets.token_urlsafe(32)
        await self._database.write(self._issue(self._row(kind, secret, subject, payload, lifetime)))
        return secret

    async def issue_within(
        self,
        connection: AsyncConnection,
        kind: str,
        *,
        subject: str | None,
        payload: Mapping[str, object],
        lifetime: timedelta,
    ) -> str:
        """The same inside a caller's transaction: the secret and the mail that carries it are there together."""
        secret = secrets.token_urlsafe(32)
        await connection.execute(self._issue(self._row(kind, secret, subject, payload, lifetime)))
        return secret

    async def issue_with_code_within(
        self,
        connection: AsyncConnection,
        kind: str,
        *,
        subject: str,
        payload: Mapping[str, object],
        lifetime: timedelta,
    ) -> Issued:
        """The same with a code beside it; whichever of the two is used first uses both up."""
        secret, code = secrets.token_urlsafe(32), f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"
        row = self._row(kind, secret, subject, payload, lifetime)
        coded = {"code_mac": _mac(self._code_keys[0], digest(secret), code), "tries_left": CODE_TRIES}
        await connection.execute(self._issue({**row, **coded}))
        return Issued(secret=secret, code=code)

    async def peek(self, kind: str, secret: str) -> Consumed | None:
        """What the secret stands for as things are; it is not used up, and nothing may follow from it but a refusal."""
        table = self._table
        statement = select(table.c.subject, table.c.payload, table.c.expires_at).where(
            table.c.kind == kind, table.c.digest == digest(secret)
        )
        return self._consumed(await self._database.read(statement))

    async def consume(self, kind: str, secret: str) -> Consumed | None:
        """What the secret stood for, to the first who shows it in time; None to everyone else. One statement."""
        return self._consumed(await self._database.write(self._consume(kind, digest(secret))))

    async def consume_within(self, connection: AsyncConnection, kind: str, secret: str) -> Consumed | None:
        """The same inside a caller's transaction: the secret is used up if and only if what it is for is done."""
        return self._consumed((await connection.execute(self._consume(kind, digest(secret)))).all())

    async def find_by_code(self, kind: str, code: str, *, subject: str) -> str | None:
        """Take one of the tries of a code; the handle for `consume_found_within` if it is right.

        The try is committed before the code is looked at, so that any number of guesses at once are counted exactly.
        When none is left the code is void; the link beside it is not, so that a guesser cannot void other people's.
        """
        table = self._table
        statement = (
            update(table)
            .where(table.c.kind == kind, table.c.subject == subject, table.c.tries_left > 0)
            .where(table.c.expires_at > self._clock.now())
            .values(tries_left=table.c.tries_left - 1)
            .returning(table.c.digest, table.c.code_mac)
        )
        rows = await self._database.write(statement)
        if not rows:
            return None
        found: bytes = rows[0].digest
        is_right = any(hmac.compare_digest(rows[0].code_mac, _mac(key, found, code)) for key in self._code_keys)
        return found.hex() if is_right else None

    async def consume_found_within(self, connection: AsyncConnection, kind: str, handle: str) -> Consumed | None:
        """Use up what `find_by_code` found, inside a caller's transaction; to the first, like `consume`."""
        return self._consumed((await connection.execute(self._consume(kind, bytes.fromhex(handle)))).all())

    async def void_within(self, connection: AsyncConnection, subject: str, kinds: Collection[str]) -> None:
        """Let the secrets of these kinds that a subject still has be good for nothing."""
        table = self._table
        await connection.execute(delete(table).where(table.c.subject == subject, table.c.kind.in_(kinds)))

    async def void_all_within(self, connection: AsyncConnection, subject: str) -> None:
        """The same with all kinds: the subject is gone, and its id may be given out again."""
        await connection.execute(delete(self._table).where(self._table.c.subject == subject))

    async def standing(self, kind: str, *, subject: str) -> Mapping[str, object]:
        """The payload of the secret that a subject has still, empty without one; for the one that takes its place."""
        table = self._table
        statement = select(table.c.payload).where(table.c.kind == kind, table.c.subject == subject)
        rows = await self._database.read(statement)
        return json.loads(rows[0].payload) if rows else {}

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

    async def purge(self) -> int:
        """Delete what expired unused."""
        return await delete_expired(self._database, self._table, self._table.c.expires_at <= self._clock.now())

    def _row(
        self, kind: str, secret: str, subject: str | None, payload: Mapping[str, object], lifetime: timedelta
    ) -> Mapping[str, object]:
        return {
            "kind": kind,
            "digest": digest(secret),
            "subject": subject,
            "payload": json.dumps(payload),
            "expires_at": self._clock.now() + lifetime,
            "code_mac": None,
            "tries_left": None,
        }

    def _issue(self, row: Mapping[str, object]) -> Insert:
        """One statement: of two that are issued at once to one subject, the later takes the place of the other."""
        insert_or_update = sqlite.insert if self._database.is_sqlite else postgresql.insert
        statement: sqlite.Insert | postgresql.Insert = insert_or_update(self._table).values(row)
        values = {name: statement.excluded[name] for name in row if name not in ("kind", "subject")}
        return statement.on_conflict_do_update(index_elements=["kind", "subject"], set_=values)

    def _consume(self, kind: str, secret_digest: bytes) -> ReturningDelete[tuple[object, ...]]:
        table = self._table
        return (
            delete(table)
            .where(table.c.kind == kind, table.c.digest == secret_digest)
            .returning(table.c.subject, table.c.payload, table.c.expires_at)
        )

    def _consumed(self, rows: Rows) -> Consumed | None:
        if not rows or rows[0].expires_at <= self._clock.now():
            return None
        return Consumed(subject=rows[0].subject, payload=json.loads(rows[0].payload))


def _mac(key: bytes, secret_digest: bytes, code: str) -> bytes:
    """Six digits have a million digests, so the database alone must not tell which; each row has its own MAC."""
    return hmac.digest(key, secret_digest + code.encode(), "sha256")
