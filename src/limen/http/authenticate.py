"""THE hot path: a request becomes a principal, once, without I/O in steady state."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from hashlib import blake2s
from typing import Protocol

from starlette.requests import HTTPConnection
from starlette.types import Scope

from limen.core.client import Client
from limen.core.clock import Clock
from limen.core.conditions import Address
from limen.core.principal import Principal
from limen.core.remembered import IS_JWT, SIGNATURE, Remembered
from limen.core.revocations import Revocation, Revocations
from limen.errors import AuthError, ConfigurationError, InvalidCredential
from limen.http.cause import RequestCauses
from limen.http.client import address_of, client_of
from limen.http.credentials import COOKIE, find_credential, find_elsewhere, read_credential, read_elsewhere
from limen.http.open_connections import OpenConnections
from limen.http.origin import SAFE_METHODS, OriginCheck
from limen.http.scheme import AMBIENT, UNSAFE, Carrier, Presented, Scheme

ACCESS_TOKEN = "access_token"  # noqa: S105 - a kind of credential

KeepUp = Callable[[], Awaitable[None]]
Recall = Callable[[Scope], Principal | None]
ClientOf = Callable[[HTTPConnection], Client]
AddressOf = Callable[[Scope], Address | None]


async def _nothing_to_do() -> None:
    return None


class Uses(Protocol):
    """Notes what is in use.

    Attributes:
        round: another object each time that what was noted has been written.
    """

    round: object

    def note(self, principal: Principal) -> None:
        """A request came with this principal's credential."""
        ...


class Unused:
    """Notes nothing."""

    round: object = None

    def note(self, principal: Principal) -> None:
        """Nothing to do."""


