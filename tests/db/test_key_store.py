"""The key ring in the database: one change at a time, whoever wants it, and nothing readable at rest."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from sqlalchemy import MetaData, select, update

from limen import Auth, AuthSettings, Passwords, Tokens
from limen.core.key_timeline import KeyState
from limen.db.key_store import KeyStore
from limen.db.signing_keys import SigningKeys
from limen.errors import ConfigurationError
from limen.testing import FakeClock, create_tables, fast_hasher

pytestmark = pytest.mark.anyio

SECRET, OTHER_SECRET = "the first secret of the tests, long enough", "the second secret of the tests, long enough"
ROTATION_DAYS = 90


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


Worker = Callable[..., Awaitable[SigningKeys]]


@pytest.fixture
async def started(database_url: str, clock: FakeClock) -> AsyncIterator[Worker]:
    """Starts a worker on this test's database: its keys."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> SigningKeys:
            return keys_of(await stack.enter_async_context(running(database_url, clock, **settings)))

        auth = make(database_url, clock)
        await create_tables(auth)
        await auth.kernel.database.dispose()
        yield start


def make(url: str, clock: FakeClock, **settings: Any) -> Auth[Any]:
    values = {"secret_key": SECRET, "algorithm": "ES256", "database_url": url, "revocation_poll_seconds": 0.05}
    return Auth(
        settings=AuthSettings(_env_file=None, **{**values, **settings}),  # type: ignore[call-arg]
        features=[Passwords(hasher=fast_hasher()), Tokens()],
        clock=clock,
    )


@asynccontextmanager
async def running(url: str, clock: FakeClock, **settings: Any) -> AsyncIterator[Auth[Any]]:
    auth = make(url, clock, **settings)
    try:
        async with auth:
            yield auth
    finally:
        await auth.kernel.database.dispose()


def keys_of(auth: Auth[Any]) -> SigningKeys:
    assert isinstance(auth.kernel.keys, SigningKeys)
    return auth.kernel.keys


def kids(keys: SigningKeys) -> set[str]:
    """Those that this worker verifies with."""
    return {key.kid for key in keys.ring.verifying}


def signer(keys: SigningKeys) -> str:
    assert keys.ring.signing is not None
    return keys.ring.signing.kid


async def states(keys: SigningKeys) -> list[KeyState]:
    return [status.state for status in await keys.list_all()]


async def soon(is_so: Callable[[], bool]) -> None:
    """Within the second that the promise gives."""
    async with asyncio.timeout(1):
        while not is_so():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


async def test_the_first_start_makes_a_key_that_signs_at_once(started):
    keys = await started()
    assert await states(keys) == [KeyState.SIGNING]
    assert kids(keys) == {signer(keys)}


async def test_workers_that_start_at_once_make_one_key_between_them(database_url, clock, started):
    rings = await asyncio.gather(*(started() for _ in range(6)))
    assert len(await rings[0].list_all()) == 1
    assert len({signer(keys) for keys in rings}) == 1


async def test_a_second_start_finds_the_same_key(started, database_url, clock):
    first = await started()
    async with running(database_url, clock) as auth:
        assert signer(keys_of(auth)) == signer(first)


async def test_workers_that_notice_a_rotation_at_once_make_one_key_between_them(started, clock):
    rings = await asyncio.gather(*(started(key_rotation_days=ROTATION_DAYS) for _ in range(6)))
    clock.advance(days=ROTATION_DAYS)
    await asyncio.gather(*(keys._change(keys._rules.plan_upkeep) for keys in rings))
    assert await states(rings[0]) == [KeyState.SIGNING, KeyState.ANNOUNCED]
    for keys in rings:
        await soon(lambda keys=keys: len(kids(keys)) == 2)


async def test_a_worker_rotates_by_itself_when_the_key_is_old_enough(started, clock, monkeypatch):
    monkeypatch.setattr("limen.db.signing_keys.CHECK_SECONDS", 0.02)
    keys = await started(key_rotation_days=ROTATION_DAYS)
    clock.advance(days=ROTATION_DAYS)
    await soon(lambda: len(kids(keys)) == 2)
    await asyncio.sleep(0.1)  # and does not do it again
    assert len(kids(keys)) == 2


