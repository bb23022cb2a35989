"""Passwords that breaches have made known: asked for by twenty bits, refused, and never at the price of a sign-up."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator

import pytest
from tests.features.conftest import OpenApp
from tests.features.passwords.breach_server import BreachServer, breach_server, send

from limen import Accounts, Passwords
from limen.errors import ConfigurationError, WeakPassword
from limen.features.passwords.breaches import AT_ONCE, LOOK_UP_SECONDS, BreachList
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

KNOWN = "violet harbour 1987"


@pytest.fixture
async def server() -> AsyncIterator[BreachServer]:
    async with breach_server() as double:
        double.known = {KNOWN: 12, "padded away": 0}
        yield double


@pytest.fixture
def checked(server: BreachServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that is opened after this checks."""
    monkeypatch.setenv("LIMEN_PASSWORDS_BREACH_CHECK", "on")
    monkeypatch.setenv("LIMEN_PASSWORDS_BREACH_URL", server.url)


async def test_a_known_password_is_refused_wherever_one_is_chosen(
    opened: OpenApp, checked: None, server: BreachServer
) -> None:
    mini = await opened()
    browser = await mini.signed_in()
    answers = [
        await mini.visitor().register("bob@example.com", KNOWN),
        await browser.post("/auth/password/change", json={"current_password": PASSWORD, "new_password": KNOWN}),
    ]
    for answer, field in zip(answers, ("password", "new_password"), strict=True):
        assert answer.status_code == 422
        assert answer.json()["code"] == "weak_password"
        assert answer.json()["errors"] == [
            {"loc": ["body", field], "msg": "This password has appeared in a data breach.", "type": "breached"}
        ]
    with pytest.raises(WeakPassword):
        await mini.auth[Passwords].set(browser.account.id, KNOWN)
    with pytest.raises(WeakPassword):
        await mini.auth[Accounts].register(email="bob@example.com", password=KNOWN)
    assert (await mini.visitor().register("bob@example.com", "an unheard of phrase")).status_code == 201


async def test_only_five_characters_of_the_hash_go_out(server: BreachServer) -> None:
    assert await BreachList(server.url).knows(KNOWN)
    (request,) = server.heard
    name = hashlib.sha1(KNOWN.encode()).hexdigest().upper()
    assert request.startswith(f"GET /range/{name[:5]} HTTP/1.1\r\n".encode())
    assert b"add-padding: true" in request.lower()
    assert name[5:].lower().encode() not in request.lower()
    assert KNOWN.encode() not in request


async def test_padding_is_not_a_finding(server: BreachServer) -> None:
    breaches = BreachList(server.url)
    assert not await breaches.knows("padded away")
    assert not await breaches.knows("an unheard of phrase")


async def test_it_is_off_by_default(opened: OpenApp, server: BreachServer) -> None:
    mini = await opened()
    assert mini.auth[Passwords].breaches is None
    assert (await mini.visitor().register("bob@example.com", KNOWN)).status_code == 201
    assert server.heard == []


async def slow(writer: asyncio.StreamWriter, _request: bytes) -> None:
    await asyncio.sleep(5)


async def dripping(writer: asyncio.StreamWriter, _request: bytes) -> None:
    """Each byte in time, the whole never."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
    for _ in range(50):
        writer.write(b"0")
        await writer.drain()
        await asyncio.sleep(0.1)


async def huge(writer: asyncio.StreamWriter, _request: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"0" * 65536)
        await writer.drain()


async def garbage(writer: asyncio.StreamWriter, _request: bytes) -> None:
    writer.write(b"\x00\xff not http \r\n\r\n")
    await writer.drain()


async def binary(writer: asyncio.StreamWriter, _request: bytes) -> None:
    await send(writer, b"\xff\xfe\x00:\r\n::::\r\n" * 50)


async def compressed(writer: asyncio.StreamWriter, _request: bytes) -> None:
    await send(writer, b"\x1f\x8b", headers="Content-Encoding: gzip\r\n")


async def failing(writer: asyncio.StreamWriter, _request: bytes) -> None:
    await send(writer, b"", status="503 Service Unavailable")


async def redirecting(writer: asyncio.StreamWriter, request: bytes) -> None:
    """To where the answer would be a finding."""
    if b"/elsewhere" in request:
        await send(writer, b"0" * 35 + b":1")
    else:
        await send(writer, b"", status="302 Found", headers="Location: /elsewhere\r\n")


@pytest.mark.parametrize("answer", [slow, dripping, huge, garbage, binary, compressed, failing, redirecting])
async def test_who_does_not_answer_well_refuses_nothing_and_is_logged(
    server: BreachServer, answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    breaches = BreachList(server.url)
    await breaches.prepare()
    server.answer = answer  # type: ignore[assignment]
    started = time.monotonic()
    assert not await breaches.knows(KNOWN)
    assert time.monotonic() - started < LOOK_UP_SECONDS + 1
    assert len(server.heard) == 1, "a redirect was followed"
    if answer is not binary:
        assert "refuses nothing" in caplog.text
    assert KNOWN not in caplog.text
    assert hashlib.sha1(KNOWN.encode()).hexdigest()[:5].upper() not in caplog.text


async def test_who_is_down_refuses_nothing(server: BreachServer, caplog: pytest.LogCaptureFixture) -> None:
    assert not await BreachList("http://127.0.0.1:9").knows(KNOWN)
    assert "refuses nothing" in caplog.text


async def test_only_so_many_ask_at_once_and_nobody_waits_longer(server: BreachServer) -> None:
    breaches = BreachList(server.url)
    await breaches.prepare()

    async def unhurried(writer: asyncio.StreamWriter, request: bytes) -> None:
        await asyncio.sleep(0.3)
        await server.ranged(writer, request)

    server.answer = unhurried
    started = time.monotonic()
    found = await asyncio.gather(*(breaches.knows(KNOWN) for _ in range(60)))
    assert time.monotonic() - started < LOOK_UP_SECONDS + 2
    assert 1 <= sum(found) < 60
    assert 1 < server.most_at_once <= AT_ONCE


@pytest.mark.parametrize("url", ["http://example.com", "ftp://example.com", "api.pwnedpasswords.com"])
def test_a_url_that_others_can_read_along_is_refused_at_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match="LIMEN_PASSWORDS_BREACH_URL"):
        BreachList(url)
