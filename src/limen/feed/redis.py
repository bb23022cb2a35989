"""Revocations by Redis or Valkey: a message for whoever listens, and a sorted set for whoever comes later.

Both are named `limen:revocations:<issuer>`. A message, and a member of the set, is compact JSON,
`{"kind":"session","target":"…","epoch":1,"expires_at":1800000000}`; a member's score is its `expires_at`. A message
that is lost is caught by the next look at the set. Whoever can write there can end sessions, and let nobody in.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from limen.core.clock import Clock, SystemClock
from limen.core.revocations import Revocation, Revoked
from limen.core.strict_json import MalformedJSON, parse_object
from limen.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

_log = logging.getLogger("limen.revocations")

LOOK_SECONDS = 5.0  # a safety net under the messages
ANSWER_SECONDS = 5.0
BACKOFF_SECONDS = (0.1, 5.0)
PAGE = 1000

Apply = Callable[[Revocation], None]
Heard = Callable[[float], None]


def _nobody_asks(_: float) -> None:
    return None


class RedisFeed:
    """Publishes and follows the revocations of one issuer.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with user and password where they are needed.
        issuer: whose revocations.
        look_seconds: how often who follows looks at the whole set, beside hearing the messages.

    Raises:
        ConfigurationError: not such a URL, or the package `redis` is missing.
    """

    def __init__(
        self, url: str, issuer: str, *, clock: Clock | None = None, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self.name = f"limen:revocations:{issuer}"
        self.clock = clock or SystemClock()
        self.look_seconds = look_seconds
        self._url = url
        self._publisher = self._client()

    async def publish(self, entries: Iterable[Revocation]) -> None:
        """Add them to the set and tell whoever listens, all or nothing; what has expired is removed.

        Raises:
            Unavailable: the server cannot be reached.
        """
        members = {_written(entry): entry.expires_at for entry in entries}
        if not members:
            return
        try:
            async with self._publisher.pipeline(transaction=True) as pipeline:
                pipeline.zadd(self.name, members)
                pipeline.zremrangebyscore(self.name, "-inf", self.clock.time())
                for member in members:
                    pipeline.publish(self.name, member)
                await pipeline.execute()
        except _failures() as error:
            raise Unavailable(f"Redis cannot be reached: {type(error).__name__}") from None

    async def restore(self, entries: Iterable[Revocation]) -> None:
        """Add to the set what it lacks, in silence: who follows looks at the set anyway.

        Raises:
            Unavailable: the server cannot be reached.
        """
        members = {_written(entry): entry.expires_at for entry in entries}
        pages = list(members.items())
        try:
            if not members or await self._publisher.zcard(self.name) >= len(members):
                return
            for start in range(0, len(pages), PAGE):
                await self._publisher.zadd(self.name, dict(pages[start : start + PAGE]))
        except _failures() as error:
            raise Unavailable(f"Redis cannot be reached: {type(error).__name__}") from None

    async def load(self) -> tuple[Revocation, ...]:
        """Every entry that has not expired.

        Raises:
            Unavailable: the server cannot be reached.
        """
        try:
            async with self._client() as client:
                return tuple(_read_all(await self.members(client)))
        except _failures() as error:
            raise Unavailable(f"Redis cannot be reached: {type(error).__name__}") from None

    async def follow(self, apply: Apply, *, heard: Heard = _nobody_asks) -> None:
        """Call `apply` for each entry, now and from now on; never returns, whatever becomes of the server.

        Args:
            heard: called after each look at the whole set, with the monotonic seconds at which it began.
        """
        reader = _Reader(self, apply, heard)
        shortest, longest = BACKOFF_SECONDS
        pause, is_lost = shortest, False
        while True:
            try:
                async with self._listening() as (client, messages):
                    await reader.look(client)  # after the subscription, so that nothing falls between
                    if is_lost:
                        _log.info("Redis is heard again")
                    pause, is_lost = shortest, False
                    async with asyncio.TaskGroup() as both:
                        both.create_task(reader.listen(messages))
                        both.create_task(reader.keep_looking(client))
            except* Exception as errors:  # whatever it is, being deaf for good would be worse
                if not is_lost:
                    _log.warning("Redis is not heard: %s", _kind(errors))
                is_lost = True
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)

    async def aclose(self) -> None:
        """Close the connections that `publish` opened."""
        await self._publisher.aclose()

    async def members(self, client: "Redis") -> frozenset[bytes]:
        """The whole set, read from the latest score down: what expires meanwhile leaves at the other end, so that no
        page skips an entry."""
        members: set[bytes] = set()
        while True:
            page = await client.zrange(
                self.name, "+inf", f"({self.clock.time()}", desc=True, byscore=True, offset=len(members), num=PAGE
            )
            members.update(member for member in page if isinstance(member, bytes))
            if len(page) < PAGE:
                return frozenset(members)

    @asynccontextmanager
    async def _listening(self) -> "AsyncIterator[tuple[Redis, PubSub]]":
        async with self._client() as client, client.pubsub() as messages:
            await messages.subscribe(self.name)
            yield client, messages

    def _client(self) -> "Redis":
        # No retries, whatever the default: a silent reconnection would lose what was said meanwhile, for seconds.
        return connect(self._url, answer_seconds=ANSWER_SECONDS)


def connect(url: str, *, answer_seconds: float) -> "Redis":
    """A client that asks once and waits no longer than this.

    Raises:
        ConfigurationError: not such a URL, or the package `redis` is missing.
    """
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ModuleNotFoundError:
        raise ConfigurationError(
            "LIMEN_REDIS_URL is set and the package redis is missing: pip install 'limen[redis]'"
        ) from None
    options: dict[str, Any] = {"socket_timeout": answer_seconds, "socket_connect_timeout": answer_seconds}
    try:
        return Redis.from_url(url, retry=Retry(NoBackoff(), 0), **options)
    except ValueError:
        raise ConfigurationError(
            "LIMEN_REDIS_URL is not a URL such as redis://localhost:6379/0 (or rediss://, unix://)"
        ) from None


class _Reader:
    """One who follows: what they have seen in the set, and what they do with the rest."""

    def __init__(self, feed: RedisFeed, apply: Apply, heard: Heard) -> None:
        self._feed = feed
        self._apply = apply
        self._heard = heard
        self._known: frozenset[bytes] = frozenset()

    async def look(self, client: "Redis") -> None:
        tick = self._feed.clock.monotonic()
        members = await self._feed.members(client)
        self._take(members - self._known)
        self._known = members
        self._heard(tick)

    async def keep_looking(self, client: "Redis") -> None:
        while True:
            await asyncio.sleep(self._feed.look_seconds)
            await self.look(client)

    async def listen(self, messages: "PubSub") -> None:
        """Apply what is said; a connection on which not even a ping is answered counts as lost."""
        is_asked = False
        while True:
            message = await messages.get_message(timeout=self._feed.look_seconds)
            if message is None and is_asked:
                raise TimeoutError("the subscription is silent")
            if message is None:
                await messages.ping()
            elif message["type"] == "message":
                self._take([message["data"]])
            is_asked = message is None

    def _take(self, members: Iterable[bytes]) -> None:
        for entry in _read_all(members):
            self._apply(entry)


def _written(entry: Revocation) -> bytes:
    members = {"kind": entry.kind.value, "target": entry.target, "epoch": entry.epoch, "expires_at": entry.expires_at}
    return json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()


def _read_all(members: Iterable[bytes]) -> Sequence[Revocation]:
    """The entries that can be read; another version of limen may write some that cannot."""
    entries: list[Revocation] = []
    for member in members:
        try:
            entries.append(_read(parse_object(member)))
        except (MalformedJSON, ValueError) as error:
            _log.warning("a revocation in Redis cannot be read: %s", error)
    return entries


def _read(members: dict[str, object]) -> Revocation:
    match members:
        case {"kind": str(kind), "target": str(target), "epoch": int(epoch), "expires_at": int() | float() as end}:
            return Revocation(kind=Revoked(kind), target=target, epoch=epoch, expires_at=end)
    raise ValueError("members are missing or of another type")


def _failures() -> tuple[type[Exception], ...]:
    from redis.exceptions import RedisError

    return (RedisError, OSError, TimeoutError)


def _kind(errors: BaseExceptionGroup[BaseException]) -> str:
    """What the first of them is, without what it says: that may quote the URL."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__
