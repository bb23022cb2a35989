"""Signing keys come and go over HTTP: nobody is refused by a rotation, and everybody by a compromised key."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from starlette.responses import StreamingResponse
from tests.features.mini_app import Browser, MiniApp

from limen import Passwords
from limen.core import jwt
from limen.core.keys import KeyRing, SigningKey
from limen.db.signing_keys import SigningKeys
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

ANNOUNCED, TOKEN_ENDS = {"seconds": 601}, {"minutes": 15, "seconds": 66}
Opened = Callable[..., Awaitable[MiniApp]]


async def worker(opened: Opened, routes: Any = None, **settings: Any) -> MiniApp:
    """One of several on the same database."""
    return await opened(routes=routes, settings={"algorithm": "ES256", "revocation_poll_seconds": 0.05, **settings})


def keys_of(mini: MiniApp) -> SigningKeys:
    keys = mini.auth.kernel.keys
    assert isinstance(keys, SigningKeys)
    return keys


async def published(mini: MiniApp) -> list[str]:
    """The kids in jwks.json."""
    answer = await mini.visitor().get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "max-age=300"
    assert all(not {"d", "p", "q", "k"} & set(key) for key in answer.json()["keys"])
    return [key["kid"] for key in answer.json()["keys"]]


def kid_of(browser: Browser) -> str:
    return str(jwt.parse_object(jwt.base64url.decode(browser.access_token.split(".")[0]))["kid"])


async def status_of(mini: MiniApp, browser: Browser) -> int:
    """What another worker makes of the browser's token."""
    answer = await mini.visitor().get("/users/me", headers=dict(browser.credentials()))
    return int(answer.status_code)


