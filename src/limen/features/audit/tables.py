"""The record at rest, and how far it goes. No column refers to the user table: what is deleted stays on record."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text

from limen.db.tables import BigId, Tables, define
from limen.db.types import Timestamp


def audit_table(kernel_tables: Tables) -> Table:
    """One row per entry; `seq` is NULL until it has its place in the chain."""
    return define(
        kernel_tables.users.metadata,
        "limen_audit",
        lambda: [
            Column("id", BigId, primary_key=True, autoincrement=True),
            Column("seq", BigInteger),
            Column("event_id", String(32), nullable=False),
            Column("at", Timestamp, nullable=False),
            Column("event", String(64), nullable=False),
            Column("result", String(16), nullable=False),
            Column("subject", String(255)),
            Column("actor_kind", String(16), nullable=False),
            Column("actor", String(255)),
            Column("method", String(64)),
            Column("credential_id", String(64)),
            Column("ip", String(45)),
            Column("user_agent", String(256)),
            Column("name_digest", String(32)),
            Column("count", Integer, nullable=False),
            Column("details", Text, nullable=False),
            Column("key_id", String(16)),
            Column("mac", LargeBinary(16), nullable=False),
            Column("hash", LargeBinary(32)),
            Column("seal", LargeBinary(16)),
            Index("ux_limen_audit_seq", "seq", unique=True),
            Index("ux_limen_audit_event_id", "event_id", unique=True),
            Index("ix_limen_audit_at", "at"),
            Index("ix_limen_audit_event", "event", "id"),
            Index("ix_limen_audit_subject", "subject", "id"),
            Index("ix_limen_audit_actor", "actor", "id"),
            Index("ix_limen_audit_name_digest", "name_digest", "id"),
        ],
    )


def audit_head_table(kernel_tables: Tables) -> Table:
    """One row: the head of the chain, under a MAC."""
    return define(
        kernel_tables.users.metadata,
        "limen_audit_head",
        lambda: [
            Column("id", Integer, primary_key=True, autoincrement=False),
            Column("seq", BigInteger, nullable=False),
            Column("hash", LargeBinary(32), nullable=False),
            Column("anchor_seq", BigInteger, nullable=False),
            Column("anchor_hash", LargeBinary(32), nullable=False),
            Column("key_id", String(16), nullable=False),
            Column("mac", LargeBinary(16), nullable=False),
        ],
    )
