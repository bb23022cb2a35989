"""Password digests, apart from the user row, so that no user object ever holds one."""

from sqlalchemy import Column, String, Table

from limen.db.tables import Tables, define, user_reference
from limen.db.types import Timestamp


def password_table(kernel_tables: Tables) -> Table:
    """One row per user who can sign in with a password."""
    key = kernel_tables.user_key
    return define(
        kernel_tables.users.metadata,
        "limen_passwords",
        lambda: [
            user_reference(key, primary_key=True),
            Column("digest", String(255), nullable=False),
            Column("changed_at", Timestamp, nullable=False),
        ],
    )
