"""A double of Have I Been Pwned's range query, written from its documentation (API v3, "Searching by range").

`GET /range/{first five characters of the SHA-1}` answers one line `SUFFIX:COUNT` for each known hash, in CRLF; with
`Add-Padding: true` it adds lines of count 0, so that there are 800 to 1,000. Anything but five hex characters is 400.
"""

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answer = Callable[[asyncio.StreamWriter, bytes], Awaitable[None]]
_RANGE = re.compile(rb"GET /range/([0-9A-F]{5}) HTTP/1.1\r\n")


@dataclass
class BreachServer:
    """What it knows and what it was asked; `answer` replaces its own way to answer."""

    url: str
    known: dict[str, int] = field(default_factory=dict)
    heard: list[bytes] = field(default_factory=list)
    answer: Answer | None = None
    at_once: int = 0
    most_at_once: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()  # whoever connected gave up before it asked
            return
        self.heard.append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await (self.answer or self.ranged)(writer, request)
        except (ConnectionError, asyncio.CancelledError):
            pass  # whoever asked has gone, or the test is over
        finally:
            self.at_once -= 1
            writer.close()

    async def ranged(self, writer: asyncio.StreamWriter, request: bytes) -> None:
        asked = _RANGE.match(request)
        if asked is None:
            await send(writer, b"The hash prefix was not in a valid format", status="400 Bad Request")
            return
        lines = [f"{secrets.token_hex(18)[:35].upper()}:{secrets.randbelow(90) + 1}" for _ in range(500)]
        for password, count in self.known.items():
            name = hashlib.sha1(password.encode()).hexdigest().upper()
            if name.startswith(asked[1].decode()):
                lines.append(f"{name[5:]}:{count}")
        if b"add-padding: true" in request.lower():
            lines += [f"{secrets.token_hex(18)[:35].upper()}:0" for _ in range(400)]
        await send(writer, "\r\n".join(sorted(lines)).encode())


async def send(writer: asyncio.StreamWriter, body: bytes, *, status: str = "200 OK", headers: str = "") -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


@asynccontextmanager
async def breach_server() -> AsyncIterator[BreachServer]:
    double = BreachServer("")
    server = await asyncio.start_server(double.serve, "127.0.0.1", 0)
    double.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield double