class Authenticator:
    """Turns requests into principals.

    Args:
        revocations: asked for every credential, remembered or not.
        stale_after: seconds of silence of the log after which `keep_up` is called.
        keep_up: catches up with the revocation log where no background task does.
        uses: told of every principal that came in, at least once a round.
        client_of: from where a request came, for whoever verifies its credential.
        address_of: the same in short, for credentials that ask it of every request.

    Attributes:
        schemes: asked in order; the first that reads the credential by its form verifies it.
        unsafe_carriers: those beside the usual ones that a scheme was turned on for; none by default.
        is_installed: whether `auth.install(app)` was called; nothing is let in before.
        memo: where a request keeps what was decided.
        connections: those that stay open, so that they end with what let them in.
        causes: how to read who is behind a request, for the record of what happens in it; None where none is kept.
        recall: who a request proves, if its credential was verified before and everything is as usual; None decides
            nothing: `authenticate` does.
    """

    def __init__(
        self,
        *,
        revocations: Revocations,
        clock: Clock,
        origin: OriginCheck,
        stale_after: float = float("inf"),
        keep_up: KeepUp = _nothing_to_do,
        uses: Uses | None = None,
        client_of: ClientOf = client_of,
        address_of: AddressOf = address_of,
    ) -> None:
        self.schemes: tuple[Scheme, ...] = ()
        self.unsafe_carriers: frozenset[Carrier] = frozenset()
        self.is_installed = False
        self._revocations = revocations
        self._stale_after = stale_after
        self._keep_up = keep_up
        self._uses: Uses = uses or Unused()
        self._origin = origin
        self._clock = clock
        self._client_of = client_of
        self._address_of = address_of
        self._cookie_name: bytes | None = None
        self._remembered = Remembered(revocations, clock)
        revocations.subscribe(self._hear)
        self.memo = f"limen.principal.{id(self)}"
        self.connections = OpenConnections(revocations, memo=self.memo)
        self.causes: RequestCauses | None = None
        self.recall = self._recaller()

    def arrange(self, schemes: Sequence[Scheme], *, cookie_name: str) -> None:
        """Take the features' schemes, in order; done once, by `Auth`."""
        self.schemes = tuple(schemes)
        self.unsafe_carriers = UNSAFE.intersection(carrier for scheme in schemes for carrier in scheme.carriers)
        takes_cookies = any(Carrier.COOKIE in scheme.carriers for scheme in schemes)
        self._cookie_name = cookie_name.encode() if takes_cookies else None
        self.recall = self._recaller()

    async def authenticate(self, connection: HTTPConnection) -> Principal | None:
        """Who the request proves, or None when it presents nothing; decided once per request, however many ask.

        Raises:
            InvalidRequest: two explicit credentials.
            InvalidCredential: one that proves nobody.
            Unavailable: what decides it is down, or the revocation log has been silent too long.
        """
        scope = connection.scope
        if self.recall(scope) is None and self.memo not in scope:
            scope[self.memo] = await self._decide(connection)
        outcome = scope[self.memo]
        if isinstance(outcome, AuthError):
            raise outcome
        return outcome if isinstance(outcome, Principal) else None

    async def _decide(self, connection: HTTPConnection) -> Principal | AuthError | None:
        if not self.is_installed:
            raise ConfigurationError("auth.install(app) was not called: call it once, after app = FastAPI()")
        try:
            presented = read_credential(connection.scope["headers"], cookie_name=self._cookie_name)
            if self.unsafe_carriers:
                presented = read_elsewhere(connection.scope, presented, carriers=self.unsafe_carriers)
            if presented is None:
                return None
            if presented.carrier in AMBIENT:
                self._origin.check_cookie_use(connection)
            principal = await self.prove(replace(presented, client=self._client_of(connection)))
            if principal.conditions:
                self._check_conditions(principal, connection.scope)
        except AuthError as error:
            return error
        self._uses.note(principal)
        return principal

    async def prove(self, presented: Presented) -> Principal:
        """Who this credential proves, by memory or by its scheme; the revocations have the last word.

        Raises:
            InvalidCredential: it proves nobody.
            Unavailable: what decides it is down.
        """
        await self._keep_up()
        self._revocations.check_heard(self._clock.monotonic())
        carrier, credential = presented.carrier.encode(), presented.value.encode()
        known = self._remembered.recall(carrier, credential)
        if known is not None:
            return known
        scheme = self._scheme_of(presented)
        principal = await scheme.verify(presented)
        has_record = principal.credential != ACCESS_TOKEN or principal.account is not None
        if self._revocations.covers(principal) and has_record:
            principal = await scheme.verify(presented)  # its record may have been read just before the change
        if self._revocations.covers(principal):
            raise InvalidCredential("credential was revoked", subject=principal.subject, session=principal.session_id)
        if self._revocations.is_elsewhere(principal):  # here, so that no scheme can forget to say so
            principal = replace(principal, elsewhere=True)
        self._remembered.remember(carrier, credential, principal)
        return principal

    def _recaller(self) -> Recall:
        """What a request costs in steady state: built once, with all that it needs in its hands."""
        memo, unsafe_carriers = self.memo, self.unsafe_carriers
        cookie_start = None if self._cookie_name is None else self._cookie_name + b"="
        revocations, remembered, uses = self._revocations, self._remembered, self._uses
        entries = {carrier.encode(): remembered.of(carrier.encode()) for carrier in Carrier}
        time, monotonic, stale_after = self._clock.time, self._clock.monotonic, self._stale_after
        check_conditions = self._check_conditions

        def recall(scope: Scope) -> Principal | None:
            if memo in scope:
                outcome = scope[memo]
                return outcome if isinstance(outcome, Principal) else None
            if monotonic() - revocations.heard_at > stale_after:
                return None
            presented = find_credential(scope["headers"], cookie_start)
            if presented is None or (unsafe_carriers and find_elsewhere(scope, unsafe_carriers)):
                return None
            carrier, credential = presented
            if carrier is COOKIE and scope.get("method") not in SAFE_METHODS:
                return None
            # `key_of`, without a call of ours
            key = credential[-SIGNATURE:] if credential[:3] == IS_JWT else blake2s(credential).digest()
            entry = entries[carrier].get(key)
            if entry is None or entry.content != hash(credential) or time() >= entry.expires_at:
                return None
            if entry.revision != revocations.revision and not remembered.holds(entry):
                return None
            principal = entry.principal
            if principal.conditions:
                try:
                    check_conditions(principal, scope)
                except AuthError as refusal:  # decided: a rate is asked once per request
                    scope[memo] = refusal
                    return None
            if entry.round is not uses.round:  # once a round is enough
                entry.round = uses.round
                uses.note(principal)
            scope[memo] = principal
            return principal

        return recall

    def _hear(self, revocation: Revocation) -> None:
        if revocation.refuses_a_key:  # a principal does not say which key proved it
            self._remembered.forget_all()

    def _check_conditions(self, principal: Principal, scope: Scope) -> None:
        address = self._address_of(scope)
        for condition in principal.conditions:
            condition.check(address)

    def _scheme_of(self, presented: Presented) -> Scheme:
        for scheme in self.schemes:
            if presented.carrier in scheme.carriers and scheme.reads(presented):
                return scheme
        raise InvalidCredential("no scheme reads this credential")
