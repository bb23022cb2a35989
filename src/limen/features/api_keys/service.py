"""Decides about API keys: what one proves, who may have which, how they are replaced and taken back."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypedDict, Unpack

from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.checked_token import SCANNER, CheckedToken, is_token_id
from limen.core.client import NOWHERE, Client
from limen.core.conditions import Meter
from limen.core.key_terms import KeyTerms, check_overlap
from limen.core.opaque import matches, parse_uuid
from limen.core.permissions import intersect
from limen.core.principal import Principal
from limen.core.revocations import FOREVER, Revocation, Revoked
from limen.core.rights import Carried, Held, carry, check_holds, granted
from limen.errors import Conflict, InvalidCredential, NotFound, TooManyKeys
from limen.events import ApiKeyCreated, ApiKeyLeaked, ApiKeyRevoked, ApiKeyRotated, Event
from limen.features.api_keys.store import ApiKey, ApiKeyStore
from limen.kernel import Kernel

KIND = "lmk"
KEEP_ENDED = timedelta(days=30)
_NO_DIGEST = bytes(32)
_NOTHING = Carried(permissions=frozenset(), roles=frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiKey:
    """A key that was just made: its text is known now and never again."""

    key: ApiKey
    text: str = field(repr=False)


class Terms(TypedDict, total=False):
    """What `KeyTerms.check` takes: name, scopes, `expires_in`, `allowed_networks`, `rate_limit`."""

    name: str
    scopes: Iterable[str] | None
    expires_in: timedelta | None
    allowed_networks: Iterable[str]
    rate_limit: str | None


class ApiKeyService:
    """Makes, verifies, rotates and revokes keys.

    Attributes:
        prefix: how keys of this app begin.
        per_user: live keys that one user may have.
        overlap: how long a rotated key lives on where the caller says nothing.
    """

    kernel: Kernel
    store: ApiKeyStore
    meter: Meter
    prefix: str
    per_user: int
    overlap: timedelta

    async def create(
        self,
        user: object,
        *,
        within: frozenset[str] | None = None,
        client: Client = NOWHERE,
        **terms: Unpack[Terms],
    ) -> NewApiKey:
        """Make a key for a user: a row, an `Account`, a user's key or its text.

        Args:
            scopes: what it is narrowed to; None for whatever its owner holds, then and later. It may name more than
                the owner holds: what counts is what both cover at the time of a request.
            expires_in: how long it lives; None for ever.
            allowed_networks: CIDRs or addresses that it may come from; none for anywhere.
            rate_limit: how often each process lets it in, such as `100/minute`; None for no limit.
            within: what the credential that asks was narrowed to, by `narrowing`; it makes no wider key.

        Raises:
            Unprocessable: a name, scope, network or rate that is not of the form.
            NotFound: there is no such user, or it is disabled.
            TooManyKeys: the user has as many keys as one may have.
        """
        now = self.kernel.clock.now()
        token = CheckedToken.mint(self.prefix)
        checked = KeyTerms.check(**terms, now=now)
        user_id = self.kernel.users.key_of(user)
        async with self.kernel.database.transaction() as connection:
            held = await self._owner(connection, user_id)
            if await self.store.count_live(connection, user_id, now) >= self.per_user:
                raise TooManyKeys("the user has too many keys", user=user_id)
            checked = replace(checked, scopes=self._narrowed(checked.scopes, held, within))
            key = ApiKey.new(token.id, user_id, digest=token.digest, terms=checked, held=held, now=now)
            await self.store.add(connection, key)
            event = ApiKeyCreated(at=now, subject=key.subject, client=client, key_id=key.id, name=key.name)
            await self.kernel.events.record(connection, event)
        await self.kernel.events.publish(event)
        return NewApiKey(key=key, text=token.text)

    async def create_for_service(
        self, user_id: str, *, by: Principal, client: Client = NOWHERE, **terms: Unpack[Terms]
    ) -> NewApiKey:
        """Make a key for a service account on behalf of `by`, who must hold whatever the service holds.

        Raises:
            NotFound: there is no such service account.
            InsufficientScope, Forbidden: `by` holds less.
            Unprocessable, TooManyKeys: as in `create`.
        """
        account = await self.kernel.users.find_by_subject(user_id)
        if account is None or not account.held.is_service:
            raise NotFound("no such service account", user=user_id)
        check_holds(by, account.held, self.kernel.roles)
        return await self.create(account, client=client, **terms)

    async def narrowing(self, principal: Principal) -> frozenset[str] | None:
        """What a credential was narrowed to; None for one that carries whatever its user holds, now and later."""
        session_id = parse_uuid(principal.session_id or "")
        session = None if session_id is None else await self.kernel.sessions.find(session_id)
        if session is None or session.scope is not None:
            return principal.permissions
        everything = granted(session.held, self.kernel.roles)
        return None if all(principal.can(each) for each in everything) else principal.permissions

    async def verify(self, text: str) -> ApiKey:
        """The live key that `text` is; once its form and checksum are right, every wrong one costs the same look-up.

        Raises:
            InvalidCredential: it is none.
        """
        token = CheckedToken.parse(text, prefix=self.prefix)
        if token is None:
            raise InvalidCredential("not an API key of this app by its form, prefix or checksum")
        key = await self.store.find(token.id)
        if not matches(token.secret, key.secret_digest if key else _NO_DIGEST) or key is None:
            raise InvalidCredential("unknown API key", key=token.id)
        if not key.is_live(self.kernel.clock.now()) or not key.held.is_active:
            raise InvalidCredential("the API key or its owner is not active", key=key.id)
        return key

    def carried(self, key: ApiKey) -> Carried:
        """What a key may do now: its scopes ∩ what its owner holds."""
        if key.scopes is not None and not key.scopes:
            return _NOTHING
        return carry(key.held, self.kernel.roles, scope=None if key.scopes is None else " ".join(key.scopes))

    def shown(self, key: ApiKey) -> str:
        """By what a person recognises a key."""
        return f"{self.prefix}{key.id}"

    async def list(self, user: object) -> tuple[ApiKey, ...]:
        """A user's keys, the newest first, without those that were revoked."""
        return await self.store.list_of(self.kernel.users.key_of(user))

    async def get(self, key_id: str, *, user: object | None = None) -> ApiKey:
        """A key (of this user, if one is named), live or not.

        Raises:
            NotFound: there is none.
        """
        key = await self.store.find(key_id) if is_token_id(key_id) else None
        if key is None or (user is not None and key.user_id != self.kernel.users.key_of(user)):
            raise NotFound("no such API key", key=key_id)
        return key

    async def revoke(
        self, key_id: str, *, user: object | None = None, reason: str = "revoked", client: Client = NOWHERE
    ) -> ApiKey:
        """Take a key back, of this user if one is named; every worker refuses it within the revocation promise.

        Raises:
            NotFound: there is none, or it was revoked before.
        """
        owner = None if user is None else self.kernel.users.key_of(user)
        now = self.kernel.clock.now()

        def revoked(key: ApiKey) -> Event:
            return ApiKeyRevoked(
                at=now, subject=key.subject, client=client, key_id=key.id, name=key.name, reason=reason
            )

        key = await self._end(key_id, reason=reason, owner=owner, event_of=revoked)
        if key is None:
            raise NotFound("no such API key", key=key_id)
        return key

    async def rotate(
        self,
        key_id: str,
        *,
        user: object | None = None,
        overlap: timedelta | None = None,
        within: frozenset[str] | None = None,
        client: Client = NOWHERE,
    ) -> NewApiKey:
        """A new key with the name, scopes, limits and lifetime of an old one, which lives on for `overlap`.

        Raises:
            NotFound: there is no such live key.
            Conflict: it was rotated before.
            Unprocessable: the overlap is negative or over 90 days.
        """
        overlap = check_overlap(self.overlap if overlap is None else overlap)
        old, now = await self.get(key_id, user=user), self.kernel.clock.now()
        token = CheckedToken.mint(self.prefix)
        async with self.kernel.database.transaction() as connection:
            held = await self._owner(connection, old.user_id)
            successor = _successor(old, token, now=now, scopes=self._narrowed(old.scopes, held, within))
            entry = await self._supersede(connection, old, successor, now=now, ends_at=now + overlap)
            await self.store.add(connection, successor)
            event = ApiKeyRotated(at=now, subject=old.subject, client=client, key_id=old.id, successor_id=successor.id)
            await self.kernel.events.record(connection, event)
        self.kernel.revocation_log.apply([entry])
        await self.kernel.events.publish(event)
        return NewApiKey(key=successor, text=token.text)

    async def report_leak(self, text: str, *, client: Client = NOWHERE) -> tuple[ApiKey, ...]:
        """Revoke whatever genuine keys of this app are found in `text`, and tell owner and audit; the keys.

        A key counts as found only with its secret: who merely knows its public part cannot take it from its owner.
        """
        found = []
        for match in SCANNER.finditer(text):
            token = CheckedToken.parse(match[0], prefix=self.prefix)
            key = await self.store.find(token.id) if token else None
            if token is not None and key is not None and matches(token.secret, key.secret_digest):
                found.append(await self._revoke_leaked(key, client))
        return tuple({key.id: key for key in found}.values())

    async def end_all_within(
        self, connection: AsyncConnection, user_id: object, *, reason: str
    ) -> tuple[Revocation, ...]:
        """Take back every key of a user inside a caller's transaction; the caller applies the revocations."""
        now = self.kernel.clock.now()
        ended = await self.store.end_all(connection, user_id, now=now, reason=reason)
        entries = tuple(self._revocation(key_id, version=FOREVER, now=now) for key_id in ended)
        await self.kernel.revocation_log.append(connection, entries)
        return entries

    async def purge(self) -> int:
        """Delete keys that ended over 30 days ago."""
        return await self.store.purge(self.kernel.clock.now() - KEEP_ENDED)

    async def _revoke_leaked(self, key: ApiKey, client: Client) -> ApiKey:
        now = self.kernel.clock.now()

        def leaked(was_live: bool) -> Event:
            return ApiKeyLeaked(
                at=now, subject=key.subject, client=client, key_id=key.id, name=key.name, was_live=was_live
            )

        ended = await self._end(key.id, reason="leaked", owner=None, event_of=lambda _: leaked(key.is_live(now)))
        if ended is None:
            await self.kernel.events.publish(leaked(False))
        return ended or key

    async def _end(
        self, key_id: str, *, reason: str, owner: object | None, event_of: Callable[[ApiKey], Event]
    ) -> ApiKey | None:
        kernel = self.kernel
        if not is_token_id(key_id):
            return None
        async with kernel.database.transaction() as connection:
            now = kernel.clock.now()
            key = await self.store.end(connection, key_id, now=now, reason=reason, user_id=owner)
            if key is None:
                return None
            entry = self._revocation(key.id, version=FOREVER, now=now)
            event = event_of(key)
            await kernel.events.record(connection, event)
            await kernel.revocation_log.append(connection, [entry])
        kernel.revocation_log.apply([entry])
        await kernel.events.publish(event)
        return key

    async def _supersede(
        self, connection: AsyncConnection, old: ApiKey, successor: ApiKey, *, now: datetime, ends_at: datetime
    ) -> Revocation:
        """Workers that remember the old key read it once more, and learn when it ends."""
        version = await self.store.supersede(connection, old.id, successor=successor.id, now=now, ends_at=ends_at)
        if version is None:
            if old.is_live(now):
                raise Conflict("the key was rotated before", key=old.id)
            raise NotFound("the key is over", key=old.id)
        entry = self._revocation(old.id, version=FOREVER if ends_at <= now else version, now=now)
        await self.kernel.revocation_log.append(connection, [entry])
        return entry

    async def _owner(self, connection: AsyncConnection, user_id: object) -> Held:
        held = await self.store.lock_owner(connection, user_id)
        if held is None or not held.is_active:
            raise NotFound("no such active user", user=user_id)
        return held

    def _narrowed(
        self, scopes: tuple[str, ...] | None, held: Held, within: frozenset[str] | None
    ) -> tuple[str, ...] | None:
        """The scopes that a credential with the permissions `within` may give away: all, unless it is narrowed."""
        if within is None:
            return scopes
        asked = granted(held, self.kernel.roles) if scopes is None else frozenset(scopes)
        return tuple(sorted(intersect(asked, within)))

    def _revocation(self, key_id: str, *, version: int, now: datetime) -> Revocation:
        expires_at = (now + self.kernel.sessions.lifetimes.credential).timestamp()
        return Revocation(kind=Revoked.CREDENTIAL, target=key_id, epoch=version, expires_at=expires_at)


def _successor(old: ApiKey, token: CheckedToken, *, now: datetime, scopes: tuple[str, ...] | None) -> ApiKey:
    return replace(
        old,
        id=token.id,
        secret_digest=token.digest,
        scopes=scopes,
        version=0,
        created_at=now,
        expires_at=None if old.expires_at is None else now + (old.expires_at - old.created_at),
        last_used_at=None,
    )
