"""What has happened: frozen, in the past tense, published after the commit.

Listeners hear; they cannot change the flow. One that fails is logged and the others still hear.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from limen.core.client import NOWHERE, Client

_log = logging.getLogger("limen.events")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at `at` (aware, UTC) to the user `subject`, caused by `client`."""

    at: datetime
    subject: str | None = None
    client: Client = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered(Event):
    """An account was created."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn(Event):
    """A session began."""

    session_id: str
    amr: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginFailed(Event):
    """A first factor was refused; `reason` says why, for the operator only."""

    reason: str
    identifier: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensRefreshed(Event):
    """A session's refresh token was rotated."""

    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshReused(Event):
    """A rotated refresh token came back after the grace: theft. The session is already ended (RFC 9700 §4.14.2)."""

    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsEnded(Event):
    """Sessions were ended by `reason` (`logout`, `password_changed`, …)."""

    session_ids: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordChanged(Event):
    """A password was replaced by its owner or an operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUpdated(Event):
    """Fields of the user row were changed; `fields` names them."""

    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDeleted(Event):
    """The account and its sessions are gone; `email` was its address, None for a service account."""

    email: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredAgain(Event):
    """Somebody registered with the address of `subject`, or with one that is kept; its owner was told by mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDeletionScheduled(Event):
    """The account is shut and will be deleted at `due_at`, unless its owner restores it."""

    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRestored(Event):
    """An account that waited for its deletion was restored by its owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountExported(Event):
    """A person took along what limen holds of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDisowned(Event):
    """Passwords, keys and sessions of an account were taken back by `reason`: they may have been a stranger's."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailVerificationRequested(Event):
    """Somebody asked for another mail to prove an address; `subject` is None where no account waits for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailVerified(Event):
    """An address was proved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailChangeRequested(Event):
    """An account asked for another address, which has still to confirm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailChanged(Event):
    """The new address of an account was confirmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailChangeUndone(Event):
    """The owner of an account's old address stopped the change, or took the account back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordResetRequested(Event):
    """Somebody asked for a mail to reset a password; `subject` is None where there is no such account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordReset(Event):
    """A password was replaced by whoever reads the account's mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MagicLinkRequested(Event):
    """Somebody asked for a mail to sign in by; `subject` is None where there is no such account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RightsChanged(Event):
    """Roles or direct permissions of a user were replaced."""

    roles: tuple[str, ...]
    permissions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyCreated(Event):
    """The user `subject` has another API key."""

    key_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRotated(Event):
    """An API key got a successor and lives on for the overlap only."""

    key_id: str
    successor_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRevoked(Event):
    """An API key was taken back by `reason`."""

    key_id: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyLeaked(Event):
    """An API key was found where it should not be, and is revoked; `was_live` says whether it could still be used."""

    key_id: str
    name: str
    was_live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCreated(Event):
    """There is a service account `subject`."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCredentialAdded(Event):
    """A service account has another secret or key, with which it gets tokens by `method`."""

    credential_id: str
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCredentialsEnded(Event):
    """Secrets or keys of a service account were taken back, or end soon in favour of a new one."""

    credential_ids: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTokenIssued(Event):
    """An OAuth client got an access token for itself, proved by the credential `credential_id`."""

    credential_id: str
    scope: str


Listener = Callable[[Event], Awaitable[None] | None]


class Events:
    """Tells listeners what has happened."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Hear every event from now on; filter by class inside."""
        self._listeners.append(listener)

    async def publish(self, event: Event) -> None:
        """Tell every listener; a failing one is logged and hidden from the flow."""
        for listener in self._listeners:
            try:
                answer = listener(event)
                if inspect.isawaitable(answer):
                    await answer
            except Exception:
                _log.exception("a listener failed on %s", type(event).__name__)
