"""How service accounts prove who they are at the token endpoint (RFC 6749 §2.3.1, RFC 7523 §2.2)."""

from datetime import datetime

from limen.core import client_assertion
from limen.core.checked_token import CheckedToken
from limen.core.client_assertion import Assertion
from limen.core.keys import VerifyingKey
from limen.core.oauth_client import PresentedClient, ProvenClient
from limen.core.opaque import matches
from limen.core.strict_json import parse_object
from limen.errors import InvalidClient
from limen.features.services.service import GRANT, ServiceAccounts
from limen.features.services.store import ServiceCredential

_NO_DIGEST = bytes(32)
_SPENT = "client_assertion"


class ClientSecret:
    """`client_secret_basic` or `client_secret_post`: where the secret travels makes no difference to what it proves."""

    def __init__(self, service: ServiceAccounts, name: str) -> None:
        self._service = service
        self.name = name

    async def prove(self, presented: PresentedClient) -> ProvenClient:
        """Once the form of the secret is right, whatever is wrong costs the same look-up."""
        client_id = presented.client_id
        token = CheckedToken.parse(presented.proof, prefix=self._service.prefix)
        if token is None:
            raise InvalidClient("not a client secret of this app by its form or checksum", client=client_id)
        credential = await self._service.store.find(token.id)
        known = credential.secret_digest if credential else None
        if not matches(token.secret, known or _NO_DIGEST) or credential is None:
            raise InvalidClient("unknown client secret", client=client_id, credential=token.id)
        if credential.subject != client_id:
            raise InvalidClient("another client's secret", client=client_id, credential=token.id)
        return _proven(credential, self._service.kernel.clock.now())


class PrivateKeyJwt:
    """`private_key_jwt`: an assertion that the client signed, good once."""

    name = "private_key_jwt"

    def __init__(self, service: ServiceAccounts) -> None:
        self._service = service

    async def prove(self, presented: PresentedClient) -> ProvenClient:
        kernel = self._service.kernel
        now, leeway = kernel.clock.now(), kernel.settings.clock_leeway_seconds
        assertion = Assertion.read(presented.proof)
        if presented.client_id not in ("", assertion.client_id):
            raise InvalidClient("the client id is another than the assertion's", client=presented.client_id)
        keys = await self._keys_of(assertion.client_id, now)
        proven = client_assertion.verify(
            assertion, keys=tuple(keys), audiences=self._own_names(), now=now.timestamp(), leeway=leeway
        )
        client = _proven(keys[proven.key], now)
        until = datetime.fromtimestamp(proven.until, now.tzinfo)
        if not await kernel.one_time.spend(_SPENT, f"{client.client_id} {proven.jti}", until=until):
            raise InvalidClient("a client assertion came twice", client=client.client_id)
        return client

    async def _keys_of(self, client_id: str, now: datetime) -> dict[VerifyingKey, ServiceCredential]:
        user_id = self._service.kernel.users.parse_key(client_id)
        found = () if user_id is None else await self._service.store.live_of(user_id, now)
        stored = {each.public_key: each for each in found if each.public_key}
        return {VerifyingKey.from_jwk(parse_object(text.encode())): each for text, each in stored.items()}

    def _own_names(self) -> tuple[str, ...]:
        """RFC 7523 §3: the token endpoint's URL MAY be the audience; newer clients send the issuer (RFC 8414)."""
        kernel = self._service.kernel
        endpoint = kernel.settings.base_url.rstrip("/") + kernel.auth_prefix + "/token"
        return (kernel.settings.issuer, endpoint)


def _proven(credential: ServiceCredential, now: datetime) -> ProvenClient:
    held = credential.held
    if not credential.is_live(now) or not held.is_active or not held.is_service:
        raise InvalidClient("the credential or its service is not active", credential=credential.id)
    return ProvenClient(
        client_id=credential.subject,
        subject=credential.subject,
        held=held,
        credential_id=credential.id,
        grant_types=frozenset({GRANT}),
    )
