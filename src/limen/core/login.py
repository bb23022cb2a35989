"""The one pipeline that every sign-in goes through: a proof, the steps that want more, the issuer that hands out.

    proof of a first factor → steps asked in order → the first that wants more: `Pending` with a ticket
                                                    → none: a session, handed to the issuer: `Completed`

A half-done sign-in is a `Pending`, another type than a session: nothing can take the one for the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol

from limen.core.client import Client
from limen.core.oauth_client import ProvenClient
from limen.core.permissions import parse_scope
from limen.core.rights import Held
from limen.errors import InvalidRequest, InvalidToken

TICKET_LIFETIME = timedelta(minutes=10)
_TICKET = "ticket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Who someone proved to be, and how: what a first factor hands to the pipeline.

    Attributes:
        subject: the user's id as text.
        amr: how it was proved, in RFC 8176's words (`pwd`, `otp`, …); steps add theirs.
        scope: what the client asked for, or None for everything the user holds.
        deliver: the name of the issuer that shall hand out: `token` or `cookie`.
        steps_done: the steps that have been answered.
        held: the user's rights if they were read with the proof; the issuer reads them otherwise.
    """

    subject: str
    amr: tuple[str, ...]
    scope: str | None = None
    deliver: str = "token"
    client_id: str | None = None
    steps_done: tuple[str, ...] = ()
    held: Held | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A sign-in that a step holds up: answer the step with the ticket."""

    step: str
    ticket: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """A cookie to set; its name and flags are decided where cookies are written."""

    value: str = field(repr=False)
    max_age: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A finished sign-in: what the client gets.

    Attributes:
        device: what the browser is known by when it comes back, whether signed in or not.
    """

    body: Mapping[str, object] = field(repr=False)
    cookie: Cookie | None = None
    device: Cookie | None = None


class Step(Protocol):
    """A gate between the first factor and the session."""

    name: str

    async def wants(self, proof: Proof) -> bool:
        """Whether this proof must answer the step before there is a session."""
        ...


class Issuer(Protocol):
    """Turns a finished sign-in into something the client can carry."""

    name: str

    async def issue(self, proof: Proof, client: Client) -> Completed:
        """Open the session and hand out what carries it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """What came to the token endpoint.

    Attributes:
        form: its fields, each once.
        client: from where.
        oauth_client: the client that proved who it is, if one did.
    """

    form: Mapping[str, str] = field(repr=False)
    client: Client
    oauth_client: ProvenClient | None = None


class Grant(Protocol):
    """One `grant_type` of the token endpoint (RFC 6749 §1.3)."""

    grant_type: str

    async def redeem(self, request: TokenRequest) -> Completed:
        """What the client gets for what it shows.

        Raises:
            InvalidGrant: what it shows is not good.
            InvalidRequest: a parameter is missing.
        """
        ...


class Tickets(Protocol):
    """Where a sign-in waits for its next step: single-use secrets, stored as digests."""

    async def issue(self, kind: str, *, subject: str | None, payload: Mapping[str, object], lifetime: timedelta) -> str:
        """A fresh secret that stands for `payload`."""
        ...

    async def consume(self, kind: str, secret: str) -> "Waiting | None":
        """What the secret stands for, once."""
        ...


class Waiting(Protocol):
    """What a ticket stood for."""

    @property
    def payload(self) -> Mapping[str, object]: ...


class Login:
    """Runs the pipeline.

    Args:
        tickets: where half-done sign-ins wait.
    """

    def __init__(self, *, tickets: Tickets) -> None:
        self._tickets = tickets
        self._steps: tuple[Step, ...] = ()
        self._issuers: Mapping[str, Issuer] = {}

    def arrange(self, *, steps: Sequence[Step], issuers: Sequence[Issuer]) -> None:
        """Take the features' steps, in the order in which they are asked, and their issuers; done once, by `Auth`."""
        self._steps = tuple(steps)
        self._issuers = {issuer.name: issuer for issuer in issuers}

    @property
    def deliveries(self) -> tuple[str, ...]:
        """The names that `deliver` can have."""
        return tuple(self._issuers)

    async def complete(self, proof: Proof, client: Client) -> Pending | Completed:
        """Ask the steps that are not done; the first that wants more holds the sign-in up.

        Raises:
            InvalidRequest: nothing here delivers what the client wants.
            InvalidScope: the scope is malformed.
        """
        issuer = self._issuers.get(proof.deliver)
        if issuer is None:
            raise InvalidRequest("no issuer of this name", deliver=proof.deliver)
        parse_scope(proof.scope or "")  # refused now, not when the steps are done
        for step in self._steps:
            if step.name not in proof.steps_done and await step.wants(proof):
                return await self._hold(proof, step)
        return await issuer.issue(proof, client)

    async def resume(self, ticket: str, *, step: str) -> Proof:
        """The proof that waits behind a ticket, for the step that it waits for; the ticket is used up.

        Raises:
            InvalidToken: unknown, used, expired, or a ticket for another step.
        """
        waiting = await self._tickets.consume(_TICKET, ticket)
        if waiting is None or waiting.payload.get("step") != step:
            raise InvalidToken("no sign-in waits behind this ticket", step=step)
        return _proof(waiting.payload)

    async def pass_step(
        self, proof: Proof, client: Client, *, step: str, amr: Sequence[str] = ()
    ) -> Pending | Completed:
        """Go on after `step` was answered; `amr` says what it proved."""
        done = replace(proof, steps_done=(*proof.steps_done, step), amr=tuple(dict.fromkeys((*proof.amr, *amr))))
        return await self.complete(done, client)

    async def _hold(self, proof: Proof, step: Step) -> Pending:
        payload = {
            "step": step.name,
            "subject": proof.subject,
            "amr": list(proof.amr),
            "scope": proof.scope,
            "deliver": proof.deliver,
            "client_id": proof.client_id,
            "steps_done": list(proof.steps_done),
        }
        ticket = await self._tickets.issue(_TICKET, subject=None, payload=payload, lifetime=TICKET_LIFETIME)
        return Pending(step=step.name, ticket=ticket)


def _proof(payload: Mapping[str, object]) -> Proof:
    return Proof(
        subject=str(payload["subject"]),
        amr=_texts(payload["amr"]),
        scope=_text_or_none(payload["scope"]),
        deliver=str(payload["deliver"]),
        client_id=_text_or_none(payload["client_id"]),
        steps_done=_texts(payload["steps_done"]),
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _text_or_none(value: object) -> str | None:
    return None if value is None else str(value)
