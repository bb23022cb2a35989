"""The tables of the feature `limits`."""

from sqlalchemy import Column, String, Table, Text

from limen.db.tables import Tables, define
from limen.db.types import Timestamp


def try_table(kernel_tables: Tables) -> Table:
    """One row per account or address that was tried of late; its name is a MAC, its marks are `core.tries`'."""
    return define(
        kernel_tables.users.metadata,
        "limen_tries",
        lambda: [
            Column("name", String(96), primary_key=True),
            Column("marks", Text, nullable=False),
            Column("expires_at", Timestamp, nullable=False, index=True),
        ],
    )
