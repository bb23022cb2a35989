"""The signing keys at rest: sealed, with their lives beside them. Every verb is one statement."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Row, Select, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.key_timeline import KeyTimes
from limen.core.keys import SigningKey
from limen.core.sealing import SealBroken, Sealer
from limen.db.database import Database
from limen.db.tables import Tables
from limen.db.types import from_epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A row: the key's life, and the sealed private key until it is destroyed."""

    times: KeyTimes
    sealed: bytes | None = field(repr=False)


class KeyStore:
    """Keeps, lists, advances, retires and deletes signing keys. No row can be opened elsewhere than in its place."""

    def __init__(self, database: Database, tables: Tables, *, sealer: Sealer) -> None:
        self.database = database
        self._table = tables.signing_keys
        self._sealer = sealer

    async def list_all(self) -> tuple[StoredKey, ...]:
        """Every key, the oldest first; none is opened for it."""
        return tuple(map(_stored, await self.database.read(self._all())))

    async def lock(self, connection: AsyncConnection) -> tuple[StoredKey, ...]:
        """The same for whoever is about to change them: others who want to wait until this transaction ends.

        A key that was added while this waited is missing; adding another of the same generation fails.
        """
        return tuple(map(_stored, await connection.execute(self._all().with_for_update())))

    async def insert(self, connection: AsyncConnection, key: SigningKey, times: KeyTimes) -> None:
        """Add a key, sealed.

        Raises:
            UniqueViolation: another has the same generation; it aborts the transaction.
        """
        row = {
            "kid": times.kid,
            "generation": times.generation,
            "algorithm": times.algorithm,
            "sealed": self._sealer.seal(key.pem, bound_to=_place(times)),
            "created_at": from_epoch(times.created_at),
            "signs_from": from_epoch(times.signs_from),
        }
        await connection.execute(insert(self._table).values(row))

    async def advance(self, connection: AsyncConnection, kid: str, *, signs_from: float) -> None:
        """Let an announced key's turn come at another time."""
        table = self._table
        await connection.execute(update(table).where(table.c.kid == kid).values(signs_from=from_epoch(signs_from)))

    async def retire(self, connection: AsyncConnection, kid: str, *, retired_at: float) -> None:
        """Refuse a key for good: what is sealed of it is destroyed."""
        table, values = self._table, {"retired_at": from_epoch(retired_at), "sealed": None}
        await connection.execute(update(table).where(table.c.kid == kid, table.c.retired_at.is_(None)).values(values))

    async def destroy(self, kids: Iterable[str]) -> None:
        """Destroy what is sealed of these keys and keep their lives for the record."""
        table = self._table
        await self.database.write(update(table).where(table.c.kid.in_(list(kids))).values(sealed=None))

    async def delete(self, kids: Iterable[str]) -> None:
        """Delete these keys."""
        table = self._table
        await self.database.write(delete(table).where(table.c.kid.in_(list(kids))))

    async def reseal(self, row: StoredKey) -> None:
        """Put a key under the present root secret, so that the one which that replaced can go.

        Raises:
            SealBroken: none of the known root secrets opens it.
        """
        new = self._sealer.reseal(row.sealed, bound_to=_place(row.times)) if row.sealed else None
        if new is not None:
            table = self._table
            same = table.c.kid == row.times.kid, table.c.sealed == row.sealed  # someone else may have been quicker
            await self.database.write(update(table).where(*same).values(sealed=new))

    def open(self, row: StoredKey) -> SigningKey:
        """The key in a row.

        Raises:
            SealBroken: none of the known root secrets opens it, or it was destroyed.
        """
        if row.sealed is None:
            raise SealBroken
        pem = self._sealer.unseal(row.sealed, bound_to=_place(row.times))
        return SigningKey(row.times.kid, row.times.algorithm, pem)

    def _all(self) -> Select[tuple[object, ...]]:
        return select(self._table).order_by(self._table.c.generation)


def _place(times: KeyTimes) -> str:
    return f"signing key {times.kid} {times.algorithm}"


def _stored(row: Row[tuple[object, ...]]) -> StoredKey:
    values = row._mapping
    times = KeyTimes(
        kid=values["kid"],
        generation=values["generation"],
        algorithm=values["algorithm"],
        created_at=values["created_at"].timestamp(),
        signs_from=values["signs_from"].timestamp(),
        retired_at=values["retired_at"].timestamp() if values["retired_at"] else None,
    )
    return StoredKey(times=times, sealed=values["sealed"])
