"""From where a request came."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The canonical address and the user agent, cut to what is stored; neither where no request is (CLI, worker)."""

    ip: str | None = None
    user_agent: str | None = None


NOWHERE = Client()
