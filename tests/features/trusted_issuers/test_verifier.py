"""A service that only verifies: light, guarded like the issuer itself, and deaf to nobody for long."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from statistics import median
from typing import Annotated

import httpx2
import pytest
from fastapi import Depends, FastAPI, WebSocket
from redis.asyncio import Redis
from starlette.types import Message
from tests.features.trusted_issuers.conftest import Service, Visit, guarded_app
from tests.features.trusted_issuers.key_server import KeyServer
from tests.servers.ports import free_port
from tests.servers.valkey import ValkeyServer

from limen import Auth, ConfigurationError, Principal, Verifier
from limen.core.keys import SigningKey
from limen.core.revocations import Revocation, Revoked
from limen.feed.redis import RedisFeed
from limen.http.scheme import Carrier, Presented

pytestmark = pytest.mark.anyio


def test_a_verifier_brings_no_database_along() -> None:
    code = """
import sys
from fastapi import Depends, FastAPI, WebSocket
from limen import TrustedIssuer, Verifier
verifier = Verifier(TrustedIssuer("https://id.example.com/auth", audience="https://api.example.com"))
verifier.install(FastAPI())
foreign = {"sqlalchemy", "alembic", "aiosqlite", "redis", "argon2", "limen.auth", "limen.db", "limen.kernel"}
print(sorted(foreign & sys.modules.keys()))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_auth_names_the_verifier_too() -> None:
    assert isinstance(Auth.verifier("https://id.example.com/auth", audience="x"), Verifier)


def test_a_verifier_is_installed_once() -> None:
    verifier = Verifier("https://id.example.com/auth")
    verifier.install(FastAPI())
    with pytest.raises(ConfigurationError, match="twice"):
        verifier.install(FastAPI())


@pytest.mark.parametrize(("issuer", "warnings"), [("http://10.255.255.1/auth", 1), ("http://127.0.0.1:9/auth", 0)])
async def test_plain_http_to_another_machine_is_warned_of(
    caplog: pytest.LogCaptureFixture, issuer: str, warnings: int
) -> None:
    async with Verifier(issuer):
        assert [record.message for record in caplog.records].count(
            f"{issuer} is fetched by plain http: use https"
        ) == warnings


async def test_openapi_says_what_the_guards_ask(service: Service, issuer: KeyServer) -> None:
    document = service.app.openapi()
    operation = document["paths"]["/items"]["get"]
    assert operation["security"] == [{"TrustedIssuerBearer": ["items:read"]}]
    assert {"401", "403", "503"} <= operation["responses"].keys()
    assert issuer.issuer in document["components"]["securitySchemes"]["TrustedIssuerBearer"]["description"]


async def test_refusals_are_problems(service: Service, issuer: KeyServer) -> None:
    answer = await service.client.get("/who")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="limen"')
    assert answer.json()["code"] == "not_authenticated"
    assert (await service.who("garbage")).status_code == 401
    assert (await service.who("a.b.c")).status_code == 401
    two = {"Authorization": f"Bearer {issuer.token()}", "X-API-Key": "x"}
    assert (await service.client.get("/who", headers=two)).status_code == 400


async def test_a_cookie_is_no_credential_here(service: Service, issuer: KeyServer) -> None:
    answer = await service.client.get("/who", headers={"Cookie": f"limen={issuer.token()}; ={issuer.token()}"})
    assert answer.status_code == 401


async def test_a_script_can_verify_too(issuer: KeyServer) -> None:
    async with Verifier(issuer.issuer) as verifier:
        principal = await verifier.authenticator.prove(Presented(Carrier.BEARER, issuer.token()))
    assert (principal.subject, principal.issuer) == ("42", issuer.issuer)


async def test_what_stays_open_is_closed_when_its_session_ends(issuer: KeyServer) -> None:
    verifier = Verifier(issuer.issuer)
    app = guarded_app(verifier)

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, _: Annotated[Principal, Depends(verifier.current_principal)]) -> None:
        await websocket.accept()
        await websocket.receive_text()

    received: asyncio.Queue[Message] = asyncio.Queue()
    sent: asyncio.Queue[Message] = asyncio.Queue()
    await received.put({"type": "websocket.connect"})
    headers = [(b"authorization", f"Bearer {issuer.token(sid='open')}".encode())]
    scope = {"type": "websocket", "path": "/ws", "headers": headers, "query_string": b"", "subprotocols": []}
    serving = asyncio.create_task(app(scope, received.get, sent.put))
    assert (await asyncio.wait_for(sent.get(), 5))["type"] == "websocket.accept"
    verifier.revocations.apply(ended("open"))
    closed = await asyncio.wait_for(sent.get(), 5)
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
    await serving


# --- revocations by Valkey


@pytest.fixture
async def feed(valkey_server: ValkeyServer, issuer: KeyServer) -> AsyncIterator[RedisFeed]:
    """What the issuer publishes with."""
    feed = RedisFeed(valkey_server.url, issuer.issuer)
    yield feed
    await feed.aclose()


def ended(target: str, *, kind: Revoked = Revoked.SESSION, epoch: int = 2**62) -> Revocation:
    return Revocation(kind=kind, target=target, epoch=epoch, expires_at=time.time() + 900)


async def refused_after(service: Service, token: str, *, seconds: float = 5) -> float:
    began = time.monotonic()
    while (await service.who(token)).status_code != 401:
        assert time.monotonic() - began < seconds, "it was never refused"
        await asyncio.sleep(0.001)
    return time.monotonic() - began


