"""Revocations by Valkey: heard at once, and heard in the end whatever becomes of the server."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from statistics import median

import pytest
from redis import Redis
from tests.servers.valkey import ValkeyServer

from limen.core.revocations import FOREVER, Revocation, Revocations, Revoked
from limen.errors import ConfigurationError, Unavailable
from limen.feed import redis as feed_module
from limen.feed.redis import RedisFeed

pytestmark = pytest.mark.anyio

ISSUER = "https://id.example.com/auth"


@pytest.fixture(autouse=True)
def empty(valkey_server: ValkeyServer) -> Iterator["Redis[bytes]"]:
    """The server as it was on its first day, whatever the last test did to it."""
    with Redis.from_url(valkey_server.url) as client:
        client.flushall()
        yield client


@pytest.fixture
async def feed(valkey_server: ValkeyServer) -> AsyncIterator[RedisFeed]:
    feed = RedisFeed(valkey_server.url, ISSUER, look_seconds=1)
    yield feed
    await feed.aclose()


def session(target: str, *, seconds: float = 900, epoch: int = FOREVER) -> Revocation:
    return Revocation(kind=Revoked.SESSION, target=target, epoch=epoch, expires_at=round(time.time() + seconds))


class Follower:
    """Who follows, and what they have heard."""

    def __init__(self) -> None:
        self.entries: list[Revocation] = []
        self.heard: list[float] = []

    def knows(self, target: str) -> bool:
        return any(entry.target == target for entry in self.entries)


@asynccontextmanager
async def following(feed: RedisFeed) -> AsyncIterator[Follower]:
    follower = Follower()
    task = asyncio.create_task(feed.follow(follower.entries.append, heard=follower.heard.append))
    try:
        await until(lambda: bool(follower.heard))
        yield follower
        assert not task.done(), "whoever follows never stops"
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(condition: Callable[[], bool], *, seconds: float = 10) -> float:
    """Wait for it; how many seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not happen"
        await asyncio.sleep(0.001)
    return time.monotonic() - began


# --- what is written


async def test_what_is_published_is_loaded(feed: RedisFeed) -> None:
    entries = {
        session("s"),
        Revocation(kind=Revoked.SUBJECT, target="42", epoch=7, expires_at=time.time() + 900),
        Revocation(kind=Revoked.CREDENTIAL, target="k", expires_at=time.time() + 900),
        Revocation(kind=Revoked.KEY, target="kid", epoch=0, expires_at=time.time() + 900),
    }
    await feed.publish(entries)
    await feed.publish([])
    assert set(await feed.load()) == entries


async def test_the_form_is_the_one_that_is_agreed(feed: RedisFeed, empty: "Redis[bytes]") -> None:
    entry = session("é", epoch=3)
    with empty.pubsub() as messages:
        messages.subscribe(feed.name)
        messages.get_message(timeout=1)
        await feed.publish([entry])
        message = messages.get_message(timeout=1)
    ((member, score),) = empty.zrange("limen:revocations:https://id.example.com/auth", 0, -1, withscores=True)
    assert member == f'{{"kind":"session","target":"é","epoch":3,"expires_at":{entry.expires_at}}}'.encode()
    assert score == entry.expires_at
    assert message is not None
    assert message["data"] == member


async def test_what_has_expired_is_removed_by_the_next_who_publishes(feed: RedisFeed, empty: "Redis[bytes]") -> None:
    await feed.publish([session("old", seconds=-1)])
    assert await feed.load() == ()
    await feed.publish([session("new")])
    assert empty.zcard(feed.name) == 1


async def test_another_issuers_revocations_are_not_ours(feed: RedisFeed, valkey_server: ValkeyServer) -> None:
    other = RedisFeed(valkey_server.url, "https://other.example.com/auth")
    await other.publish([session("s")])
    await other.aclose()
    assert await feed.load() == ()


async def test_a_set_of_many_pages_is_read_whole(feed: RedisFeed) -> None:
    targets = {f"s{n}" for n in range(2 * feed_module.PAGE + 1)}
    await feed.publish([session(target, seconds=900 + len(target)) for target in targets])
    assert {entry.target for entry in await feed.load()} == targets


@pytest.mark.parametrize(
    "member",
    ["", "[]", "{", '{"kind":"session"}', '{"kind":"galaxy","target":"x","epoch":1,"expires_at":9999999999}', "\xff"],
)
async def test_what_cannot_be_read_is_passed_over(feed: RedisFeed, empty: "Redis[bytes]", member: str) -> None:
    empty.zadd(feed.name, {member.encode("latin-1"): 9999999999})
    await feed.publish([session("good")])
    assert [entry.target for entry in await feed.load()] == ["good"]
    async with following(feed) as follower:
        empty.publish(feed.name, member.encode("latin-1"))
        empty.publish(feed.name, json.dumps({"kind": "session", "target": "after", "epoch": 1, "expires_at": 2**33}))
        await until(lambda: follower.knows("after"))


# --- who follows


async def test_who_follows_hears_within_moments(feed: RedisFeed) -> None:
    async with following(feed) as follower:
        seconds = []
        for n in range(50):
            began = time.monotonic()
            await feed.publish([session(str(n))])
            await until(lambda n=n: follower.knows(str(n)))  # type: ignore[misc]
            seconds.append(time.monotonic() - began)
        assert median(seconds) < 0.1


