"""What has happened: frozen, in the past tense, published after the commit.

Listeners hear; they cannot change the flow. One that fails is logged and the others still hear.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import ClassVar
from uuid import UUID, uuid4

from limen.core.cause import Actor, acting, refusal_is_told
from limen.core.client import NOWHERE, Client

_log = logging.getLogger("limen.events")


class Pace(Enum):
    """How often something happens, which decides how whoever keeps a record of it may take its time."""

    RARE = "written before the answer"
    OFTEN = "written soon after"
    ENDLESS = "written soon after, and repetitions of the same counted: strangers or programs make any number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at `at` (aware, UTC) to the user `subject`, caused by `actor` at `client`.

    Fields that do not print (`repr=False`) are for listeners only: nothing keeps them.

    Attributes:
        id: tells it from every other.
        result: of the class: `success`, or `refused`.
        pace: of the class.
        proves_subject: of the class: whoever caused it proved by it to be the subject.
    """

    result: ClassVar[str] = "success"
    pace: ClassVar[Pace] = Pace.RARE
    proves_subject: ClassVar[bool] = False

    at: datetime
    subject: str | None = None
    client: Client = NOWHERE
    actor: Actor = field(default_factory=acting, compare=False)
    id: UUID = field(default_factory=uuid4, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered(Event):
    """An account was created; `roles` are what it began with."""

    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountsImported(Event):
    """So many accounts of another app were taken over from `source`; none of them is told of by itself."""

    source: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn(Event):
    """A session began."""

    pace = Pace.OFTEN
    proves_subject = True

    session_id: str
    amr: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginFailed(Event):
    """A first factor was refused; `reason` says why, for the operator only."""

    result = "refused"
    pace = Pace.ENDLESS

    reason: str
    identifier: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitReached(Event):
    """A `budget` of tries of `action` is used up: that of an `address`, an `account` or a known `device` of its owner.

    Published once per budget and process while it stays used up, however many tries are refused.
    """

    action: str
    budget: str
    retry_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitCleared(Event):
    """An operator gave the account `subject` its tries back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensRefreshed(Event):
    """A session's refresh token was rotated."""

    pace = Pace.ENDLESS
    proves_subject = True

    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshReused(Event):
    """A rotated refresh token came back after the grace: theft. The session is already ended (RFC 9700 §4.14.2)."""

    result = "refused"

    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsEnded(Event):
    """Sessions were ended by `reason` (`logout`, `password_changed`, …)."""

    pace = Pace.OFTEN

    session_ids: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EverybodySignedOut(Event):
    """So many sessions were ended, whoever's they were; of very many, several of these tell."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordChanged(Event):
    """A password was replaced by its owner or an operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUpdated(Event):
    """Fields of the user row were changed; `fields` names them, `is_active` says what that one became."""

    fields: tuple[str, ...]
    is_active: bool | None = None


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
    """There is a service account `subject`; roles and permissions are what it began with."""

    name: str
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()


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

    pace = Pace.ENDLESS
    proves_subject = True

    credential_id: str
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityLinked(Event):
    """Somebody's account elsewhere is the user `subject`'s from now on; `by_sign_up` if the user was made by it."""

    provider: str
    by_sign_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRevoked(Event):
    """An access token that belongs to no session was taken back."""

    credential_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeysChanged(Event):
    """An operator did `change` (`rotated`, `rotated_now`, `retired`, `refused`) to the keys that sign tokens."""

    change: str
    kid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefused(Event):
    """A request was refused because of who asked or what they showed; noted, not published: it happens too often.

    Attributes:
        code: of the error, as the client sees it.
        reason: why, for the operator only.
        needed: the permissions that would have been enough, where that is the reason.
        route: method and path as declared.
        target: the user whom the request was about.
    """

    result = "refused"
    pace = Pace.ENDLESS

    code: str
    reason: str
    needed: str = ""
    route: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityUnlinked(Event):
    """An account elsewhere lets nobody in as the user `subject` any more."""

    provider: str


Listener = Callable[[Event], Awaitable[None] | None]
Recorder = Callable[[object, Event], Awaitable[None]]
Watcher = Callable[[Event], None]


class Events:
    """Tells listeners what has happened."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._recorders: list[Recorder] = []
        self._watchers: list[Watcher] = []

    def listen(self, listener: Listener) -> None:
        """Hear every event from now on; filter by class inside."""
        self._listeners.append(listener)

    def record_by(self, recorder: Recorder) -> None:
        """Write what `record` is told, from now on; one that fails makes the change fail that it is part of."""
        self._recorders.append(recorder)

    def watch(self, watcher: Watcher) -> None:
        """Hear what is only noted, from now on; it must neither wait nor fail."""
        self._watchers.append(watcher)

    async def record(self, connection: object, event: Event) -> None:
        """Write an event within the transaction that makes it true; after the commit the caller publishes it too.

        Args:
            connection: the transaction's.
        """
        for recorder in self._recorders:
            await recorder(connection, event)

    def note(self, event: Event) -> None:
        """Mention what happens so often that nothing may be waited for."""
        for watcher in self._watchers:
            try:
                watcher(event)
            except Exception:
                _log.exception("a watcher failed on %s", type(event).__name__)

    async def publish(self, event: Event) -> None:
        """Tell every listener; a failing one is logged and hidden from the flow."""
        if event.result == "refused":
            refusal_is_told()
        for listener in self._listeners:
            try:
                answer = listener(event)
                if inspect.isawaitable(answer):
                    await answer
            except Exception:
                _log.exception("a listener failed on %s", type(event).__name__)
