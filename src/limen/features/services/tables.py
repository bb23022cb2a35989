"""How service accounts prove who they are: digests of secrets, public keys."""

from sqlalchemy import Column, LargeBinary, String, Table, Text

from limen.core.checked_token import ID_LENGTH
from limen.db.tables import Tables, define, user_reference
from limen.db.types import Timestamp


def service_credential_table(kernel_tables: Tables) -> Table:
    """One row per secret or key of a service account, which itself is a user with `is_service`."""
    key = kernel_tables.user_key
    return define(
        kernel_tables.users.metadata,
        "limen_service_credentials",
        lambda: [
            Column("id", String(ID_LENGTH), primary_key=True),
            user_reference(key, index=True),
            Column("method", String(24), nullable=False),
            Column("secret_digest", LargeBinary(32)),
            Column("public_key", Text),
            Column("created_at", Timestamp, nullable=False),
            Column("expires_at", Timestamp, index=True),
            Column("ended_at", Timestamp, index=True),
        ],
    )
