"""The cookies' names and flags (RFC 6265bis §4.1, ASVS 3.3)."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from limen.core.login import Cookie

MAX_BEGUN = 8


def cookie_name(*, secure: bool) -> str:
    """`__Host-limen`, which no other host or path can plant; plain `limen` where the site is plain http."""
    return "__Host-limen" if secure else "limen"


def device_cookie_name(session_cookie_name: str) -> str:
    """Beside the session's: it outlives the session and lets nobody in."""
    return f"{session_cookie_name}-device"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCookie:
    """Writes the cookies: out of reach of scripts, not sent along by foreign pages' posts.

    Attributes:
        secure: whether browsers reach the app by https, whatever the hop behind the proxy speaks.
        suffix: for a cookie beside the session's, such as `-link`.
    """

    secure: bool
    suffix: str = ""

    @property
    def name(self) -> str:
        """Under which it is sent."""
        return cookie_name(secure=self.secure) + self.suffix

    def set(self, response: Response, cookie: Cookie) -> None:
        """Hand the session to the browser."""
        self._set(response, self.name, cookie)

    def set_device(self, response: Response, cookie: Cookie) -> None:
        """Hand it what it is known by from now on."""
        self._set(response, device_cookie_name(cookie_name(secure=self.secure)), cookie)

    def clear(self, response: Response) -> None:
        """Take it back."""
        response.delete_cookie(self.name, path="/", secure=self.secure, httponly=True, samesite="lax")

    def _set(self, response: Response, name: str, cookie: Cookie) -> None:
        response.set_cookie(
            name,
            cookie.value,
            max_age=cookie.max_age,
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )


class BindingCookies:
    """What binds something begun to the browser that began it: one cookie each, so that several tabs can at once.

    SameSite=Lax: another site's redirect brings it along, a foreign page's requests do not.

    Args:
        purpose: a word in the cookies' names.
    """

    def __init__(self, purpose: str, *, secure: bool) -> None:
        self._secure = secure
        self._prefix = f"{cookie_name(secure=secure)}-{purpose}-"

    def read(self, request: Request, tag: str) -> str | None:
        """The value of one, if the browser has it."""
        return request.cookies.get(self._prefix + tag)

    def is_waiting(self, request: Request) -> bool:
        """Whether the browser has begun something that came to no end yet."""
        return any(name.startswith(self._prefix) for name in request.cookies)

    def keep(self, response: Response, request: Request, tag: str, value: str, *, seconds: int) -> None:
        """Give the browser one more; the oldest that came to no end make room."""
        others = [name for name in request.cookies if name.startswith(self._prefix)]
        for name in others[: max(0, len(others) - MAX_BEGUN + 1)]:
            self.clear(response, name.removeprefix(self._prefix))
        self.set(response, tag, value, seconds=seconds)

    def set(self, response: Response, tag: str, value: str, *, seconds: int) -> None:
        """Give the browser one."""
        response.set_cookie(
            self._prefix + tag,
            value,
            max_age=seconds,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def clear(self, response: Response, tag: str) -> None:
        """Take it back."""
        response.delete_cookie(self._prefix + tag, path="/", secure=self._secure, httponly=True, samesite="lax")
