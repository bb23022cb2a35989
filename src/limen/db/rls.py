"""PostgreSQL's row-level security for the app's own queries, in the words of Supabase and PostgREST.

What a session acts as is set locally to each of its transactions, as soon as that begins: after a commit or a rollback
the next transaction of the session is the same person's, and the connection goes back to the pool with nothing on it.
"""

import json
from typing import cast

from sqlalchemy import Connection, event, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from limen.core.permissions import format_scope
from limen.core.principal import Principal
from limen.errors import ConfigurationError

CLAIMS = "request.jwt.claims"
_KEY = "limen.rls"
_SET = text("SELECT set_config('request.jwt.claims', :claims, true)")
_SET_WITH_ROLE = text("SELECT set_config('request.jwt.claims', :claims, true), set_config('role', :role, true)")


async def act_as(
    session: AsyncSession, principal: Principal | None, *, uid: str | None = None, role: str | None = None
) -> None:
    """Let every transaction of this session, the present one included, be this principal's.

    Args:
        uid: what `auth.uid()` is of them.

    Raises:
        ConfigurationError: the database is not PostgreSQL, the session runs in autocommit, or is within a savepoint,
            whose end would take the settings back.
    """
    if role == "none":
        raise ConfigurationError("auth.rls(role='none') would be the connection's own role: leave role out for that.")
    if session.in_nested_transaction():
        raise ConfigurationError("auth.rls(session, …) within a savepoint: call it before session.begin_nested().")
    plain = session.sync_session
    if _KEY not in plain.info:
        event.listen(plain, "after_begin", _begin)
    before = plain.info.get(_KEY, {}).get("role")
    claims = json.dumps(claims_of(principal, uid=uid, role=role))
    plain.info[_KEY] = {"claims": claims, "role": role or (before and "none")}
    if session.in_transaction():
        await session.run_sync(lambda current: _apply(current.connection(), current.info[_KEY]))


def claims_of(principal: Principal | None, *, uid: str | None = None, role: str | None = None) -> dict[str, object]:
    """What policies read as `auth.jwt()`: the verified claims and, over them, what limen vouches for.

    `sub` is `uid`, and null for who has no id here: what another issuer calls somebody would be a namesake's.
    """
    if principal is None:
        return {"role": role or "anon"}
    own: dict[str, object] = {
        "iss": principal.issuer,
        "sub": uid,
        "scope": format_scope(principal.permissions),
        "roles": sorted(principal.roles),
        "amr": principal.claims.get("amr", list(principal.amr)),  # Supabase's own form, for its own policies
        "role": role or principal.claims.get("role", "authenticated"),
    }
    if principal.session_id is not None:
        own["session_id"] = principal.session_id
    return {**principal.claims, **own}


def functions(schema: str = "auth", *, key: str = "uuid") -> str:
    """SQL that makes `auth.uid()`, `auth.role()` and `auth.jwt()`, for a migration of the app's.

    Args:
        schema: where they are.
        key: the type of the user table's key: `uuid`, `bigint`, `text`.

    Raises:
        ConfigurationError: a name that is not a plain identifier.
    """
    if not (schema.isidentifier() and schema.isascii() and key.isidentifier() and key.isascii()):
        raise ConfigurationError(f"rls.functions({schema!a}, key={key!a}): give plain identifiers.")
    # After a transaction that set it, the setting is not NULL but empty.
    jwt = f"coalesce(nullif(current_setting('{CLAIMS}', true), ''), '{{}}')::jsonb"
    return f"""\
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE OR REPLACE FUNCTION {schema}.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$ SELECT {jwt} $$;
CREATE OR REPLACE FUNCTION {schema}.uid() RETURNS {key} LANGUAGE sql STABLE
    AS $$ SELECT nullif({schema}.jwt() ->> 'sub', '')::{key} $$;
CREATE OR REPLACE FUNCTION {schema}.role() RETURNS text LANGUAGE sql STABLE AS $$ SELECT {schema}.jwt() ->> 'role' $$;
"""


def _begin(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    if not transaction.nested:
        _apply(connection, cast("dict[str, str | None]", session.info[_KEY]))


def _apply(connection: Connection, acting: dict[str, str | None]) -> None:
    if connection.dialect.name != "postgresql":
        raise ConfigurationError(f"auth.rls needs PostgreSQL; this session's database is {connection.dialect.name}.")
    # In autocommit every statement is a transaction of its own: the settings would be gone before the next one.
    if getattr(connection.connection.dbapi_connection, "autocommit", False):
        raise ConfigurationError("auth.rls needs transactions: this session's connection is in autocommit.")
    if acting["role"] is None:
        connection.execute(_SET, {"claims": acting["claims"]})
    else:
        connection.execute(_SET_WITH_ROLE, acting)
