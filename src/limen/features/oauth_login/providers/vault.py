"""What providers let the app do for people: their tokens, sealed at rest, refreshed by one at a time."""

import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID
from weakref import WeakValueDictionary

from limen.core.clock import Clock
from limen.core.sealing import SealBroken, Sealer
from limen.errors import InvalidGrant, NotFound, ProviderUnavailable
from limen.features.oauth_login.providers.upstream import Tokens, Upstream
from limen.features.oauth_login.store import OAuthLoginStore, SealedTokens

FRESH_ENOUGH = timedelta(seconds=60)  # a token that ends within this is refreshed before it is handed out
REFRESH_LASTS = timedelta(seconds=15)  # longer than a provider may take to answer
LOOK_AGAIN_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderToken:
    """What a provider lets this app do for the person."""

    access_token: str = field(repr=False)
    scope: str | None
    expires_at: datetime | None


class TokenVault:
    """Keeps provider tokens, hands them out while they are good, and gets fresh ones."""

    def __init__(self, store: OAuthLoginStore, sealer: Sealer, *, clock: Clock) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._refreshing: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def keep(self, identity_id: UUID, tokens: Tokens) -> None:
        """Keep what came; a refresh token that came before is good until another comes (RFC 6749 §6)."""
        if tokens.refresh_token is None:
            earlier = await self._store.find(identity_id)
            tokens = replace(tokens, refresh_token=self._unsealed(earlier).get("refresh_token") if earlier else None)
        await self._store.keep(identity_id, sealed=self._sealed(identity_id, tokens), expires_at=self._end_of(tokens))

    async def token(self, identity_id: UUID, upstream: Upstream) -> ProviderToken:
        """A token that is good for a minute or more.

        Of any number who ask at once in this process one asks the provider, and of any number of processes too.

        Raises:
            NotFound: none is kept.
            InvalidGrant: it ended and the provider gives no other.
            ProviderUnavailable: it cannot be asked.
        """
        async with self._refreshing.setdefault(identity_id, asyncio.Lock()):
            for _ in range(int(REFRESH_LASTS.total_seconds() / LOOK_AGAIN_SECONDS)):
                kept = await self._store.find(identity_id)
                if kept is None:
                    raise NotFound("no token is kept", identity=identity_id)
                now = self._clock.now()
                if kept.expires_at is None or kept.expires_at > now + FRESH_ENOUGH:
                    return self._shown(kept)
                if await self._store.lease(kept, now=now, lasts=REFRESH_LASTS):
                    await self._refresh(kept, upstream)
                else:
                    await asyncio.sleep(LOOK_AGAIN_SECONDS)  # another process refreshes it
        raise ProviderUnavailable("the token is being refreshed elsewhere", identity=identity_id)

    async def _refresh(self, kept: SealedTokens, upstream: Upstream) -> None:
        refresh_token = self._unsealed(kept).get("refresh_token")
        if refresh_token is None:
            await self._store.release(kept)
            raise InvalidGrant("the token ended and there is none to refresh it", identity=kept.identity_id)
        try:
            fresh = await upstream.refresh(refresh_token)
        except InvalidGrant:
            await self._store.drop(kept)
            raise
        except ProviderUnavailable:
            await self._store.release(kept)
            raise
        fresh = replace(fresh, refresh_token=fresh.refresh_token or refresh_token)
        sealed = self._sealed(kept.identity_id, fresh)
        await self._store.replace(kept, sealed=sealed, expires_at=self._end_of(fresh))

    def _end_of(self, tokens: Tokens) -> datetime | None:
        if tokens.expires_in is None:
            return None
        return self._clock.now() + timedelta(seconds=tokens.expires_in)

    def _sealed(self, identity_id: UUID, tokens: Tokens) -> bytes:
        kept = {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token, "scope": tokens.scope}
        return self._sealer.seal(json.dumps(kept).encode(), bound_to=_bond(identity_id))

    def _unsealed(self, kept: SealedTokens) -> dict[str, str | None]:
        try:
            opened = self._sealer.unseal(kept.sealed, bound_to=_bond(kept.identity_id))
        except SealBroken:  # sealed under a root secret that is gone
            return {}
        members: dict[str, str | None] = json.loads(opened)
        return members

    def _shown(self, kept: SealedTokens) -> ProviderToken:
        opened = self._unsealed(kept)
        token = opened.get("access_token")
        if token is None:
            raise NotFound("the token was sealed under a secret that is gone", identity=kept.identity_id)
        return ProviderToken(access_token=token, scope=opened.get("scope"), expires_at=kept.expires_at)


def _bond(identity_id: UUID) -> str:
    return f"provider tokens of {identity_id}"
