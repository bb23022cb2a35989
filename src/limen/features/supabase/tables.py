"""Sessions that Supabase holds, whose tokens no browser sees."""

from sqlalchemy import BigInteger, Column, LargeBinary, Table, Uuid

from limen.db.tables import Tables, define, user_reference
from limen.db.types import Timestamp


def supabase_session_table(kernel_tables: Tables) -> Table:
    """One row per browser: its tokens, sealed, and who is refreshing them."""
    return define(
        kernel_tables.users.metadata,
        "limen_supabase_sessions",
        lambda: [
            Column("id", Uuid, primary_key=True),
            user_reference(kernel_tables.user_key, index=True),
            Column("secret_digest", LargeBinary(32), nullable=False),
            Column("sealed", LargeBinary, nullable=False),
            Column("generation", BigInteger, nullable=False),
            Column("refresh_due_at", Timestamp, nullable=False),
            Column("refresh_begun_at", Timestamp),
            Column("refresh_failed_at", Timestamp),
            Column("created_at", Timestamp, nullable=False),
            Column("refreshed_at", Timestamp, nullable=False),
            Column("ends_at", Timestamp, nullable=False, index=True),
        ],
    )