async def soon(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Within the second that the promise gives."""
    async with asyncio.timeout(1):
        while not await is_so():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


async def test_a_rotation_is_announced_takes_over_and_lets_the_old_key_end(opened):
    mini = await worker(opened)
    alice = await mini.signed_in()
    (old,) = await published(mini)

    await keys_of(mini).rotate()
    assert (await published(mini))[0] == old
    new = (await published(mini))[1]
    await alice.refresh()
    assert kid_of(alice) == old

    mini.clock.advance(**ANNOUNCED)
    assert (await alice.me()).status_code == 200  # with the old key's token
    assert await published(mini) == [new, old]
    before = alice.access_token
    await alice.refresh()
    assert kid_of(alice) == new

    mini.clock.advance(**TOKEN_ENDS)
    assert await published(mini) == [new]
    assert (await mini.visitor().get("/users/me", headers={"Authorization": f"Bearer {before}"})).status_code == 401


async def test_the_old_key_verifies_until_its_last_token_has_expired(opened):
    mini = await worker(opened)
    alice = await mini.signed_in()
    await keys_of(mini).rotate()
    mini.clock.advance(seconds=599)
    await alice.refresh()
    last_of_the_old = kid_of(alice)
    mini.clock.advance(seconds=2, minutes=14, milliseconds=900)
    await keys_of(mini)._load()
    assert last_of_the_old in await published(mini)
    assert (await alice.me()).status_code == 200


async def test_another_worker_knows_the_new_key_before_its_first_token(opened):
    here, there = await worker(opened), await worker(opened)
    await keys_of(here).rotate()
    await soon(lambda: is_published(there, 2))
    for mini in (here, there):
        mini.clock.advance(**ANNOUNCED)
    alice = await here.signed_in()
    before = there.auth.kernel.keys._looked_at
    assert await status_of(there, alice) == 200
    assert there.auth.kernel.keys._looked_at == before  # nobody had to look for the key


async def is_published(mini: MiniApp, number: int) -> bool:
    return len(await published(mini)) == number


async def test_a_worker_whose_clock_is_ahead_signs_with_a_key_that_the_others_know(opened):
    ahead, behind = await worker(opened), await worker(opened)
    await keys_of(ahead).rotate()
    await soon(lambda: is_published(behind, 2))
    ahead.clock.advance(seconds=598)
    behind.clock.advance(seconds=596)
    ahead.clock.advance(seconds=3)
    alice = await ahead.signed_in()
    assert await status_of(behind, alice) == 200


async def test_rotating_now_signs_at_once_and_other_workers_look_for_the_key(opened, monkeypatch):
    monkeypatch.setattr(SigningKeys, "hear", lambda *_: None)  # as if the news were still on their way
    here, there = await worker(opened), await worker(opened)
    await keys_of(here).rotate_now()
    alice = await here.signed_in()
    assert kid_of(alice) not in {key.kid for key in keys_of(there).ring.verifying}
    assert await status_of(there, alice) == 200


async def test_rotating_now_prefers_the_key_that_everyone_knows(opened):
    mini = await worker(opened)
    await keys_of(mini).rotate()
    old, announced = await published(mini)
    await keys_of(mini).rotate_now()
    assert await published(mini) == [announced, old]


async def test_five_rotations_under_load_fail_no_request(opened):
    """Two workers; people sign in at either, refresh at the other, and show every token at both."""
    workers = [await worker(opened), await worker(opened)]
    rounds, answers, kids, is_over = [0] * 4, Counter[int](), set[str](), asyncio.Event()

    async def live(number: int) -> None:
        while not is_over.is_set():
            here, there = workers[number % 2], workers[(number + rounds[number]) % 2]
            browser = here.visitor()
            answers[(await browser.login(f"user{number}@example.com")).status_code] += 1
            browser.client = there.visitor().client
            for mini in workers:
                answers[await status_of(mini, browser)] += 1
            answers[(await browser.refresh()).status_code] += 1
            for mini in workers:
                answers[await status_of(mini, browser)] += 1
            kids.add(kid_of(browser))
            rounds[number] += 1

    async def everyone_once_more() -> None:
        before = list(rounds)
        async with asyncio.timeout(60):
            while any(now == then for now, then in zip(rounds, before, strict=True)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    for number in range(len(rounds)):
        await workers[0].account(f"user{number}@example.com")
    crowd = [asyncio.create_task(live(number)) for number in range(len(rounds))]
    for rotation in range(5):
        await keys_of(workers[rotation % 2]).rotate()
        for _ in range(4):
            await everyone_once_more()
            for mini in workers:
                mini.clock.advance(seconds=151)
    await everyone_once_more()
    is_over.set()
    await asyncio.gather(*crowd)
    assert set(answers) == {200}, answers
    assert len(kids) == 6


async def test_a_compromised_key_is_refused_everywhere_within_the_promise(opened):
    here, there = await worker(opened), await worker(opened)
    alice, bob = await here.signed_in(), await there.signed_in("bob@example.com")
    for mini in (here, there):  # both remember both
        assert [await status_of(mini, browser) for browser in (alice, bob)] == [200, 200]
    stolen = kid_of(alice)
    await keys_of(here).retire_now(stolen)
    assert [await status_of(here, browser) for browser in (alice, bob)] == [401, 401]
    await soon(lambda: refused(there, alice, bob))
    for mini in (here, there):
        assert stolen not in await published(mini)


async def test_a_compromised_key_closes_what_its_tokens_keep_open(opened):
    def watch(app: FastAPI, auth: Any) -> None:
        @app.get("/events")
        async def events(_: Annotated[Any, Depends(auth.current_principal)]) -> StreamingResponse:
            async def forever() -> AsyncIterator[str]:
                yield "hello"
                await asyncio.sleep(3600)

            return StreamingResponse(forever())

    here, there = await worker(opened), await worker(opened, routes=watch)
    alice = await here.signed_in()
    stream = asyncio.create_task(there.visitor().get("/events", headers=dict(alice.credentials())))
    await soon(lambda: is_open(there, 1))
    await keys_of(here).rotate_now()  # which harms nobody
    await asyncio.sleep(0.2)
    assert await is_open(there, 1)
    await keys_of(here).retire_now(kid_of(alice))
    await soon(lambda: is_open(there, 0))
    assert (await stream).text == "hello"


async def is_open(mini: MiniApp, number: int) -> bool:
    return len(mini.auth.kernel.authenticator.connections) == number


async def refused(mini: MiniApp, *browsers: Browser) -> bool:
    return [await status_of(mini, browser) for browser in browsers] == [401] * len(browsers)


async def test_after_a_key_was_refused_another_signs_at_once_and_sessions_go_on(opened):
    mini = await worker(opened)
    alice = await mini.signed_in()
    await keys_of(mini).retire_now(kid_of(alice))
    assert (await alice.me()).status_code == 401
    assert (await alice.refresh()).status_code == 200
    assert (await alice.me()).status_code == 200


async def test_who_stole_a_refused_key_cannot_use_it(opened):
    mini = await worker(opened)
    alice = await mini.signed_in()
    stolen: SigningKey = keys_of(mini).ring.signing  # type: ignore[assignment]
    claims = dict(jwt.parse_object(jwt.base64url.decode(alice.access_token.split(".")[1])))
    await keys_of(mini).retire_now(stolen.kid)
    mini.clock.advance(hours=2)
    now = int(mini.clock.time())
    forged = jwt.sign({**claims, "iat": now, "exp": now + 60}, key=stolen)
    answer = await mini.visitor().get("/users/me", headers={"Authorization": f"Bearer {forged}"})
    assert answer.status_code == 401


async def test_a_worker_that_starts_later_refuses_the_key_too(opened):
    here = await worker(opened)
    alice = await here.signed_in()
    await keys_of(here).retire_now(kid_of(alice))
    assert await status_of(await worker(opened), alice) == 401


async def test_an_announced_key_takes_over_early_from_a_refused_one(opened):
    here, there = await worker(opened), await worker(opened)
    await keys_of(here).rotate()
    await soon(lambda: is_published(there, 2))
    old, announced = await published(here)
    await keys_of(here).retire_now(old)
    alice = await here.signed_in()
    assert kid_of(alice) == announced
    assert await status_of(there, alice) == 200


async def test_a_verifier_that_caches_jwks_for_its_max_age_never_meets_an_unknown_key(opened):
    mini = await worker(opened)
    await mini.account()
    cached = (await mini.visitor().get("/.well-known/jwks.json")).json()  # a moment before the rotation
    await keys_of(mini).rotate()
    for _ in range(40):
        mini.clock.advance(seconds=299)
        alice = mini.visitor()
        await alice.login()
        assert KeyRing.from_jwks(cached).find(kid=kid_of(alice), algorithm="ES256")
        cached = (await mini.visitor().get("/.well-known/jwks.json")).json()


async def test_a_token_of_an_unknown_key_costs_at_most_one_look_a_second(opened, monkeypatch):
    mini = await worker(opened)
    await mini.signed_in()
    looks = 0
    load = SigningKeys._load

    async def counted(keys: SigningKeys) -> Any:
        nonlocal looks
        looks += 1
        return await load(keys)

    monkeypatch.setattr(SigningKeys, "_load", counted)
    for _ in range(30):
        now = int(mini.clock.time())
        claims = {"iss": mini.auth.settings.issuer, "sub": "x", "aud": "x", "iat": now, "exp": now + 60}
        forged = jwt.sign(claims, key=SigningKey.generate("ES256"))
        answer = await mini.visitor().get("/users/me", headers={"Authorization": f"Bearer {forged}"})
        assert answer.status_code == 401
    assert looks == 1


async def test_a_protected_request_does_not_read_the_keys(opened, monkeypatch):
    mini = await worker(opened)
    alice = await mini.signed_in()

    async def refuse(*_: object) -> None:
        raise AssertionError("the keys were read")

    monkeypatch.setattr(keys_of(mini)._store, "list_all", refuse)
    mini.clock.advance(minutes=1)
    assert (await alice.me()).status_code == 200
    assert (await alice.refresh()).status_code == 200


async def test_without_a_lifespan_the_keys_are_loaded_when_they_are_needed(opened):
    running = await worker(opened)
    await running.account()
    auth = type(running.auth)(
        settings=running.auth.settings, features=tuple(running.auth.features.values()), clock=running.clock
    )
    try:
        done = await auth[Passwords].login("alice@example.com", PASSWORD)
        alice = running.visitor()
        alice.tokens = dict(done.body)  # type: ignore[union-attr]
        assert (await alice.me()).status_code == 200
    finally:
        await auth.kernel.database.dispose()