async def test_no_key_gets_old_where_rotation_is_off(started, clock, monkeypatch):
    monkeypatch.setattr("limen.db.signing_keys.CHECK_SECONDS", 0.02)
    keys = await started(key_rotation_days=0)
    clock.advance(days=10_000)
    await asyncio.sleep(0.1)
    assert await states(keys) == [KeyState.SIGNING]


async def test_operators_who_rotate_at_once_get_a_key_each(started):
    rings = await asyncio.gather(*(started() for _ in range(4)))
    await asyncio.gather(*(keys.rotate() for keys in rings))
    assert sorted(status.times.generation for status in await rings[0].list_all()) == [1, 2, 3, 4, 5]


async def test_operators_who_retire_both_keys_at_once_leave_one_that_signs(started, database_url, clock, monkeypatch):
    """With no worker there to notice that none does."""
    retire = KeyStore.retire

    async def retire_slowly(*key: Any, **at: Any) -> None:
        await asyncio.sleep(0.2)  # the other one has made up their mind by then, if nothing holds them up
        await retire(*key, **at)

    monkeypatch.setattr(KeyStore, "retire", retire_slowly)
    auths = make(database_url, clock), make(database_url, clock)
    first, second = map(keys_of, auths)
    await first.rotate_now()
    await first.rotate()
    old, announced = (status.times.kid for status in await first.list_all())
    await asyncio.gather(first.retire_now(old), second.retire_now(announced))
    found = sorted(await states(first))
    for auth in auths:
        await auth.kernel.database.dispose()
    assert found == [KeyState.RETIRED, KeyState.RETIRED, KeyState.SIGNING]


async def test_a_refused_key_is_gone_at_once_even_before_the_database_is_read(started, clock):
    here, there = await started(), await started()
    stolen = signer(here)
    await here.rotate()
    await soon(lambda: len(kids(there)) == 2)
    await here.retire_now(stolen)
    assert stolen not in kids(here)
    await soon(lambda: stolen not in kids(there))
    assert signer(there) == signer(here) != stolen


async def test_a_refused_key_stays_refused_though_a_slower_look_still_shows_it(started):
    keys = await started()
    before = await keys._store.list_all()
    stolen = signer(keys)
    await keys.retire_now(stolen)
    keys._pairs |= keys._open(before)
    keys._use(keys._changes.timeline_of(before))
    assert stolen not in kids(keys)


async def test_a_look_for_an_unknown_key_happens_once_a_second_however_many_ask(started):
    keys = await started()
    assert await asyncio.gather(*(keys.look_again() for _ in range(20))) == [True] * 20
    assert not await keys.look_again()


async def test_keys_that_ended_are_destroyed_and_later_forgotten(started, clock):
    keys = await started()
    await keys.rotate()
    clock.advance(seconds=601)
    await keys.purge()
    assert [row.sealed is None for row in await keys._store.list_all()] == [False, False]
    clock.advance(days=2)
    await keys.purge()
    assert [row.sealed is None for row in await keys._store.list_all()] == [True, False]
    assert await states(keys) == [KeyState.ENDED, KeyState.SIGNING]
    clock.advance(days=30)
    await keys.purge()
    assert await states(keys) == [KeyState.SIGNING]


async def test_retiring_destroys_the_private_key_at_once(started):
    keys = await started()
    await keys.retire_now(signer(keys))
    rows = await keys._store.list_all()
    assert [row.sealed is None for row in rows] == [True, False]


async def test_an_announced_key_can_be_withdrawn(started, clock):
    keys = await started()
    await keys.rotate()
    withdrawn = (await keys.list_all())[1].times.kid
    await keys.retire(withdrawn)
    clock.advance(days=1)
    assert await states(keys) == [KeyState.SIGNING, KeyState.RETIRED]


async def test_a_key_that_is_not_there_cannot_be_retired(started):
    keys = await started()
    for retire in (keys.retire, keys.retire_now):
        with pytest.raises(LookupError, match="no-such-key"):
            await retire("no-such-key")


