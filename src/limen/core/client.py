"""From where a request came."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The canonical address and the user agent, cut to what is stored; neither where no request is (CLI, worker).

    Attributes:
        session_cookie: what the browser still holds from an earlier sign-in, not yet believed; a new one ends it.
        device_cookie: the same, by which the browser is known again.
        is_browser: whether it says where its requests come from, as browsers do; they keep cookies that nobody reads.
        challenge: the answer to a challenge, not yet believed.
    """

    ip: str | None = None
    user_agent: str | None = None
    session_cookie: str | None = field(default=None, repr=False)
    device_cookie: str | None = field(default=None, repr=False)
    is_browser: bool = False
    challenge: str | None = field(default=None, repr=False)


NOWHERE = Client()
