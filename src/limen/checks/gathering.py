"""Gathers the evidence: files, settings, the loaded app, the database and what is beside it. Changes nothing."""

import os
from dataclasses import replace
from pathlib import Path
from secrets import token_urlsafe

from fastapi import FastAPI

from limen.auth import Auth
from limen.checks.app_facts import look_at_app, time_hash, try_tokens
from limen.checks.database_facts import look_at_database
from limen.checks.evidence import Database, Evidence, Neighbour, Supabase, is_loopback
from limen.checks.neighbours import issuer_clock_ahead, look_at_mail, look_at_redis
from limen.checks.packages import installed_versions, needed_versions
from limen.checks.repository import look_at_env_file
from limen.checks.secret import look_at_secret, setting
from limen.checks.sources import read_sources
from limen.checks.supabase_facts import look_at_supabase
from limen.db.users import UserMixin
from limen.errors import ConfigurationError
from limen.settings import AuthSettings, known_names, unknown_names


def gather_files(name: str) -> Evidence:
    """What can be seen before the app is loaded."""
    folder = Path.cwd()
    needed = needed_versions()
    seen = Evidence(
        name=name,
        packages=installed_versions(needed),
        needed=needed,
        sources=read_sources(name, folder),
        secret=look_at_secret(folder),
        env_file=look_at_env_file(folder),
        forwarded_allow_ips=os.environ.get("FORWARDED_ALLOW_IPS", ""),
    )
    try:
        return replace(seen, settings=AuthSettings.load())
    except ConfigurationError as error:
        return replace(seen, settings_failure=str(error))


def stand_in_for(seen: Evidence) -> None:
    """Let the app be loaded where its secret is missing or refused: with one that is good for this process only."""
    if not seen.secret.name or seen.secret.refusal:
        os.environ["LIMEN_SECRET_KEY"] = token_urlsafe(48)


async def gather(seen: Evidence, auth: Auth[UserMixin] | None, app: FastAPI | None, *, ask: bool) -> Evidence:
    """What can be seen of the loaded app, its database and what is beside it.

    Args:
        ask: whether servers beside the database are asked.
    """
    seen = replace(
        seen,
        redis=await _redis(seen, ask=ask),
        mail=await _mail(ask=ask),
        supabase=await _supabase(ask=ask),
        issuer_clock_ahead=await _issuer_clock(seen) if ask else None,
    )
    if auth is None:
        return seen
    known = known_names(feature.settings for feature in auth.features.values() if feature.settings)
    return replace(
        seen,
        settings=auth.settings,
        unknown_settings=tuple(unknown_names(known)),
        app=None if app is None else look_at_app(auth, app),
        hashing=await time_hash(auth),
        database=await _database(auth),
        tokens=await try_tokens(auth),
        reported=tuple(finding for feature in auth.features.values() for finding in feature.checks()),
    )


async def _database(auth: Auth[UserMixin]) -> Database:
    try:
        return await look_at_database(auth)
    finally:
        await auth.kernel.database.dispose()


async def _redis(seen: Evidence, *, ask: bool) -> Neighbour | None:
    url = seen.settings.redis_url if seen.settings else None
    return None if url is None else await look_at_redis(url.get_secret_value(), ask=ask)


async def _mail(*, ask: bool) -> Neighbour | None:
    _, url = setting("LIMEN_SMTP_URL")
    return await look_at_mail(url, ask=ask) if url else None


async def _supabase(*, ask: bool) -> Supabase | None:
    _, url = setting("LIMEN_SUPABASE_URL", "SUPABASE_URL")
    if not url:
        return None
    _, key = setting("LIMEN_SUPABASE_KEY", "SUPABASE_KEY")
    legacy, _ = setting("LIMEN_SUPABASE_JWT_SECRET")
    return await look_at_supabase(url, key=key, has_legacy_secret=bool(legacy), ask=ask)


async def _issuer_clock(seen: Evidence) -> float | None:
    if seen.settings is None or is_loopback(seen.settings.base_url):
        return None
    return await issuer_clock_ahead(seen.settings.base_url)
