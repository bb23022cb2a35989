"""Identities whose account was deleted, and sessions that Supabase holds."""

import sqlalchemy as sa
from alembic import context, op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the tables."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "limen_departed",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("departed_at", moment, nullable=False),
    )
    op.create_table(
        "limen_supabase_sessions",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column(
            "user_id",
            context.config.attributes["user_key_type"],
            sa.ForeignKey(context.config.attributes["user_key"], ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("secret_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("refresh_due_at", moment, nullable=False),
        sa.Column("refresh_begun_at", moment),
        sa.Column("refresh_failed_at", moment),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("refreshed_at", moment, nullable=False),
        sa.Column("ends_at", moment, nullable=False),
    )
    op.create_index("ix_limen_supabase_sessions_user_id", "limen_supabase_sessions", ["user_id"])
    op.create_index("ix_limen_supabase_sessions_ends_at", "limen_supabase_sessions", ["ends_at"])
