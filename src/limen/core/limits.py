"""Limits: a service asks before work that an attacker could multiply; the feature `limits` answers.

    async with await kernel.limits.take("login", client=client, account=canonical) as attempt:
        …                                  # the password was right
        await attempt.give_back()          # so this was nobody's guess

Asked at the service, so that HTTP, the command line and Python calls obey alike. Without the feature everything passes.
"""

from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Protocol, Self

import anyio

from limen.core.client import NOWHERE, Client
from limen.core.login import Cookie
from limen.errors import Unavailable

_BY_ID = "id "  # no canonical name has a blank


class Attempt:
    """One try that was counted when it began, so that any number at once are counted exactly.

    As a block, its end settles it: what was not given back was a guess; an outage gives back, for nothing was tried.
    """

    async def give_back(self) -> None:
        """It was honest: it counts no longer, and neither does it clear what others have used up."""

    async def spend(self) -> None:
        """It was a guess: it stays counted, and nobody waits for its outcome any more."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):  # who hangs up after the work was done has had the try
            await (self.give_back() if isinstance(error, Unavailable) else self.spend())


FREE = Attempt()
"""A try that nothing counts."""


class Keeper(Protocol):
    """Counts tries."""

    async def take(self, action: str, *, client: Client, account: str | None) -> Attempt:
        """Count one try, or refuse it.

        Raises:
            TooManyRequests: the budget of the address or of the account is used up; nothing was counted.
            ChallengeRequired: the client must first show that a person sits there.
            Unavailable: what counts is down.
        """
        ...

    def failing(self, action: str, *, client: Client) -> AbstractContextManager[None]:
        """Refuse a client that failed too often of late; count it when the block refuses what the client shows.

        Raises:
            TooManyRequests: it did.
        """
        ...

    def pace(self, action: str, name: str) -> None:
        """Count one use of `name` in this process.

        Raises:
            TooManyRequests: there were too many of late.
        """
        ...

    def device(self, subject: str, client: Client) -> Cookie | None:
        """What a browser keeps, so that it is known when this user signs in there again."""
        ...


class Limits:
    """Asks the keeper that a feature brought; passes everything where none did."""

    def __init__(self) -> None:
        self._keeper: Keeper | None = None

    def keep_by(self, keeper: Keeper) -> None:
        """Ask this one from now on; done once, when features are bound."""
        self._keeper = keeper

    async def take(self, action: str, *, client: Client = NOWHERE, account: str | None = None) -> Attempt:
        """Count one try of `action` from this client on this account, before the work.

        Args:
            action: one word per thing that is limited: `login`, `register`, `forgot`, `verify`, …
            account: the canonical name that the try is about, known or not: an unknown one is counted alike. An
                account that has several names is counted by `by_id`.

        Raises:
            TooManyRequests: a budget is used up; `retry_after` says for how long.
            ChallengeRequired: a budget is nearly used up, and the client must show that a person sits there.
            Unavailable: what counts is down.
        """
        if self._keeper is None:
            return FREE
        return await self._keeper.take(action, client=client, account=account)

    def failing(self, action: str, *, client: Client) -> AbstractContextManager[None]:
        """A block that verifies a random secret: who failed too often of late is refused before the work.

        Each process counts by itself, in memory: such secrets cannot be guessed, only the work is bounded. What is
        good costs nothing and is refused by nothing but its address.

        Raises:
            TooManyRequests: from this address came too many bad ones.
        """
        return nullcontext() if self._keeper is None else self._keeper.failing(action, client=client)

    def pace(self, action: str, name: str) -> None:
        """Count one use of something that may be used often, but not without bound, in each process by itself.

        Raises:
            TooManyRequests: there were too many of late.
        """
        if self._keeper is not None:
            self._keeper.pace(action, name)

    def device(self, subject: str, client: Client) -> Cookie | None:
        """What a browser keeps after a sign-in, so that strangers' guesses do not shut its owner out; None for none."""
        return None if self._keeper is None else self._keeper.device(subject, client)


def by_id(subject: str) -> str:
    """The account of this id, however it was called: all its names share one budget."""
    return f"{_BY_ID}{subject}"


def id_in(account: str) -> str | None:
    """The id that an account is counted by, or None for one that is counted by its name."""
    return account.removeprefix(_BY_ID) if account.startswith(_BY_ID) else None
