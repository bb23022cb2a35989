"""Tokens that providers handed out, sealed; a row for each identity that has some."""

from sqlalchemy import Column, ForeignKey, Integer, LargeBinary, Table, Uuid

from limen.db.tables import Tables, define
from limen.db.types import Timestamp


def provider_token_table(kernel_tables: Tables) -> Table:
    """One row per identity; it goes with the identity."""
    identity = kernel_tables.identities.c.id
    return define(
        kernel_tables.users.metadata,
        "limen_provider_tokens",
        lambda: [
            Column("identity_id", Uuid, ForeignKey(identity, ondelete="CASCADE"), primary_key=True),
            Column("sealed", LargeBinary, nullable=False),
            Column("expires_at", Timestamp),
            Column("version", Integer, nullable=False),
            Column("refreshing_until", Timestamp),
        ],
    )
