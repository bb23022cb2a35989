"""Accounts that are closed and wait for their deletion."""

from sqlalchemy import Boolean, Column, Table

from limen.db.tables import Tables, define, user_reference
from limen.db.types import Timestamp


def deletion_table(kernel_tables: Tables) -> Table:
    """One row per account that will be deleted."""
    key = kernel_tables.user_key
    return define(
        kernel_tables.users.metadata,
        "limen_account_deletions",
        lambda: [
            user_reference(key, primary_key=True),
            Column("asked_at", Timestamp, nullable=False),
            Column("due_at", Timestamp, nullable=False, index=True),
            Column("is_restorable", Boolean, nullable=False),
        ],
    )
