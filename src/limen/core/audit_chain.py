"""The chain of the audit record: what an entry says, in one line, and how each entry holds all before it fast.

Three values beside each entry, all of them under keys derived from the root secret or covered by what is:

* `mac`, made by whoever wrote it: HMAC-SHA256 of what it says. Nobody who merely writes to the database makes entries.
* `hash`, made when it gets its place: SHA-256 over the hash before it, its place and what it says. Needs no key, so
  entries of a root secret that is long gone are still checked by every later one.
* `seal`: HMAC-SHA256 of `hash`, so that nobody recomputes the hashes of a changed record.

The head says, under a MAC, how far the chain goes and where it begins: what is missing at either end shows.
"""

import hmac
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

ORIGIN = bytes(32)
"""The hash before the first entry."""

MAC_BYTES = 16
RESUMED = "audit_chain_resumed"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_line = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the record says of one event; every text is bounded and holds no control characters.

    Attributes:
        id: its number in the database, by which lists go on; None before it is written.
        seq: its place in the chain; None until it has one.
        event_id: 32 hexadecimal digits, the same however often it is written, so that it is there once.
        subject: whom it concerns.
        actor: who did it; `actor_kind` as in `limen.core.cause.Actor`.
        method: how they had proved who they are: `pwd`, `api_key`, …
        name_digest: keyed digest of a name that somebody typed; the name itself is nowhere.
        count: of how many alike it is the record.
        details: the event's other fields, as JSON.
    """

    id: int | None = None
    seq: int | None = None
    event_id: str
    at: datetime
    event: str
    result: str
    subject: str | None = None
    actor_kind: str = "app"
    actor: str | None = None
    method: str | None = None
    credential_id: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    name_digest: str | None = None
    count: int = 1
    details: str = "{}"

    def values(self) -> tuple[object, ...]:
        """What it says, in the order of `SAID`."""
        return tuple(getattr(self, name) for name in SAID)


SAID = (
    "event_id",
    "at",
    "event",
    "result",
    "subject",
    "actor_kind",
    "actor",
    "method",
    "credential_id",
    "ip",
    "user_agent",
    "name_digest",
    "count",
    "details",
)


def content_of(values: Sequence[object]) -> bytes:
    """The canonical form of what an entry says: one line of ASCII, `["limen.audit.1",event_id,microseconds,…]`."""
    at = values[1]
    assert isinstance(at, datetime)
    past = at - _EPOCH
    moment = (past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds
    return _line(["limen.audit.1", values[0], moment, *values[2:]]).encode("ascii")


@dataclass(frozen=True, slots=True)
class ChainKey:
    """A key for the record; `id` names it in the database."""

    id: str
    material: bytes = field(repr=False)

    @classmethod
    def of(cls, material: bytes) -> "ChainKey":
        """The key with this material."""
        return cls(hmac.digest(material, b"id", "sha256")[:6].hex(), material)

    def sign(self, purpose: bytes, content: bytes) -> bytes:
        """A MAC of 128 bits; one purpose's is never another's."""
        return hmac.digest(self.material, purpose + b"\x00" + content, "sha256")[:MAC_BYTES]


@dataclass(frozen=True, slots=True)
class ChainKeys:
    """The keys of the root secrets, the present one first; the others only verify."""

    known: tuple[ChainKey, ...]

    @classmethod
    def of(cls, materials: Sequence[bytes]) -> "ChainKeys":
        """One key per root secret."""
        return cls(tuple(map(ChainKey.of, materials)))

    @property
    def present(self) -> ChainKey:
        """The one that signs."""
        return self.known[0]

    def find(self, key_id: str | None) -> ChainKey | None:
        """The key of this name."""
        return next((key for key in self.known if key.id == key_id), None)

    def wrote(self, mac: bytes, content: bytes) -> bool:
        """Whether an entry with this content was written by someone who knows a root secret."""
        return any(hmac.compare_digest(mac, key.sign(b"entry", content)) for key in self.known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """How far the chain goes, and after which entry it begins now that older ones are purged."""

    seq: int = 0
    hash: bytes = ORIGIN
    anchor_seq: int = 0
    anchor_hash: bytes = ORIGIN

    def sign(self, key: ChainKey) -> bytes:
        """The MAC that stands beside it."""
        said = [self.seq, self.hash.hex(), self.anchor_seq, self.anchor_hash.hex()]
        return key.sign(b"head", _line(said).encode("ascii"))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHead:
    """A head as the database has it, not yet believed."""

    head: Head
    key_id: str
    mac: bytes

    def is_genuine(self, keys: ChainKeys) -> bool:
        """Whether a known key signed it."""
        key = keys.find(self.key_id)
        return key is not None and hmac.compare_digest(self.mac, self.head.sign(key))


class Row(NamedTuple):
    """An entry as the database has it, not yet believed; `values` in the order of `SAID`. A million are walked."""

    id: int
    seq: int | None
    key_id: str | None
    mac: bytes
    hash: bytes | None
    seal: bytes | None
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """An entry's place in the chain."""

    seq: int
    key_id: str
    hash: bytes
    seal: bytes


