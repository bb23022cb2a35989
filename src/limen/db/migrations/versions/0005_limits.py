"""Tries, counted."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "limen_tries",
        sa.Column("name", sa.String(96), primary_key=True),
        sa.Column("marks", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_limen_tries_expires_at", "limen_tries", ["expires_at"])
