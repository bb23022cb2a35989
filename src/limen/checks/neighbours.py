"""Whether the servers beside the app answer: Redis, mail, the issuer. One short question each."""

import asyncio
import ssl
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from limen.checks.evidence import Neighbour, is_loopback

_SECONDS = 5.0
_SMTP_PORTS = {"smtps": 465, "smtp": 25}


async def look_at_redis(url: str, *, ask: bool) -> Neighbour:
    """Whether Redis or Valkey answers a ping."""
    parts = urlsplit(url)
    return Neighbour(
        address=f"{parts.scheme}://{parts.hostname or parts.path}",
        outage=await _ping(url) if ask else "",
        is_local=parts.scheme == "unix" or is_loopback(url),
        is_encrypted=parts.scheme == "rediss",
        has_password=bool(parts.password),
    )


async def look_at_mail(url: str, *, ask: bool) -> Neighbour:
    """Whether the mail server greets."""
    parts = urlsplit(url)
    return Neighbour(
        address=f"{parts.scheme}://{parts.hostname}",
        outage=await _greeting(url) if ask else "",
        is_local=is_loopback(url),
        is_encrypted=parts.scheme == "smtps",
        has_password=bool(parts.password),
    )


async def issuer_clock_ahead(base_url: str) -> float | None:
    """Seconds by which whoever answers at the base URL is ahead of this machine, by its `Date`."""
    from httpx2 import AsyncClient, HTTPError

    try:
        async with AsyncClient(timeout=_SECONDS) as client:
            answer = await client.head(base_url)
        told = parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (HTTPError, KeyError, ValueError, OSError):
        return None
    ahead = told - time.time()
    return ahead if ahead > 0 else min(0.0, ahead + 1)  # whole seconds, rounded down


async def _ping(url: str) -> str:
    try:
        from redis.asyncio import Redis
        from redis.exceptions import RedisError
    except ModuleNotFoundError:
        return "the package redis is not installed: pip install 'limen[redis]'"
    client = Redis.from_url(url, socket_connect_timeout=_SECONDS, socket_timeout=_SECONDS)
    try:
        await client.ping()
    except (RedisError, OSError) as error:
        return _words(error)
    finally:
        await client.aclose()
    return ""


async def _greeting(url: str) -> str:
    parts = urlsplit(url)
    context = ssl.create_default_context() if parts.scheme == "smtps" else None
    try:
        port = parts.port or _SMTP_PORTS.get(parts.scheme, 25)
        async with asyncio.timeout(_SECONDS):
            reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
            greeting = await reader.readline()
            writer.close()
    except (OSError, ValueError, TimeoutError) as error:
        return _words(error)
    return "" if greeting.startswith(b"220") else "what answers there is no mail server"


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