def link(previous: bytes, row: Row, content: bytes, *, seq: int, key: ChainKey) -> Link:
    """The place of `row` after the entry with the hash `previous`."""
    made = _hash(previous, row.id, seq, key.id, row.mac, content)
    return Link(seq, key.id, made, key.sign(b"link", made))


def _hash(previous: bytes, id: int, seq: int, key_id: str, mac: bytes, content: bytes) -> bytes:
    return sha256(previous + b"%d %d %b %b " % (id, seq, key_id.encode(), mac.hex().encode()) + content).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """What is wrong with the record, and where.

    Attributes:
        kind: `changed`, `missing`, `inserted`, `forged`, `head`, `resumed`, `truncated`.
        seq: the first place that it is about; None where an entry has none.
        last_seq: the last one.
        id: the number of the row, where there is one.
        sentence: the same for people.
    """

    kind: str
    sentence: str
    seq: int | None = None
    last_seq: int | None = None
    id: int | None = None


class Walk:
    """Checks entries in the order of their places; it remembers nothing but the last.

    Args:
        keys: of the root secrets that are known now.
        head: a genuine one: the entries after its anchor are walked.

    Attributes:
        seq: the place of the last entry that was seen.
        checked: how many were.
        unsealed: how many of them are sealed by a root secret that is not known any more; the hashes that later ones
            build on still hold them.
    """

    def __init__(self, keys: ChainKeys, head: Head) -> None:
        self.seq = head.anchor_seq
        self.checked = self.unsealed = 0
        self._keys = keys
        self._candidates: tuple[bytes, ...] = (head.anchor_hash,)
        self._known = {key.id: key for key in keys.known}

    def check(self, rows: Sequence[Row]) -> Iterator[Flaw]:
        """What is wrong with these entries, which follow those of the last call."""
        for row in rows:
            yield from self._check(row)

    def _check(self, row: Row) -> Iterator[Flaw]:
        self.checked += 1
        content, seq = _readable_content(row), row.seq or 0
        if seq != self.seq + 1:
            yield _missing(self.seq + 1, seq - 1)
            self._candidates = ()
        made = {_hash(before, row.id, seq, row.key_id or "", row.mac, content) for before in self._candidates}
        key = self._known.get(row.key_id or "")
        stored = row.hash or b""
        if (self._candidates and stored not in made) or not self._is_sealed(key, row, content):
            yield Flaw(kind="changed", seq=seq, last_seq=seq, id=row.id, sentence=f"Entry {seq} was changed.")
        elif row.values[2] == RESUMED:
            yield _resumed(row, seq)
        self._candidates = (stored, *(made - {stored}))
        self.seq = seq

    def _is_sealed(self, key: ChainKey | None, row: Row, content: bytes) -> bool:
        """By its hash; where the entry before is missing, nothing but the MACs say so."""
        if key is None:
            self.unsealed += 1
            return True
        if not self._candidates and not self._keys.wrote(row.mac, content):
            return False
        return hmac.compare_digest(row.seal or b"", key.sign(b"link", row.hash or b""))


def _readable_content(row: Row) -> bytes:
    try:
        return content_of(row.values)
    except (AssertionError, TypeError, ValueError, OverflowError):  # no value that limen ever wrote
        return b""


def _missing(first: int, last: int) -> Flaw:
    if last < first:
        return Flaw(kind="inserted", seq=last + 1, last_seq=last + 1, sentence=f"There is a second entry {last + 1}.")
    which = f"Entry {first} is" if first == last else f"Entries {first} to {last} are"
    return Flaw(kind="missing", seq=first, last_seq=last, sentence=f"{which} missing.")


def _resumed(row: Row, seq: int) -> Flaw:
    sentence = f"The head was not genuine when entry {seq} went on: entries before it may be missing."
    return Flaw(kind="resumed", seq=seq, last_seq=seq, id=row.id, sentence=sentence)
