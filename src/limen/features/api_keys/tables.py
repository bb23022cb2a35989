"""API keys at rest: a digest, never the key."""

from sqlalchemy import Column, Integer, LargeBinary, String, Table, Text

from limen.core.checked_token import ID_LENGTH
from limen.db.tables import Tables, define, user_reference
from limen.db.types import Timestamp


def api_key_table(kernel_tables: Tables) -> Table:
    """One row per key; `scopes` is NULL for everything that the owner holds, `version` counts changes of the row."""
    key = kernel_tables.user_key
    return define(
        kernel_tables.users.metadata,
        "limen_api_keys",
        lambda: [
            Column("id", String(ID_LENGTH), primary_key=True),
            user_reference(key, index=True),
            Column("name", String(100), nullable=False),
            Column("secret_digest", LargeBinary(32), nullable=False),
            Column("scopes", Text),
            Column("allowed_networks", Text),
            Column("rate_limit", String(64)),
            Column("version", Integer, nullable=False, default=0),
            Column("created_at", Timestamp, nullable=False),
            Column("expires_at", Timestamp, index=True),
            Column("last_used_at", Timestamp),
            Column("replaced_by", String(ID_LENGTH)),
            Column("ended_at", Timestamp, index=True),
            Column("end_reason", String(64)),
        ],
    )
