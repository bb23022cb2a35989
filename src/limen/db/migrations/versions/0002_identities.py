"""External identities."""

import sqlalchemy as sa
from alembic import context, op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    key = context.config.attributes["user_key"]
    op.create_table(
        "limen_identities",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column(
            "user_id",
            context.config.attributes["user_key_type"],
            sa.ForeignKey(key, ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("issuer", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("email", sa.String(320)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_limen_identities_user_id", "limen_identities", ["user_id"])
    unique = "ux_limen_identities_issuer_subject"
    op.create_index(unique, "limen_identities", ["issuer", "subject"], unique=True)
