"""The audit record and the head of its chain."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

INDEXES = ("event", "subject", "actor", "name_digest")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "limen_audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("seq", sa.BigInteger()),
        sa.Column("event_id", sa.String(32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("result", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(255)),
        sa.Column("actor_kind", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(255)),
        sa.Column("method", sa.String(64)),
        sa.Column("credential_id", sa.String(64)),
        sa.Column("ip", sa.String(45)),
        sa.Column("user_agent", sa.String(256)),
        sa.Column("name_digest", sa.String(32)),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("key_id", sa.String(16)),
        sa.Column("mac", sa.LargeBinary(16), nullable=False),
        sa.Column("hash", sa.LargeBinary(32)),
        sa.Column("seal", sa.LargeBinary(16)),
    )
    op.create_index("ux_limen_audit_seq", "limen_audit", ["seq"], unique=True)
    op.create_index("ux_limen_audit_event_id", "limen_audit", ["event_id"], unique=True)
    op.create_index("ix_limen_audit_at", "limen_audit", ["at"])
    for name in INDEXES:
        op.create_index(f"ix_limen_audit_{name}", "limen_audit", [name, "id"])
    op.create_table(
        "limen_audit_head",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("anchor_seq", sa.BigInteger(), nullable=False),
        sa.Column("anchor_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("mac", sa.LargeBinary(16), nullable=False),
    )
