"""Decides about service accounts: what one may have, what it gets."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from secrets import token_hex

from limen.core import jwk
from limen.core.checked_token import CheckedToken, is_token_id
from limen.core.client import NOWHERE, Client
from limen.core.identity import Identity, username_identity
from limen.core.key_terms import check_overlap
from limen.core.keys import VerifyingKey
from limen.core.login import Completed
from limen.core.oauth_client import ProvenClient
from limen.core.permissions import is_permission
from limen.core.principal import Principal
from limen.core.rights import check_holds
from limen.core.strict_json import parse_object
from limen.db.accounts import Account
from limen.db.database import UniqueViolation
from limen.errors import InvalidTarget, NotFound, TooManyKeys, Unprocessable, UsernameTaken
from limen.events import ClientTokenIssued, Event, ServiceCreated, ServiceCredentialAdded, ServiceCredentialsEnded
from limen.features.services.store import ServiceCredential, ServiceStore
from limen.features.tokens.service import TokenService
from limen.kernel import Kernel

SECRET_KIND = "lmc"  # noqa: S105 - how secrets begin, not one
GRANT = "client_credentials"
MAX_CREDENTIALS = 10
MAX_PUBLIC_KEY = 8192
KEEP_ENDED = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSecret:
    """A secret that was just made: its text is known now and never again."""

    credential: ServiceCredential
    text: str = field(repr=False)


class ServiceAccounts:
    """Makes service accounts, gives them secrets and keys, and tokens for these.

    A service account is a user that cannot sign in; roles and permissions are assigned to it as to any user.

    Attributes:
        audiences: what its tokens may be for, beside this app.
    """

    kernel: Kernel
    store: ServiceStore
    tokens: TokenService
    prefix: str
    audiences: frozenset[str]

    async def create(
        self,
        name: str,
        *,
        roles: Iterable[str] = (),
        permissions: Iterable[str] = (),
        values: Mapping[str, object] | None = None,
        client: Client = NOWHERE,
    ) -> Account:
        """Make a service account.

        Args:
            name: unique among the usernames.
            roles, permissions: what it holds; for operators, never from a request's body.
            values: the app's own columns.

        Raises:
            Unprocessable: the name is not of the form of a username, or a role or permission is not declared.
            UsernameTaken: another account has it.
        """
        kernel, now = self.kernel, self.kernel.clock.now()
        roles, permissions = self._declared(roles, permissions)
        address = f"{token_hex(12)}@service.invalid"  # RFC 2606 §2: no mail ever gets there
        own = {**(values or {}), "is_service": True}
        try:
            async with kernel.database.transaction() as connection:
                user_id = await kernel.users.add(
                    connection,
                    email=Identity(address, address),
                    username=username_identity(name),
                    created_at=now,
                    values=own,
                )
                await kernel.rights.grant(connection, user_id, roles=roles, permissions=permissions)
                created = ServiceCreated(
                    at=now,
                    subject=str(user_id),
                    client=client,
                    name=name,
                    roles=tuple(sorted(roles)),
                    permissions=tuple(sorted(permissions)),
                )
                await kernel.events.record(connection, created)
        except UniqueViolation:
            raise UsernameTaken from None
        await kernel.events.publish(created)
        return await self.get(str(user_id))

    async def get(self, subject: str) -> Account:
        """The service account of this id.

        Raises:
            NotFound: there is none.
        """
        return _service(await self.kernel.users.find_by_subject(subject))

    async def find(self, name: str) -> Account:
        """The service account of this name or id.

        Raises:
            NotFound: there is none.
        """
        users = self.kernel.users
        return _service(await users.find_by_identifier(name.lower()) or await users.find_by_subject(name))

    async def list(self) -> tuple[Account, ...]:
        """Every service account, by name."""
        return await self.store.list_accounts()

    async def credentials(self, service: Account) -> tuple[ServiceCredential, ...]:
        """The secrets and keys that it can use."""
        return await self.store.live_of(service.id, self.kernel.clock.now())

    async def add_secret(
        self,
        service: Account,
        *,
        expires_in: timedelta | None = None,
        overlap: timedelta | None = None,
        by: Principal | None = None,
        client: Client = NOWHERE,
    ) -> NewSecret:
        """Give it another secret.

        Args:
            overlap: its present secrets end after this long; None leaves them as they are.
            by: on whose behalf; None for whoever runs the app.

        Raises:
            InsufficientScope: `by` does not hold what the service does.
            TooManyKeys: it has as many credentials as one may have.
        """
        token, now = CheckedToken.mint(self.prefix), self.kernel.clock.now()
        if overlap is not None:
            check_overlap(overlap)
        credential = ServiceCredential(
            id=token.id,
            user_id=service.id,
            method="client_secret",
            secret_digest=token.digest,
            created_at=now,
            expires_at=None if expires_in is None else now + expires_in,
            held=service.held,
        )
        await self._add(service, credential, overlap=overlap, by=by, client=client)
        return NewSecret(credential=credential, text=token.text)

    async def add_key(
        self, service: Account, public_key: str, *, by: Principal | None = None, client: Client = NOWHERE
    ) -> ServiceCredential:
        """Let it sign assertions with the private half of this public key, given as PEM or as a JWK in JSON.

        Raises:
            Unprocessable: not a public key for ES256, EdDSA or RS256.
            InsufficientScope: `by` does not hold what the service does.
            TooManyKeys: it has as many credentials as one may have.
        """
        credential = ServiceCredential(
            id=CheckedToken.mint(self.prefix).id,
            user_id=service.id,
            method="private_key_jwt",
            public_key=json.dumps(_public_key(public_key).to_jwk(), separators=(",", ":")),
            created_at=self.kernel.clock.now(),
            held=service.held,
        )
        await self._add(service, credential, by=by, client=client)
        return credential

    async def revoke_credential(self, service: Account, credential_id: str, *, client: Client = NOWHERE) -> None:
        """Take a secret or key back; every token that the service has is refused within the revocation promise.

        Raises:
            NotFound: it has none such.
        """
        kernel, now = self.kernel, self.kernel.clock.now()
        async with kernel.database.transaction() as connection:
            known = is_token_id(credential_id)
            if not known or not await self.store.end(connection, credential_id, service.id, now=now):
                raise NotFound("no such credential", credential=credential_id)
            epoch = await kernel.rights.count(connection, service.id)
            entry = kernel.users.lockout(service.id, epoch=epoch or 0)
            ended = self._end_of(service, (credential_id,), "revoked", client)
            await kernel.events.record(connection, ended)
            await kernel.revocation_log.append(connection, [entry])
        kernel.revocation_log.apply([entry])
        await kernel.events.publish(ended)

    async def issue(
        self, service: ProvenClient, *, scope: str | None = None, audience: str | None = None, client: Client = NOWHERE
    ) -> Completed:
        """An access token for a service: what it holds ∩ the scope, for this app or one of the other audiences.

        Raises:
            InvalidScope: the scope is malformed.
            InvalidTarget: there are no tokens for this audience.
        """
        own = audience in (None, self.kernel.settings.expected_audience)
        if not own and audience not in self.audiences:
            raise InvalidTarget("not among the audiences", client=service.client_id)
        completed = await self.tokens.issue_to_client(service, scope=scope, audience=None if own else audience)
        event = ClientTokenIssued(
            at=self.kernel.clock.now(),
            subject=service.subject,
            client=client,
            credential_id=service.credential_id,
            scope=str(completed.body["scope"]),
        )
        await self.kernel.events.publish(event)
        return completed

    async def purge(self) -> int:
        """Delete credentials that ended over 30 days ago."""
        return await self.store.purge(self.kernel.clock.now() - KEEP_ENDED)

    def _declared(self, roles: Iterable[str], permissions: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
        known = self.kernel.vocabulary.knows_permission
        named, held = frozenset(roles), frozenset(name.removesuffix(":*") for name in permissions)
        errors = [
            *(
                {"loc": ["role"], "msg": f"There is no role {name!a}.", "type": "role"}
                for name in sorted(named - self.kernel.roles.keys())
            ),
            *(
                {"loc": ["permission"], "msg": f"There is no permission {name!a}.", "type": "permission"}
                for name in sorted(held)
                if not is_permission(name) or not known(name)
            ),
        ]
        if errors:
            raise Unprocessable("unknown roles or permissions", errors=errors)
        return named, held

    async def _add(
        self,
        service: Account,
        credential: ServiceCredential,
        *,
        overlap: timedelta | None = None,
        by: Principal | None,
        client: Client,
    ) -> None:
        kernel, now = self.kernel, credential.created_at
        if by is not None:
            check_holds(by, service.held, kernel.roles)
        async with kernel.database.transaction() as connection:
            await self.store.lock(connection, service.id)
            ended: tuple[str, ...] = ()
            if overlap is not None:
                ended = await self.store.end_secrets(connection, service.id, now=now, ends_at=now + overlap)
            if await self.store.count_live(connection, service.id, now) >= MAX_CREDENTIALS:
                raise TooManyKeys("the service has too many credentials", service=service.id)
            await self.store.add(connection, credential)
            added = ServiceCredentialAdded(
                at=now, subject=service.subject, client=client, credential_id=credential.id, method=credential.method
            )
            events: list[Event] = [added, *([self._end_of(service, ended, "rotated", client)] if ended else [])]
            for event in events:
                await kernel.events.record(connection, event)
        for event in events:
            await kernel.events.publish(event)

    def _end_of(self, service: Account, ids: tuple[str, ...], reason: str, client: Client) -> ServiceCredentialsEnded:
        now = self.kernel.clock.now()
        return ServiceCredentialsEnded(
            at=now, subject=service.subject, client=client, credential_ids=ids, reason=reason
        )


def _service(account: Account | None) -> Account:
    if account is None or not account.held.is_service:
        raise NotFound("no such service account")
    return account


def _public_key(text: str) -> VerifyingKey:
    from cryptography.exceptions import UnsupportedAlgorithm

    data = text[:MAX_PUBLIC_KEY].strip().encode("utf-8", errors="replace")
    try:
        return VerifyingKey.from_jwk(parse_object(data) if data[:1] == b"{" else jwk.to_jwk(data))
    except (ValueError, OverflowError, UnsupportedAlgorithm):
        sentence = "Give a public key for ES256, EdDSA or RS256, as PEM or JWK."
        errors = [{"loc": ["body", "public_key"], "msg": sentence, "type": "public_key"}]
        raise Unprocessable("public key refused", errors=errors) from None
