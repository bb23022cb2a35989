"""An app on a phone: tokens that are refreshed once, however many requests find them expired at the same time.

    limen demo                                              # or any app on limen
    python -m examples.mobile_refresh http://localhost:8000

`Api` is the part to copy: it sends the access token, refreshes it in time, and keeps what it must not lose.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import httpx2

EARLY_SECONDS = 30.0
"""So much before its end a token is replaced: the clock of a phone is not exact, and the network takes its time."""


class SignedOut(Exception):
    """The session has ended, here or on another device: show the sign-in."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a sign-in hands out; keep `refresh` where the system keeps secrets (Keychain, Keystore)."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_at: float

    @classmethod
    def of(cls, body: dict[str, Any]) -> Self:
        return cls(body["access_token"], body["refresh_token"], time.monotonic() + body["expires_in"])


class Api:
    """An HTTP client that is signed in, and stays so.

    Args:
        keep: called with every new pair, before it is used: an app that is killed then goes on with it. If it is
            killed before, limen gives the same successor again for ten seconds.
    """

    def __init__(self, http: httpx2.AsyncClient, *, keep: Callable[[Tokens | None], None] = lambda _: None) -> None:
        self._http = http
        self._keep = keep
        self._tokens: Tokens | None = None
        self._turn = asyncio.Lock()

    async def sign_in(self, username: str, password: str) -> None:
        answer = await self._http.post("/auth/login", data={"username": username, "password": password})
        answer.raise_for_status()
        self._take(Tokens.of(answer.json()))

    async def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One request, with a token that is good. A 401 is looked into once: it may have been taken back meanwhile.

        Raises:
            SignedOut: there is no session any more.
        """
        tokens = await self._good_tokens()
        answer = await self._send(method, path, tokens, options)
        if answer.status_code == 401:
            answer = await self._send(method, path, await self._refresh(tokens), options)
        return answer

    async def sign_out(self) -> None:
        await self.request("POST", "/auth/logout")
        self._take(None)

    async def _good_tokens(self) -> Tokens:
        if self._tokens is None:
            raise SignedOut
        if time.monotonic() < self._tokens.expires_at - EARLY_SECONDS:
            return self._tokens
        return await self._refresh(self._tokens)

    async def _refresh(self, spent: Tokens) -> Tokens:
        """Replace `spent`: the first that comes does it, the others wait and get what it got."""
        async with self._turn:
            if self._tokens is None:
                raise SignedOut
            if self._tokens is not spent:
                return self._tokens
            answer = await self._http.post("/auth/refresh", json={"refresh_token": spent.refresh})
            if answer.status_code == 401:
                self._take(None)
                raise SignedOut
            answer.raise_for_status()  # 503 or no network: the pair is still good, try later
            successor = Tokens.of(answer.json())
            self._take(successor)
            return successor

    async def _send(self, method: str, path: str, tokens: Tokens, options: dict[str, Any]) -> httpx2.Response:
        headers = {**options.get("headers", {}), "Authorization": f"Bearer {tokens.access}"}
        return await self._http.request(method, path, **{**options, "headers": headers})

    def _take(self, tokens: Tokens | None) -> None:
        self._keep(tokens)
        self._tokens = tokens


async def main(url: str) -> None:
    async with httpx2.AsyncClient(base_url=url) as http:
        new = {"email": f"phone-{time.time_ns()}@example.com", "password": "seven green bottles"}
        (await http.post("/auth/register", json=new)).raise_for_status()
        api = Api(http)
        await api.sign_in(new["email"], new["password"])
        me = (await api.request("GET", "/users/me")).json()
        print(f"signed in as {me['email']}")
        await api.sign_out()
        print("signed out")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000"))
