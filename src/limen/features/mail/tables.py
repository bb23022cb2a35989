"""Letters at rest: sealed, because they carry tokens and codes."""

from sqlalchemy import Column, Integer, LargeBinary, String, Table, Uuid

from limen.db.tables import Tables, define
from limen.db.types import Timestamp

MAX_TEMPLATE = 64
MAX_REASON = 128


def outbox_table(kernel_tables: Tables) -> Table:
    """One row per letter that has not left; `due_at` and `sealed` are NULL for one that was given up."""
    return define(
        kernel_tables.users.metadata,
        "limen_outbox",
        lambda: [
            Column("id", Uuid, primary_key=True),
            Column("template", String(MAX_TEMPLATE), nullable=False),
            Column("sealed", LargeBinary),
            Column("posted_at", Timestamp, nullable=False),
            Column("ends_at", Timestamp, nullable=False),
            Column("due_at", Timestamp, index=True),
            Column("attempts", Integer, nullable=False, default=0),
            Column("last_error", String(MAX_REASON)),
            Column("given_up_at", Timestamp, index=True),
        ],
    )
