"""The first tables.

Frozen in time: nothing of limen is imported, so that what a release made stays what it made. The user's key and table
come from the app's model by `config.attributes`; where the app brings its own user table, that one is the app's affair.
"""

import sqlalchemy as sa
from alembic import context, op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table, whatever features are on: an unused one is harmless."""
    if context.config.attributes["makes_users"]:
        _make_users()
    _make_sessions()
    _make_granted("limen_user_roles", "role", 64)
    _make_granted("limen_user_permissions", "permission", 128)
    _make_revocations()
    _make_one_time_secrets()
    _make_signing_keys()
    _make_passwords()
    _make_api_keys()
    _make_service_credentials()


def _make_users() -> None:
    op.create_table(
        "limen_users",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("email", sa.String(320), nullable=False),
        sa.Column("email_canonical", sa.String(320), nullable=False, unique=True),
        sa.Column("username", sa.String(64)),
        sa.Column("username_canonical", sa.String(64), unique=True),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("is_verified", sa.Boolean(), nullable=False),
        sa.Column("is_service", sa.Boolean(), nullable=False),
        sa.Column("created_at", _moment(), nullable=False),
        sa.Column("rights_epoch", sa.BigInteger(), nullable=False),
    )


def _make_sessions() -> None:
    op.create_table(
        "limen_sessions",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _user_id(index=True),
        sa.Column("carrier", sa.String(16), nullable=False),
        sa.Column("secret_digest", sa.LargeBinary(32)),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("rotations", sa.String(256), nullable=False),
        sa.Column("scope", sa.Text()),
        sa.Column("client_id", sa.String(255)),
        sa.Column("amr", sa.String(255), nullable=False),
        sa.Column("authenticated_at", _moment(), nullable=False),
        sa.Column("created_at", _moment(), nullable=False),
        sa.Column("last_seen_at", _moment(), nullable=False),
        sa.Column("idle_ends_at", _moment(), nullable=False),
        sa.Column("ends_at", _moment(), nullable=False, index=True),
        sa.Column("ip", sa.String(45)),
        sa.Column("user_agent", sa.String(256)),
        sa.Column("ended_at", _moment()),
        sa.Column("end_reason", sa.String(64)),
    )


def _make_granted(table: str, column: str, length: int) -> None:
    op.create_table(
        table,
        _user_id(primary_key=True),
        sa.Column(column, sa.String(length), primary_key=True, index=True),
    )


def _make_revocations() -> None:
    op.create_table(
        "limen_revocations",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("target", sa.String(255), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", _moment(), nullable=False, index=True),
        sa.Column("written_at", sa.BigInteger(), nullable=False, index=True),
    )


def _make_one_time_secrets() -> None:
    op.create_table(
        "limen_one_time_secrets",
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("subject", sa.String(255), index=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("expires_at", _moment(), nullable=False, index=True),
    )


def _make_signing_keys() -> None:
    op.create_table(
        "limen_signing_keys",
        sa.Column("kid", sa.String(64), primary_key=True),
        sa.Column("generation", sa.Integer(), nullable=False, unique=True),
        sa.Column("algorithm", sa.String(16), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.Column("created_at", _moment(), nullable=False),
        sa.Column("signs_from", _moment(), nullable=False),
        sa.Column("retired_at", _moment()),
    )


def _make_passwords() -> None:
    op.create_table(
        "limen_passwords",
        _user_id(primary_key=True),
        sa.Column("digest", sa.String(255), nullable=False),
        sa.Column("changed_at", _moment(), nullable=False),
    )


def _make_api_keys() -> None:
    op.create_table(
        "limen_api_keys",
        sa.Column("id", sa.String(16), primary_key=True),
        _user_id(index=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("secret_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("scopes", sa.Text()),
        sa.Column("allowed_networks", sa.Text()),
        sa.Column("rate_limit", sa.String(64)),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", _moment(), nullable=False),
        sa.Column("expires_at", _moment(), index=True),
        sa.Column("last_used_at", _moment()),
        sa.Column("replaced_by", sa.String(16)),
        sa.Column("ended_at", _moment(), index=True),
        sa.Column("end_reason", sa.String(64)),
    )


def _make_service_credentials() -> None:
    op.create_table(
        "limen_service_credentials",
        sa.Column("id", sa.String(16), primary_key=True),
        _user_id(index=True),
        sa.Column("method", sa.String(24), nullable=False),
        sa.Column("secret_digest", sa.LargeBinary(32)),
        sa.Column("public_key", sa.Text()),
        sa.Column("created_at", _moment(), nullable=False),
        sa.Column("expires_at", _moment(), index=True),
        sa.Column("ended_at", _moment(), index=True),
    )


def _moment() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def _user_id(*, primary_key: bool = False, index: bool = False) -> "sa.Column[object]":
    """A column of the user key's type that dies with the user."""
    given = context.config.attributes
    target = sa.ForeignKey(given["user_key"], ondelete="CASCADE")
    return sa.Column("user_id", given["user_key_type"], target, primary_key=primary_key, index=index, nullable=False)
