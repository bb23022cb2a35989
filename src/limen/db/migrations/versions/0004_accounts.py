"""Codes beside one-time secrets, changes of address, and deletions that wait."""

import sqlalchemy as sa
from alembic import context, op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns, make the tables."""
    op.execute("DELETE FROM limen_one_time_secrets WHERE subject IS NOT NULL")  # at most minutes old, asked for again
    op.add_column("limen_one_time_secrets", sa.Column("code_mac", sa.LargeBinary(32)))
    op.add_column("limen_one_time_secrets", sa.Column("tries_left", sa.Integer()))
    unique = "ux_limen_one_time_secrets_kind_subject"
    op.create_index(unique, "limen_one_time_secrets", ["kind", "subject"], unique=True)
    op.create_table(
        "limen_address_changes",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _user_id(),
        sa.Column("email", sa.String(320), nullable=False),
        sa.Column("email_canonical", sa.String(320), nullable=False),
        sa.Column("was_verified", sa.Boolean(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    for name in ("user_id", "email_canonical", "expires_at"):
        op.create_index(f"ix_limen_address_changes_{name}", "limen_address_changes", [name])
    op.create_table(
        "limen_account_deletions",
        _user_id(primary_key=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_restorable", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_limen_account_deletions_due_at", "limen_account_deletions", ["due_at"])


def _user_id(*, primary_key: bool = False) -> sa.Column[object]:
    attributes = context.config.attributes
    reference = sa.ForeignKey(attributes["user_key"], ondelete="CASCADE")
    return sa.Column("user_id", attributes["user_key_type"], reference, primary_key=primary_key, nullable=False)