async def test_what_is_taken_back_is_refused_within_moments(
    opened: Visit, issuer: KeyServer, feed: RedisFeed, valkey_server: ValkeyServer
) -> None:
    service = await opened(Verifier(issuer.issuer, redis_url=valkey_server.url))
    waits = []
    for n in range(20):
        token, bystander = issuer.token(sid=f"s{n}"), issuer.token(sid=f"other {n}")
        assert (await service.who(token)).status_code == 200
        await feed.publish([ended(f"s{n}")])
        waits.append(await refused_after(service, token))
        assert (await service.who(bystander)).status_code == 200
    assert median(waits) < 0.1


async def test_old_rights_are_refused_and_new_ones_taken(
    opened: Visit, issuer: KeyServer, feed: RedisFeed, valkey_server: ValkeyServer
) -> None:
    service = await opened(Verifier(issuer.issuer, redis_url=valkey_server.url))
    old, new = issuer.token(sub="7", epoch=1), issuer.token(sub="7", epoch=2)
    assert (await service.who(old)).status_code == 200
    await feed.publish([ended("7", kind=Revoked.SUBJECT, epoch=2)])
    await refused_after(service, old)
    assert (await service.who(new)).status_code == 200


async def test_a_compromised_key_is_refused_though_the_issuer_still_publishes_it(
    opened: Visit, issuer: KeyServer, feed: RedisFeed, valkey_server: ValkeyServer
) -> None:
    stolen, sound = issuer.key, SigningKey.generate("ES256")
    issuer.publish(stolen, sound)
    service = await opened(Verifier(issuer.issuer, redis_url=valkey_server.url))
    remembered = issuer.token(key=stolen)
    assert (await service.who(remembered)).status_code == 200
    await feed.publish([ended(stolen.kid, kind=Revoked.KEY)])
    await refused_after(service, remembered)
    assert (await service.who(issuer.token(key=stolen, sub="1"))).status_code == 401
    assert (await service.who(issuer.token(key=sound))).status_code == 200


async def test_what_was_taken_back_before_the_start_is_refused_from_the_first_request(
    opened: Visit, issuer: KeyServer, feed: RedisFeed, valkey_server: ValkeyServer
) -> None:
    await feed.publish([ended("before")])
    service = await opened(Verifier(issuer.issuer, redis_url=valkey_server.url))
    assert (await service.who(issuer.token(sid="before"))).status_code == 401
    assert (await service.who(issuer.token(sid="alive"))).status_code == 200


async def test_without_a_lifespan_revocations_are_looked_up_now_and_then(
    issuer: KeyServer, feed: RedisFeed, valkey_server: ValkeyServer
) -> None:
    verifier = Verifier(issuer.issuer, redis_url=valkey_server.url, revocation_deaf_seconds=0.9)
    app = guarded_app(verifier)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service.test") as client:
        service = Service(app, client, verifier)
        token = issuer.token(sid="by hand")
        assert (await service.who(token)).status_code == 200
        await feed.publish([ended("by hand")])
        await refused_after(service, token)


async def test_steady_state_asks_valkey_nothing(opened: Visit, issuer: KeyServer, valkey_server: ValkeyServer) -> None:
    service = await opened(Verifier(issuer.issuer, redis_url=valkey_server.url))
    token = issuer.token()
    await service.who(token)
    async with Redis.from_url(valkey_server.url) as redis:
        before = (await redis.info("stats"))["total_commands_processed"]
        for _ in range(200):
            assert (await service.who(token)).status_code == 200
        asked = (await redis.info("stats"))["total_commands_processed"] - before
    assert asked < 10  # the look every five seconds, and our own question


async def test_deaf_for_too_long_is_503_and_heals(
    opened: Visit, issuer: KeyServer, feed: RedisFeed, valkey_server: ValkeyServer
) -> None:
    service = await opened(Verifier(issuer.issuer, redis_url=valkey_server.url, revocation_deaf_seconds=1.5))
    known, revoked = issuer.token(sid="known"), issuer.token(sid="revoked")
    assert (await service.who(known)).status_code == 200
    await feed.publish([ended("revoked")])
    await refused_after(service, revoked)
    valkey_server.stop()
    try:
        assert (await service.who(known)).status_code == 200  # a moment of silence harms nobody
        assert (await service.who(revoked)).status_code == 401
        await asyncio.sleep(2)
        for token in (known, issuer.token(sub="new"), revoked):
            answer = await service.who(token)
            assert answer.status_code == 503
            assert "Retry-After" in answer.headers
        assert (await service.client.get("/who")).status_code == 401
    finally:
        valkey_server.start()  # empty
    await until_answered(service, known, 200)
    assert (await service.who(revoked)).status_code == 401


async def test_a_verifier_starts_without_valkey_and_vouches_for_nobody(opened: Visit, issuer: KeyServer) -> None:
    verifier = Verifier(issuer.issuer, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    service = await opened(verifier)
    assert (await service.who(issuer.token())).status_code == 503


async def until_answered(service: Service, token: str, status: int) -> None:
    deadline = time.monotonic() + 10
    while (await service.who(token)).status_code != status:
        assert time.monotonic() < deadline, f"never {status} again"
        await asyncio.sleep(0.05)
