"""THE hot path: a request becomes a principal, once, without I/O in steady state."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import HTTPConnection

from limen.core.clock import Clock
from limen.core.principal import Principal
from limen.core.remembered import Remembered
from limen.core.revocations import Revocations
from limen.errors import AuthError, ConfigurationError, InvalidCredential
from limen.http.credentials import read_credential
from limen.http.scheme import Carrier, Presented, Scheme

KeepUp = Callable[[], Awaitable[None]]


class Authenticator:
    """Turns requests into principals.

    Args:
        schemes: asked in order; the first that reads the credential by its form verifies it.
        revocations: asked for every credential, remembered or not.
        keep_up: catches up with the revocation log where no background task does.
        cookie_name: the session cookie's name, or None where no scheme takes a cookie.
    """

    def __init__(
        self,
        schemes: Sequence[Scheme],
        *,
        revocations: Revocations,
        keep_up: KeepUp,
        clock: Clock,
        cookie_name: str | None = None,
    ) -> None:
        self.schemes = tuple(schemes)
        self.is_installed = False
        self._revocations = revocations
        self._keep_up = keep_up
        self._clock = clock
        self._cookie_name = cookie_name.encode() if cookie_name and self._takes(Carrier.COOKIE) else None
        self._remembered = Remembered()
        self._memo = f"limen.principal.{id(self)}"

    async def authenticate(self, connection: HTTPConnection) -> Principal | None:
        """Who the request proves, or None when it presents nothing; decided once per request, however many ask.

        Raises:
            InvalidRequest: two explicit credentials.
            InvalidCredential: one that proves nobody.
            Unavailable: what decides it is down, or the revocation log has been silent too long.
        """
        scope = connection.scope
        if self._memo in scope:
            outcome = scope[self._memo]
        else:
            outcome = scope[self._memo] = await self._decide(connection)
        if isinstance(outcome, AuthError):
            raise outcome
        return outcome if isinstance(outcome, Principal) else None

    async def _decide(self, connection: HTTPConnection) -> Principal | AuthError | None:
        if not self.is_installed:
            raise ConfigurationError("auth.install(app) was not called: call it once, after app = FastAPI()")
        try:
            presented = read_credential(connection.scope["headers"], cookie_name=self._cookie_name)
            return None if presented is None else await self.prove(presented)
        except AuthError as error:
            return error

    async def prove(self, presented: Presented) -> Principal:
        """Who this credential proves, by memory or by its scheme; the revocations have the last word.

        Raises:
            InvalidCredential: it proves nobody.
            Unavailable: what decides it is down.
        """
        await self._keep_up()
        self._revocations.check_heard(self._clock.monotonic())
        key = self._remembered.key(presented.carrier, presented.value)
        principal = self._remembered.recall(key, self._clock.time())
        if principal is not None and not self._revocations.covers(principal):
            return principal
        self._remembered.forget(key)
        principal = await self._scheme_of(presented).verify(presented)
        if self._revocations.covers(principal):
            raise InvalidCredential("credential was revoked", subject=principal.subject, session=principal.session_id)
        self._remembered.remember(key, principal)
        return principal

    def _scheme_of(self, presented: Presented) -> Scheme:
        for scheme in self.schemes:
            if presented.carrier in scheme.carriers and scheme.reads(presented):
                return scheme
        raise InvalidCredential("no scheme reads this credential")

    def _takes(self, carrier: Carrier) -> bool:
        return any(carrier in scheme.carriers for scheme in self.schemes)
