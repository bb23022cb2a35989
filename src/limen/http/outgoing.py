"""Requests to servers that an operator configured: bounded, no redirect followed, nothing decompressed."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from limen.core.strict_json import parse_object, parse_value

if TYPE_CHECKING:
    from httpx2 import AsyncBaseTransport, AsyncClient, Response

FETCH_SECONDS = 5.0
MAX_DOCUMENT = 64 * 1024


class DocumentRefused(Exception):
    """What a server answered is not the document that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered, whole and not over 64 KB."""

    status: int
    body: bytes = field(repr=False)
    cache_control: Sequence[str] = ()

    def document(self) -> dict[str, object]:
        """The JSON object in it.

        Raises:
            DocumentRefused: another status than 200.
            ValueError: not one JSON object.
        """
        self.check_ok()
        return parse_object(self.body)

    def value(self) -> object:
        """The JSON value in it, whatever its kind.

        Raises:
            DocumentRefused: another status than 200.
            ValueError: not JSON.
        """
        self.check_ok()
        return parse_value(self.body)

    def check_ok(self) -> None:
        """Refuse another status than 200.

        Raises:
            DocumentRefused: it is.
        """
        if self.status != 200:
            raise DocumentRefused(f"answered {self.status}")


class Outgoing:
    """Asks other servers; one of these serves any number of event loops.

    Args:
        transport: instead of the network, for an app's own tests.
    """

    def __init__(self, transport: "AsyncBaseTransport | None" = None) -> None:
        self._transport = transport
        self._tls: ssl.SSLContext | None = None

    @asynccontextmanager
    async def open(self, accept: str = "application/json") -> AsyncIterator["AsyncClient"]:
        """A client for a few requests that belong together."""
        import httpx2

        if self._tls is None and self._transport is None:
            self._tls = await asyncio.to_thread(_trust)
        headers = {"Accept": accept, "Accept-Encoding": "identity", "User-Agent": "limen"}
        options = {"verify": self._tls} if self._tls is not None else {"transport": self._transport}
        async with httpx2.AsyncClient(headers=headers, timeout=FETCH_SECONDS, **options) as client:
            yield client

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """What is at `url`.

        Raises:
            DocumentRefused: compressed, or over 64 KB.
            TimeoutError, httpx2.HTTPError: no answer in time.
        """
        async with asyncio.timeout(FETCH_SECONDS), self.open() as client:
            return await get(client, url, headers=headers)

    async def post(self, url: str, form: Mapping[str, str], *, headers: Mapping[str, str] | None = None) -> Answer:
        """What a server says to a form.

        Raises:
            DocumentRefused: compressed, or over 64 KB.
            TimeoutError, httpx2.HTTPError: no answer in time.
        """
        async with (
            asyncio.timeout(FETCH_SECONDS),
            self.open() as client,
            client.stream("POST", url, data=dict(form), headers=headers) as response,
        ):
            return await _read(response)


async def get(client: "AsyncClient", url: str, *, headers: Mapping[str, str] | None = None) -> Answer:
    """One document: no redirect is followed, no compression undone, no more read than a document has."""
    async with client.stream("GET", url, headers=headers) as response:
        return await _read(response)


async def _read(response: "Response") -> Answer:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise DocumentRefused("compressed, though that was not asked for")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_DOCUMENT:
            raise DocumentRefused("over 64 KB")
    lines = response.headers.get_list("cache-control")
    return Answer(status=response.status_code, body=bytes(body), cache_control=lines)


def _trust() -> ssl.SSLContext:
    """The certificates that are trusted; reading them takes longer than the event loop should wait."""
    from httpx2 import create_ssl_context

    return create_ssl_context()
