"""7xx: what is beside the app: Redis, mail, the proxy, https."""

from collections.abc import Iterator

from limen.checks.check import Trouble, check
from limen.checks.evidence import Evidence, is_loopback

WIDEST_IPV4, WIDEST_IPV6 = 8, 16


@check(
    "limen.W701",
    "Redis cannot be reached",
    reason="Revocations then reach other workers by the database, within a second instead of at once.",
    cure="Look at LIMEN_REDIS_URL, and whether the server listens there; unset it to go without.",
)
def redis_down(seen: Evidence) -> Iterator[Trouble]:
    if seen.redis is not None and seen.redis.outage:
        yield Trouble(f"{seen.redis.address}: {seen.redis.outage}", where="LIMEN_REDIS_URL")


@check(
    "limen.W702",
    "Redis is reached in the open",
    reason="Whoever is on the way can read and write what it carries.",
    cure="`rediss://` with a password.",
)
def redis_exposed(seen: Evidence) -> Iterator[Trouble]:
    redis = seen.redis
    if redis is not None and not redis.is_local and not (redis.is_encrypted and redis.has_password):
        lacks = "no password" if redis.is_encrypted else "no TLS"
        yield Trouble(f"{redis.address} is another machine: {lacks}", where="LIMEN_REDIS_URL")


@check(
    "limen.E703",
    "The mail server cannot be reached",
    reason="People who forgot their password, or must confirm their address, wait for a mail that does not come.",
    cure="Look at LIMEN_SMTP_URL, and whether the server listens there.",
)
def mail_down(seen: Evidence) -> Iterator[Trouble]:
    if seen.mail is not None and seen.mail.outage:
        yield Trouble(f"{seen.mail.address}: {seen.mail.outage}", where="LIMEN_SMTP_URL")


@check(
    "limen.W706",
    "People reach the app by plain http",
    reason="Whoever is on the way reads passwords, tokens and cookies; the cookie is not Secure.",
    cure="A certificate, and LIMEN_BASE_URL=https://…",
)
def base_url_in_the_open(seen: Evidence) -> Iterator[Trouble]:
    if seen.settings is not None and seen.is_public and not seen.settings.is_secure:
        yield Trouble(seen.settings.base_url, where="LIMEN_BASE_URL")


@check(
    "limen.E707",
    "Everyone is a trusted proxy",
    reason="Whoever sends X-Forwarded-For chooses their address: limits, API keys bound to networks and the audit log "
    "believe it.",
    cure="Name the proxy's own network, LIMEN_TRUSTED_PROXIES=10.0.0.0/24.",
)
def proxies_for_everyone(seen: Evidence) -> Iterator[Trouble]:
    for network in seen.settings.trusted_proxies if seen.settings else ():
        widest = WIDEST_IPV4 if network.version == 4 else WIDEST_IPV6
        if network.prefixlen < widest:
            yield Trouble(f"{network} is no proxy's network", where="LIMEN_TRUSTED_PROXIES")


@check(
    "limen.W708",
    "The server believes everyone's forwarded headers",
    reason="uvicorn then rewrites the client's address before limen sees it, whatever LIMEN_TRUSTED_PROXIES says.",
    cure="Unset FORWARDED_ALLOW_IPS and start uvicorn with --no-proxy-headers.",
)
def server_believes_everyone(seen: Evidence) -> Iterator[Trouble]:
    if "*" in seen.forwarded_allow_ips:
        yield Trouble(f"it is {seen.forwarded_allow_ips}", where="FORWARDED_ALLOW_IPS")


@check(
    "limen.W709",
    "A trusted origin is not to be trusted",
    reason="Pages of that origin may use people's cookies, and anyone on the way can put a page there.",
    cure="Name https origins, whole: LIMEN_TRUSTED_ORIGINS=https://app.example.com",
)
def origin_in_the_open(seen: Evidence) -> Iterator[Trouble]:
    for origin in seen.settings.trusted_origins if seen.settings else ():
        if not origin.startswith("https://") and not (origin.startswith("http://") and is_loopback(origin)):
            yield Trouble(f"{origin} is not an https origin", where="LIMEN_TRUSTED_ORIGINS")


@check(
    "limen.I710",
    "No proxy is trusted",
    reason="Behind one, every request seems to come from it: limits by address then count all people as one.",
    cure="Nothing to do without a proxy. With one: LIMEN_TRUSTED_PROXIES=its network.",
)
def no_proxy(seen: Evidence) -> Iterator[Trouble]:
    if seen.settings is not None and seen.is_public and not seen.settings.trusted_proxies:
        yield Trouble("LIMEN_TRUSTED_PROXIES is empty", where="LIMEN_TRUSTED_PROXIES")