async def test_who_comes_later_hears_all_of_it_first(feed: RedisFeed) -> None:
    await feed.publish([session("before")])
    async with following(feed) as follower:
        assert follower.knows("before")


async def test_two_may_follow_by_one_feed(feed: RedisFeed) -> None:
    await feed.publish([session("before")])
    async with following(feed) as one, following(feed) as other:
        assert one.knows("before")
        assert other.knows("before")


async def test_a_look_does_not_repeat_what_is_known(feed: RedisFeed) -> None:
    await feed.publish([session("before")])
    async with following(feed) as follower:
        looks = len(follower.heard)
        await until(lambda: len(follower.heard) > looks + 1)
        assert len(follower.entries) == 1


async def test_a_lost_message_is_caught_by_the_next_look(feed: RedisFeed, empty: "Redis[bytes]") -> None:
    async with following(feed) as follower:
        entry = session("unsaid")
        member = {"kind": "session", "target": "unsaid", "epoch": 1, "expires_at": entry.expires_at}
        empty.zadd(feed.name, {json.dumps(member): entry.expires_at})
        assert await until(lambda: follower.knows("unsaid")) < 2


async def test_a_killed_connection_is_made_anew_and_what_was_missed_is_heard(
    feed: RedisFeed, valkey_server: ValkeyServer, empty: "Redis[bytes]"
) -> None:
    """At once, by the look that follows each subscription; not by the next one, a minute later."""
    seldom = RedisFeed(valkey_server.url, ISSUER, look_seconds=60)
    async with following(seldom) as follower:
        for n in range(3):
            empty.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            member = {"kind": "session", "target": f"meanwhile {n}", "epoch": 1, "expires_at": 2**33}
            empty.zadd(feed.name, {json.dumps(member): 2**33})
            assert empty.publish(feed.name, json.dumps(member)) == 0  # nobody listens
            assert await until(lambda n=n: follower.knows(f"meanwhile {n}")) < 5  # type: ignore[misc]


async def test_a_flushed_server_takes_nothing_back_that_was_heard(feed: RedisFeed, empty: "Redis[bytes]") -> None:
    revocations = Revocations(deaf_after=30)
    heard: list[float] = []
    task = asyncio.create_task(feed.follow(revocations.apply, heard=heard.append))
    await feed.publish([session("ended")])
    await until(lambda: len(revocations) == 1)
    empty.flushall()
    looks = len(heard)
    await until(lambda: len(heard) > looks + 1)
    assert len(revocations) == 1
    await feed.publish([session("later")])
    await until(lambda: len(revocations) == 2)
    task.cancel()
    await asyncio.wait({task})


async def test_a_server_that_is_started_again_is_followed_again(feed: RedisFeed, valkey_server: ValkeyServer) -> None:
    async with following(feed) as follower:
        with stopped(valkey_server):
            looks = len(follower.heard)
            with pytest.raises(Unavailable):
                await feed.publish([session("unheard")])
            with pytest.raises(Unavailable):
                await feed.load()
            await asyncio.sleep(1.5)
            assert len(follower.heard) == looks
        await until(lambda: len(follower.heard) > looks)
        await feed.publish([session("again")])
        await until(lambda: follower.knows("again"))


async def test_a_server_that_freezes_for_five_seconds_is_heard_right_after(
    feed: RedisFeed, valkey_server: ValkeyServer
) -> None:
    async with following(feed) as follower:
        valkey_server.pause()
        saying = asyncio.create_task(feed.publish([session("in the cold")]))
        await asyncio.sleep(4.5)
        assert not follower.knows("in the cold")
        valkey_server.resume()
        await saying
        assert await until(lambda: follower.knows("in the cold")) < 2


async def test_a_server_that_freezes_for_longer_is_not_waited_for(
    feed: RedisFeed, valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "ANSWER_SECONDS", 0.5)
    impatient = RedisFeed(valkey_server.url, ISSUER, look_seconds=0.2)
    async with following(impatient) as follower:
        valkey_server.pause()
        try:
            with pytest.raises(Unavailable):
                await impatient.load()
        finally:
            valkey_server.resume()
        looks = len(follower.heard)
        await until(lambda: len(follower.heard) > looks + 1)
        await feed.publish([session("thawed")])
        await until(lambda: follower.knows("thawed"))
    await impatient.aclose()


@contextmanager
def stopped(server: ValkeyServer) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


# --- what cannot work


def test_a_url_of_another_kind_is_refused_without_being_quoted() -> None:
    with pytest.raises(ConfigurationError, match="LIMEN_REDIS_URL") as refused:
        RedisFeed("http://:secret@localhost", ISSUER)
    assert "secret" not in str(refused.value)


def test_without_the_package_it_is_said_how_to_get_it() -> None:
    code = f"""
import sys
sys.modules["redis"] = sys.modules["redis.asyncio"] = None
from limen.errors import ConfigurationError
from limen.feed.redis import RedisFeed
try:
    RedisFeed("redis://localhost", {ISSUER!r})
except ConfigurationError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'limen[redis]'" in said
