"""The outbox of letters."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "limen_outbox",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("template", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(128)),
        sa.Column("given_up_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_limen_outbox_due_at", "limen_outbox", ["due_at"])
    op.create_index("ix_limen_outbox_given_up_at", "limen_outbox", ["given_up_at"])
