"""Have I Been Pwned's range query: whether a breach has made a password known, without telling anybody the password.

A file of its own beside the six, as it speaks to somebody else's service and does nothing else.
"""

import asyncio
import hashlib
import logging
import ssl

from limen.core.discovery import check_url, is_exposed
from limen.core.passwords import secret_of
from limen.errors import ConfigurationError

_log = logging.getLogger("limen.passwords")

LOOK_UP_SECONDS = 1.0  # in total: waiting for a turn, connecting, reading
AT_ONCE = 8
MAX_ANSWER = 256 * 1024  # a padded answer has 800 to 1,000 lines of about 40 bytes
PREFIX = 5
HEADERS = {"Add-Padding": "true", "Accept": "text/plain", "Accept-Encoding": "identity", "User-Agent": "limen"}


class _Unanswered(Exception):
    """What came is no answer to the question."""


class BreachList:
    """Asks which passwords breaches have made known: 20 bits of a SHA-1 go out, about a thousand candidates come back.

    Fails open: who cannot be asked knows nothing. Answers are bounded, redirects are not followed.

    Args:
        url: of Have I Been Pwned or of a mirror; chosen by the operator alone.

    Raises:
        ConfigurationError: not an https URL (or one of this machine).
    """

    def __init__(self, url: str) -> None:
        check_url(url, of="LIMEN_PASSWORDS_BREACH_URL")
        if is_exposed(url):
            raise ConfigurationError("LIMEN_PASSWORDS_BREACH_URL: needs https, as it is asked about passwords")
        self._url = url.rstrip("/")
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._tls: ssl.SSLContext | None = None

    async def prepare(self) -> ssl.SSLContext:
        """Load what the first look-up needs, so that it is no slower than the others; whom it trusts."""
        if self._tls is None:
            self._tls = await asyncio.to_thread(_trust)
        return self._tls

    async def knows(self, password: str) -> bool:
        """Whether a breach has made this password known; False where nobody says so within a second."""
        name = hashlib.sha1(secret_of(password), usedforsecurity=False).hexdigest().upper()
        try:
            tls = await self.prepare()
            async with asyncio.timeout(LOOK_UP_SECONDS), self._turns:
                answer = await self._ask(name[:PREFIX], tls)
        except Exception as error:  # whatever a network or a stranger's answer brings
            said = str(error) if isinstance(error, _Unanswered) else ""
            _log.warning("the breach list did not answer, so it refuses nothing: %s %s", type(error).__name__, said)
            return False
        return _counted(answer, name[PREFIX:])

    async def _ask(self, prefix: str, tls: ssl.SSLContext) -> bytes:
        import httpx2

        async with (
            httpx2.AsyncClient(verify=tls, headers=HEADERS, timeout=LOOK_UP_SECONDS) as client,
            client.stream("GET", f"{self._url}/range/{prefix}", follow_redirects=False) as response,
        ):
            if response.status_code != 200:
                raise _Unanswered(f"status {response.status_code}")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise _Unanswered("compressed, though that was not asked for")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise _Unanswered("over 256 KB")
        return bytes(body)


def _trust() -> ssl.SSLContext:
    """The certificates that are trusted; loading the client and these takes longer than the event loop should wait."""
    from httpx2 import create_ssl_context

    return create_ssl_context()


def _counted(answer: bytes, suffix: str) -> bool:
    """Whether a line says `SUFFIX:count` with a count above 0: padding has the count 0."""
    wanted = suffix.encode()
    for line in answer.splitlines():
        name, _, count = line.partition(b":")
        if name.strip().upper() == wanted:
            return count.strip().isdigit() and count.strip(b" 0") != b""
    return False
