"""Whether the Supabase project answers, and with which keys. Only the configured address is asked."""

import json
from urllib.parse import urlsplit

from limen.checks.evidence import Supabase, is_loopback
from limen.core import base64url
from limen.core.keys import KeyRing

JWKS = "/auth/v1/.well-known/jwks.json"
_SECONDS, _MAX_BYTES = 5.0, 64 * 1024


async def look_at_supabase(url: str, *, key: str, has_legacy_secret: bool, ask: bool) -> Supabase:
    """The facts about the project at `url`."""
    url = url.rstrip("/")
    outage, bad_keys, kinds = await _ask(url) if ask else ("", "", ())
    return Supabase(
        url=url,
        is_exposed=urlsplit(url).scheme != "https" and not is_loopback(url),
        outage=outage,
        bad_keys=bad_keys,
        key_kinds=kinds,
        has_legacy_secret=has_legacy_secret,
        has_service_key=_is_service_key(key),
    )


async def _ask(url: str) -> tuple[str, str, tuple[str, ...]]:
    from httpx2 import AsyncClient, HTTPError, InvalidURL

    try:
        async with AsyncClient(timeout=_SECONDS) as client, client.stream("GET", url + JWKS) as answer:
            if answer.status_code != 200:
                return f"{JWKS} answers {answer.status_code}", "", ()
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > _MAX_BYTES:
                    return "", "its key set is over 64 KB", ()
    except (HTTPError, InvalidURL, OSError) as error:
        return " ".join(str(error).split())[:200] or type(error).__name__, "", ()
    return "", *_kinds(body)


def _kinds(body: bytes) -> tuple[str, tuple[str, ...]]:
    try:
        document = json.loads(body)
        if isinstance(document, dict) and document.get("keys") == []:
            return "it publishes no key: the project still signs with its shared secret", ()
        ring = KeyRing.from_jwks(document if isinstance(document, dict) else {})
    except ValueError as error:
        return str(error), ()
    return "", tuple(sorted({key.algorithm for key in ring.verifying}))


def _is_service_key(key: str) -> bool:
    if key.startswith("sb_secret_"):
        return True
    try:
        payload = json.loads(base64url.decode(key.split(".")[1]))
    except (IndexError, ValueError):
        return False
    return isinstance(payload, dict) and payload.get("role") == "service_role"