async def test_changing_the_algorithm_is_a_rotation(started, database_url, clock):
    old = await started()
    async with running(database_url, clock, algorithm="EdDSA") as auth:
        new = keys_of(auth)
        assert new.ring.verifying[0].algorithm == "ES256"  # the one that signs comes first
        await soon(lambda: len(kids(old)) == 2)
        clock.advance(seconds=601)
        for keys in (old, new):
            assert keys.ring.verifying[0].algorithm == "EdDSA"


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
async def test_no_private_key_is_readable_in_the_database_the_log_or_a_repr(
    started, database_url, clock, algorithm, caplog
):
    caplog.set_level(logging.DEBUG)
    keys = await started(algorithm=algorithm)
    await keys.rotate()
    await keys.rotate_now()
    at_rest = await dump(keys)
    said = caplog.text.encode() + repr([vars(keys), await keys._store.list_all(), await keys.list_all()]).encode()
    assert b"PRIVATE" not in at_rest + said
    for key, _ in keys._pairs.values():
        for secret in spellings(key.pem):
            assert secret not in at_rest
            assert secret not in said


async def dump(keys: SigningKeys) -> bytes:
    """Every row of every table, as text and as bytes."""
    found: list[bytes] = []
    async with keys._store.database.engine.connect() as connection:
        metadata = MetaData()
        await connection.run_sync(metadata.reflect)
        for table in metadata.tables.values():
            for row in await connection.execute(select(table)):
                found += [value if isinstance(value, bytes) else repr(value).encode() for value in row]
    assert found
    return b"\n".join(found)


def spellings(pem: bytes) -> Iterator[bytes]:
    key = load_pem_private_key(pem, password=None)
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    body = b"".join(pem.splitlines()[1:-1])
    yield from (der, der[-32:], der.hex().encode(), body, base64.urlsafe_b64encode(der))


async def test_another_root_secret_gives_one_clear_sentence(started, database_url, clock):
    kid = signer(await started())
    with pytest.raises(ConfigurationError) as refused:
        async with running(database_url, clock, secret_key=OTHER_SECRET):
            pass
    said = str(refused.value)
    assert "\n" not in said
    assert all(part in said for part in (kid, "LIMEN_SECRET_KEY_FALLBACKS", f"limen keys retire {kid} --now"))
    assert SECRET not in said


async def test_a_lost_key_can_be_given_up_without_being_opened(started, database_url, clock):
    lost = signer(await started())
    auth = make(database_url, clock, secret_key=OTHER_SECRET)
    await keys_of(auth).retire_now(lost)
    await auth.kernel.database.dispose()
    async with running(database_url, clock, secret_key=OTHER_SECRET) as auth:
        assert signer(keys_of(auth)) != lost


async def test_a_start_with_the_old_secret_as_a_fallback_reseals_so_that_it_can_go(started, database_url, clock):
    kid = signer(await started())
    async with running(database_url, clock, secret_key=OTHER_SECRET, secret_key_fallbacks=(SECRET,)) as auth:
        assert signer(keys_of(auth)) == kid
    async with running(database_url, clock, secret_key=OTHER_SECRET) as auth:
        assert signer(keys_of(auth)) == kid


async def test_a_worker_without_the_new_secret_keeps_the_keys_that_it_has(started, database_url, clock, caplog):
    old = await started()
    before = signer(old)
    async with running(database_url, clock, secret_key=OTHER_SECRET, secret_key_fallbacks=(SECRET,)) as auth:
        await keys_of(auth).rotate()
        await soon(lambda: "sealed under another LIMEN_SECRET_KEY" in caplog.text)
    assert kids(old) == {before}


async def test_a_row_moved_to_another_name_does_not_open(started, database_url, clock):
    """Who can write to the database still cannot make one key verify as another, or bring one of his own."""
    async with running(database_url, clock) as auth:
        keys = keys_of(auth)
        await keys.rotate()
        first, second = await keys._store.list_all()
    table = keys._store._table
    await keys._store.database.write(update(table).where(table.c.kid == second.times.kid).values(sealed=first.sealed))
    await keys._store.database.dispose()
    with pytest.raises(ConfigurationError, match=second.times.kid):
        await started()
