"""Limits: a service asks before work that an attacker could multiply; the feature `limits` answers.

    attempt = await kernel.limits.take("login", client=client, account=canonical)
    …                                  # the password was right
    await attempt.give_back()          # so this was nobody's guess

Asked at the service, so that HTTP, the command line and Python calls obey alike. Without the feature everything passes.
"""

from typing import Protocol

from limen.core.client import NOWHERE, Client


class Attempt:
    """One try that was counted when it began, so that any number at once are counted exactly."""

    async def give_back(self) -> None:
        """It was honest: it counts no longer, and neither does it clear what others have used up."""


FREE = Attempt()
"""A try that nothing counts."""


class Keeper(Protocol):
    """Counts tries."""

    async def take(self, action: str, *, client: Client, account: str | None) -> Attempt:
        """Count one try, or refuse it.

        Raises:
            TooManyRequests: the budget of the address or of the account is used up; nothing was counted.
        """
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
            action: one word per thing that is limited: `login`, `register`, `forgot`, `verify`, `refresh`, …
            account: the canonical name that the try is about, known or not: an unknown one is counted alike.

        Raises:
            TooManyRequests: a budget is used up; `retry_after` says for how long.
        """
        if self._keeper is None:
            return FREE
        return await self._keeper.take(action, client=client, account=account)
