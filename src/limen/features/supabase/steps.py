"""What is asked of Supabase Auth (GoTrue), one call each, and what its answers mean. Nothing of one person is kept.

An outage is never taken for a refusal: only an error that GoTrue itself words decides anything.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from limen.core.strict_json import MalformedJSON, parse_object
from limen.errors import Unavailable

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

DEADLINE_SECONDS = 5.0
MAX_ANSWER = 256 * 1024
MAX_REFRESH_TOKEN = 4096
MAX_RETRY_AFTER = 60
PASSING = frozenset({408, 409, 425, 429})
PASSING_CODES = frozenset({"conflict", "request_timeout", "hook_timeout", "hook_timeout_after_retry", "bad_json"})
"""What GoTrue itself says of a moment, not of a person: another request was in the way, a hook did not answer."""

OTP_TYPES = ("magiclink", "signup")
"""Under which a code from a mail is kept: for those whom GoTrue knows, and for those whom the code makes known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What GoTrue hands out; not yet believed."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


class Refused(Exception):
    """GoTrue said no.

    Attributes:
        code: in its own word: `invalid_credentials`, `refresh_token_already_used`, …
        reasons: what is wrong with a password.
    """

    def __init__(self, code: str, *, reasons: tuple[str, ...] = ()) -> None:
        super().__init__(code)
        self.code = code
        self.reasons = reasons


class GoTrue:
    """Calls of one project's Auth; the key goes into the header `apikey` and is never a bearer token.

    Args:
        url: where it is: `https://<project>.supabase.co/auth/v1`.
        key: the publishable one; None for an Auth behind no gateway.
    """

    def __init__(self, url: str, key: str | None) -> None:
        self._url = url
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            **({"apikey": key} if key else {}),
        }
        self._client: AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def sign_up(self, email: str, password: str) -> Tokens | None:
        """A new user; None where the address must be confirmed first.

        Raises:
            Refused: `user_already_exists`, `weak_password`, `signup_disabled`, …
            Unavailable: GoTrue cannot be asked.
        """
        answer = await self._ask("/signup", {"email": email, "password": password})
        if "access_token" not in answer and isinstance(answer.get("id"), str):  # a user, and no session yet
            return None
        return _tokens(answer)

    async def sign_in(self, email: str, password: str) -> Tokens:
        """A session for an address and a password."""
        return await self._token("password", {"email": email, "password": password})

    async def refresh(self, refresh_token: str) -> Tokens:
        """The successors; within 10 s the same token may come again (its reuse interval)."""
        return await self._token("refresh_token", {"refresh_token": refresh_token})

    async def exchange(self, code: str, verifier: str) -> Tokens:
        """A session for the code of a sign-in elsewhere and the verifier that it began with (RFC 7636 §4.5)."""
        return await self._token("pkce", {"auth_code": code, "code_verifier": verifier})

    async def send_code(self, email: str) -> None:
        """Mail a one-time code."""
        await self._ask("/otp", {"email": email, "create_user": True})

    async def verify_code(self, email: str, code: str) -> Tokens:
        """A session for a code from a mail."""
        for kind in OTP_TYPES[:-1]:
            try:
                return _tokens(await self._ask("/verify", {"type": kind, "email": email, "token": code}))
            except Refused:  # it may be kept under another type
                continue
        return _tokens(await self._ask("/verify", {"type": OTP_TYPES[-1], "email": email, "token": code}))

    async def sign_out(self, access_token: str) -> None:
        """End the session of this token, on this device alone."""
        await self._ask("/logout", None, query={"scope": "local"}, token=access_token)

    def authorize_url(self, provider: str, *, redirect_to: str, challenge: str, scopes: str) -> str:
        """Where the browser goes to sign in elsewhere; GoTrue spells the method of RFC 7636 §4.3 in lower case."""
        query = {
            "provider": provider,
            "scopes": scopes,
            "redirect_to": redirect_to,
            "code_challenge": challenge,
            "code_challenge_method": "s256",
        }
        return f"{self._url}/authorize?{urlencode(query)}"

    async def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _token(self, grant: str, body: Mapping[str, object]) -> Tokens:
        return _tokens(await self._ask("/token", body, query={"grant_type": grant}))

    async def _ask(
        self,
        path: str,
        body: Mapping[str, object] | None,
        *,
        query: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> Mapping[str, object]:
        import httpx2

        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                client = await self._open()
                url = f"{self._url}{path}"
                async with client.stream("POST", url, params=query, json=body, headers=headers) as response:
                    data = await _read(response)
        except (httpx2.HTTPError, httpx2.StreamError, TimeoutError, OSError) as error:
            raise Unavailable(f"Supabase cannot be asked: {type(error).__name__}", path=path) from None
        return _understood(response, data, path)

    async def _open(self) -> "AsyncClient":
        async with self._opening:
            if self._client is None:
                import httpx2

                tls = await asyncio.to_thread(_trust)
                nothing = CookieJar(DefaultCookiePolicy(allowed_domains=()))  # a cookie would be everybody's
                self._client = httpx2.AsyncClient(
                    verify=tls, headers=self._headers, cookies=nothing, timeout=DEADLINE_SECONDS, follow_redirects=False
                )
            return self._client


async def _read(response: "Response") -> bytes:
    """The body, no more of it than an answer has; compression that was not asked for is not undone."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise Unavailable("Supabase answered more than 256 KB")
    return bytes(body)


def _understood(response: "Response", data: bytes, path: str) -> Mapping[str, object]:
    status = response.status_code
    try:
        answer = parse_object(data) if data else {}
    except MalformedJSON as error:
        raise Unavailable(f"Supabase answered no JSON: {error}", status=status, path=path) from None
    if status in (200, 201, 204):
        return answer
    code = _code(answer)
    if 400 <= status < 500 and status not in PASSING and code is not None and code not in PASSING_CODES:
        raise Refused(code, reasons=_reasons(answer))
    retry_after = _retry_after(response.headers.get("retry-after", ""))
    raise Unavailable("Supabase answered an error of no one's", retry_after=retry_after, status=status, path=path)


def _code(answer: Mapping[str, object]) -> str | None:
    """GoTrue's word for what is wrong; a gateway's error, as for a wrong key, has none."""
    for name in ("error_code", "code", "error"):
        word = answer.get(name)
        if isinstance(word, str) and word.isidentifier() and len(word) <= 64:
            return word
    return None


def _reasons(answer: Mapping[str, object]) -> tuple[str, ...]:
    weak = answer.get("weak_password")
    said = weak.get("reasons") if isinstance(weak, Mapping) else None
    known = ("length", "characters", "pwned")
    return tuple(word for word in known if word in said) if isinstance(said, list) else ()


def _retry_after(text: str) -> int:
    return min(max(1, int(text)), MAX_RETRY_AFTER) if text.isascii() and text.isdigit() and len(text) < 6 else 1


def _tokens(answer: Mapping[str, object]) -> Tokens:
    access, refresh = answer.get("access_token"), answer.get("refresh_token")
    if not (isinstance(access, str) and isinstance(refresh, str) and 0 < len(refresh) <= MAX_REFRESH_TOKEN):
        raise Unavailable("Supabase answered no session")
    return Tokens(access_token=access, refresh_token=refresh)


def _trust() -> ssl.SSLContext:
    """The certificates that are trusted; reading them takes longer than the event loop should wait."""
    from httpx2 import create_ssl_context

    return create_ssl_context()
