"""The kernel's tables, derived from the user table: its metadata, its key's type.

Secrets at rest are digests. Everything is named `limen_…`, so an app's database shows what is limen's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
)

from limen.db.types import DatabaseSeconds, Timestamp
from limen.db.users import UserMixin, key_column

BigId = BigInteger().with_variant(Integer, "sqlite")
"""A growing 64-bit key; SQLite only numbers rows by itself for a column that says INTEGER."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The user table and what hangs on it."""

    users: Table
    user_key: Column[object]
    sessions: Table
    user_roles: Table
    user_permissions: Table
    revocations: Table
    one_time_secrets: Table
    signing_keys: Table
    identities: Table
    departed: Table
    address_changes: Table

    def all(self) -> tuple[Table, ...]:
        """Every table of the kernel, the user's first."""
        found = [getattr(self, field.name) for field in fields(self)]
        return tuple(item for item in found if isinstance(item, Table))


def derive_tables(user: type[UserMixin]) -> Tables:
    """The kernel's tables beside this user model, in its metadata; asked twice, the same ones.

    Raises:
        ConfigurationError: the model has no single key column.
    """
    key = key_column(user)
    users = key.table
    metadata = users.metadata
    return Tables(
        users=users,
        user_key=key,
        sessions=define(metadata, "limen_sessions", lambda: _session_columns(key)),
        user_roles=define(metadata, "limen_user_roles", lambda: _granted_columns(key, "role", 64)),
        user_permissions=define(metadata, "limen_user_permissions", lambda: _granted_columns(key, "permission", 128)),
        revocations=define(metadata, "limen_revocations", _revocation_columns),
        one_time_secrets=define(metadata, "limen_one_time_secrets", _one_time_columns),
        signing_keys=define(metadata, "limen_signing_keys", _signing_key_columns),
        identities=define(metadata, "limen_identities", lambda: _identity_columns(key)),
        departed=define(metadata, "limen_departed", _departed_columns),
        address_changes=define(metadata, "limen_address_changes", lambda: _address_change_columns(key)),
    )


def define(metadata: MetaData, name: str, columns: Callable[[], Sequence[Column[object] | Index]]) -> Table:
    """The table of this name in `metadata`, made on first asking; slices define theirs with it.

    Indexes are named as the migrations name them, whatever naming convention the app's metadata has.
    """
    known = metadata.tables.get(name)
    if known is not None:
        return known
    items = columns()
    indexed = [item for item in items if isinstance(item, Column) and item.index]
    for column in indexed:
        column.index = None
    table = Table(name, metadata, *items)
    for column in indexed:
        Index(f"ix_{name}_{column.name}", column)
    return table


def user_reference(key: Column[object], *, primary_key: bool = False, index: bool = False) -> Column[object]:
    """A `user_id` column that follows the user's key and dies with the user."""
    target = ForeignKey(f"{key.table.fullname}.{key.name}", ondelete="CASCADE")
    return Column("user_id", key.type, target, primary_key=primary_key, index=index, nullable=False)


def _session_columns(key: Column[object]) -> list[Column[object] | Index]:
    return [
        Column("id", Uuid, primary_key=True),
        user_reference(key, index=True),
        Column("carrier", String(16), nullable=False),
        Column("secret_digest", LargeBinary(32)),
        Column("generation", BigInteger, nullable=False, default=0),
        Column("rotations", String(256), nullable=False, default=""),
        Column("scope", Text),
        Column("client_id", String(255)),
        Column("amr", String(255), nullable=False),
        Column("authenticated_at", Timestamp, nullable=False),
        Column("created_at", Timestamp, nullable=False),
        Column("last_seen_at", Timestamp, nullable=False),
        Column("idle_ends_at", Timestamp, nullable=False),
        Column("ends_at", Timestamp, nullable=False, index=True),
        Column("ip", String(45)),
        Column("user_agent", String(256)),
        Column("ended_at", Timestamp),
        Column("end_reason", String(64)),
    ]


def _granted_columns(key: Column[object], name: str, length: int) -> list[Column[object] | Index]:
    return [
        user_reference(key, primary_key=True),
        Column(name, String(length), primary_key=True, index=True),
    ]


def _revocation_columns() -> list[Column[object] | Index]:
    return [
        Column("id", BigId, primary_key=True, autoincrement=True),
        Column("kind", String(16), nullable=False),
        Column("target", String(255), nullable=False),
        Column("epoch", BigInteger, nullable=False),
        Column("expires_at", Timestamp, nullable=False, index=True),
        Column("written_at", BigInteger, nullable=False, default=DatabaseSeconds(), index=True),
    ]


def _one_time_columns() -> list[Column[object] | Index]:
    return [
        Column("kind", String(32), primary_key=True),
        Column("digest", LargeBinary(32), primary_key=True),
        Column("subject", String(255), index=True),
        Column("payload", Text, nullable=False),
        Column("expires_at", Timestamp, nullable=False, index=True),
        Column("code_mac", LargeBinary(32)),
        Column("tries_left", Integer),
        Index("ux_limen_one_time_secrets_kind_subject", "kind", "subject", unique=True),
    ]


def _signing_key_columns() -> list[Column[object] | Index]:
    return [
        Column("kid", String(64), primary_key=True),
        Column("generation", Integer, nullable=False, unique=True),
        Column("algorithm", String(16), nullable=False),
        Column("sealed", LargeBinary),
        Column("created_at", Timestamp, nullable=False),
        Column("signs_from", Timestamp, nullable=False),
        Column("retired_at", Timestamp),
    ]


def _identity_columns(key: Column[object]) -> list[Column[object] | Index]:
    return [
        Column("id", Uuid, primary_key=True),
        user_reference(key, index=True),
        Column("provider", String(64), nullable=False),
        Column("issuer", String(255), nullable=False),
        Column("subject", String(255), nullable=False),
        Column("email", String(320)),
        Column("created_at", Timestamp, nullable=False),
        Column("last_used_at", Timestamp, nullable=False),
        Index("ux_limen_identities_issuer_subject", "issuer", "subject", unique=True),
    ]


def _departed_columns() -> list[Column[object] | Index]:
    return [
        Column("digest", LargeBinary(32), primary_key=True),
        Column("departed_at", Timestamp, nullable=False),
    ]


def _address_change_columns(key: Column[object]) -> list[Column[object] | Index]:
    return [
        Column("id", Uuid, primary_key=True),
        user_reference(key, index=True),
        Column("email", String(320), nullable=False),
        Column("email_canonical", String(320), nullable=False, index=True),
        Column("was_verified", Boolean, nullable=False),
        Column("asked_at", Timestamp, nullable=False),
        Column("changed_at", Timestamp),
        Column("expires_at", Timestamp, nullable=False, index=True),
    ]
