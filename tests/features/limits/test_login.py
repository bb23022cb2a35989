"""Ten wrong passwords per account and five minutes are looked at, and no more, however they are spelled or sent."""

import asyncio
import json
import unicodedata
from collections import Counter
from contextlib import contextmanager

import pytest
from tests.features.answers import oauth_refused, refused
from tests.features.limits.conftest import WRONG, everywhere, guesses, on_sqlite, use_up, visitor_from
from tests.features.mini_app import both_carriers

from limen import Accounts, Passwords
from limen.errors import IncorrectLogin, TooManyRequests
from limen.events import LimitReached, LoginFailed
from limen.features import Limits
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio


@contextmanager
def looked_at(mini):
    """Every password that is hashed for a verification."""
    hasher, seen = mini.auth[Passwords].hasher, []
    verify = hasher.verify

    async def seen_verify(password, digest):
        seen.append(password)
        return await verify(password, digest)

    hasher.verify = seen_verify
    yield seen
    hasher.verify = verify


@both_carriers
async def test_the_eleventh_wrong_password_is_not_looked_at(mini, carrier):
    await mini.account()
    browser = mini.visitor()
    with looked_at(mini) as seen:
        assert await guesses(browser, 10) == [401] * 10
        answer = await browser.login(password=WRONG)
    body = refused(answer, 429, "too_many_requests")
    assert 290 <= body["retry_after"] <= 300
    assert answer.headers["retry-after"] == str(body["retry_after"])
    assert len(seen) == 10


@both_carriers
async def test_the_right_password_waits_too_and_then_comes_in(mini, carrier):
    await mini.account()
    browser = mini.visitor()
    await guesses(browser, 10)
    retry_after = refused(await browser.login(), 429, "too_many_requests")["retry_after"]
    mini.clock.advance(seconds=retry_after)
    assert (await browser.login()).status_code == 200


@everywhere
async def test_any_number_at_once_is_counted_exactly(mini):
    await mini.account()
    browsers = [visitor_from(mini, f"198.51.100.{number}") for number in range(10)]
    with looked_at(mini) as seen:
        answers = await asyncio.gather(*(browsers[n % 10].login(password=WRONG) for n in range(60)))
    assert Counter(answer.status_code for answer in answers) == {401: 10, 429: 50}
    assert len(seen) == 10


@everywhere
async def test_right_passwords_at_once_wait_for_each_other_and_all_come_in(mini):
    await mini.account()
    browser = mini.visitor()
    answers = await asyncio.gather(*(browser.login() for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}


async def test_right_passwords_cost_nothing(mini):
    await mini.account()
    browser = mini.visitor()
    for _ in range(40):
        assert (await browser.login()).status_code == 200
    assert await guesses(browser, 11) == [401] * 10 + [429]


async def test_a_success_gives_back_only_its_own_try(mini):
    await mini.account()
    browser = mini.visitor()
    assert await guesses(browser, 5) == [401] * 5
    assert (await browser.login()).status_code == 200
    assert await guesses(browser, 6) == [401] * 5 + [429]


@everywhere
async def test_no_five_minutes_see_more_than_ten(mini):
    """Not only those that begin when a counter does."""
    await mini.account()
    browser = mini.visitor()
    assert await guesses(browser, 1) == [401]
    mini.clock.advance(minutes=4, seconds=50)
    assert await guesses(browser, 10) == [401] * 9 + [429]
    mini.clock.advance(seconds=11)
    assert await guesses(browser, 2) == [401, 429], "only the first one's time is over"


@everywhere
async def test_whoever_uses_it_up_again_waits_longer_and_not_without_end(mini):
    await mini.account()
    waits = []
    for _ in range(6):
        number = 0
        while (
            answer := await visitor_from(mini, f"198.51.100.{number % 250}").login(password=WRONG)
        ).status_code == 401:
            number += 1
        assert number <= 10
        waits.append(answer.json()["retry_after"])
        mini.clock.advance(seconds=waits[-1])
    assert waits[:3] == sorted(waits[:3])
    assert waits[2] > 3 * waits[1] > 9 * waits[0]
    assert max(waits) <= 2 * 3600


NAMES = [
    "alice@example.com",
    "ALICE@example.com",
    " alice@EXAMPLE.com\t",
    "Alice@Example.Com",
    "alice.b",
    "ALICE.B ",
    "alice@EXAMPLE.COM ",
    "Alice.B",
    "alice.B",
    " alice.b",
]


async def test_no_spelling_of_the_account_gives_another_guess(mini):
    await mini.account(username="alice.b")
    for number, name in enumerate(NAMES):
        assert await guesses(visitor_from(mini, f"198.51.100.{number}"), 1, name) == [401], name
    for number, name in enumerate(NAMES):
        assert await guesses(visitor_from(mini, f"203.0.113.{number}"), 1, name) == [429], name


@on_sqlite
async def test_composed_and_decomposed_names_are_one(mini):
    await mini.account(email="alice@bücher.example")
    names = [unicodedata.normalize(form, "alice@bücher.example") for form in ("NFC", "NFD")]
    assert names[0] != names[1]
    statuses = [
        *[(await guesses(visitor_from(mini, f"198.51.100.{n}"), 1, names[n % 2]))[0] for n in range(11)],
    ]
    evaluated = [event for event in mini.heard(LoginFailed) if event.subject is not None]
    assert len(evaluated) <= 10
    assert statuses.count(401) >= 10


@on_sqlite
@pytest.mark.parametrize("name", ["nobody@example.com", "nobody", "not a name @@", "x" * 400, "名前", "nul\x00"])
async def test_an_account_that_there_is_not_is_counted_alike(mini, name):
    with looked_at(mini) as seen:
        for number in range(10):
            answer = await visitor_from(mini, f"198.51.100.{number}").login(name, WRONG)
            refused(answer, 401, "invalid_credentials")
        body = refused(await visitor_from(mini, "198.51.100.99").login(name, WRONG), 429, "too_many_requests")
    assert set(body) == {"type", "title", "status", "detail", "code", "retry_after"}
    assert len(seen) == 10


@on_sqlite
async def test_a_disabled_account_is_counted_alike(mini):
    account = await mini.account()
    await mini.auth[Accounts].set_active(account.id, False)
    await use_up(mini)


@on_sqlite
@pytest.mark.parametrize(
    "addresses",
    [
        ["203.0.113.9"],
        ["203.0.113.9", "::ffff:203.0.113.9"],
        [f"2001:db8:1:2::{number:x}" for number in range(1, 40)],
        ["2001:db8:1:2::1", "2001:DB8:1:2:ffff::1", "2001:db8:1:2::1%eth0"],
    ],
    ids=["v4", "mapped", "64", "spelled"],
)
async def test_an_address_has_thirty_wrong_passwords_a_minute_over_all_accounts(mini, addresses):
    for number in range(30):
        browser = visitor_from(mini, addresses[number % len(addresses)])
        assert (await browser.login(f"user{number}@example.com", WRONG)).status_code == 401
    for address in addresses[:3]:
        refused(await visitor_from(mini, address).login("another@example.com", WRONG), 429, "too_many_requests")
    assert (await visitor_from(mini, "2001:db8:1:3::1").login("another@example.com", WRONG)).status_code == 401


@on_sqlite
async def test_success_on_one_account_does_not_clear_the_address(mini):
    await mini.account("mallory@example.com")
    browser = visitor_from(mini, "198.51.100.1")
    for number in range(30):
        assert (await browser.login(f"user{number}@example.com", WRONG)).status_code == 401
        if number % 10 == 0:
            assert (await browser.login("mallory@example.com")).status_code == 200
    refused(await browser.login("another@example.com", WRONG), 429, "too_many_requests")


@on_sqlite
async def test_forwarded_headers_count_only_from_a_trusted_proxy(opened):
    mini = await opened(address_limit="3/minute", settings={"trusted_proxies": ("10.0.0.0/8",)})
    forged = [f"203.0.113.{number}" for number in range(4)]
    statuses = []
    for number, hop in enumerate(forged):
        browser = visitor_from(mini, "198.51.100.1", **{"X-Forwarded-For": hop, "Forwarded": f"for={hop}"})
        statuses.append((await browser.login(f"user{number}@example.com", WRONG)).status_code)
    assert statuses == [401, 401, 401, 429], "a stranger's header makes no other address"
    for number in range(4):
        browser = visitor_from(mini, "10.0.0.1", **{"X-Forwarded-For": f"192.0.2.{number}, 203.0.113.77"})
        statuses.append((await browser.login(f"user{number}@example.com", WRONG)).status_code)
    assert statuses[4:] == [401, 401, 401, 429], "what stands left of the last untrusted hop is the client's own word"


async def test_the_token_endpoint_is_the_same_login(mini):
    await mini.account()
    client = mini.visitor().client
    form = {"grant_type": "password", "username": "alice@example.com", "password": WRONG}
    for _ in range(10):
        oauth_refused(await client.post("/auth/token", data=form), 400, "invalid_grant")
    answer = await client.post("/auth/token", data=form)
    body = oauth_refused(answer, 429, "temporarily_unavailable")
    assert answer.headers["retry-after"] == str(body["retry_after"])
    refused(await mini.visitor().login(), 429, "too_many_requests")


async def test_whatever_asks_for_the_password_shares_the_budget(mini):
    alice = await mini.signed_in()
    for _ in range(5):
        change = {"current_password": WRONG, "new_password": "another long pass phrase"}
        refused(await alice.post("/auth/password/change", json=change), 401, "invalid_credentials")
        refused(await alice.request("DELETE", "/users/me", json={"password": WRONG}), 401, "invalid_credentials")
    refused(await alice.post("/auth/password/change", json=change), 429, "too_many_requests")
    refused(await alice.request("DELETE", "/users/me", json={"password": PASSWORD}), 429, "too_many_requests")
    refused(await alice.login(password=WRONG), 429, "too_many_requests")


@on_sqlite
async def test_python_calls_obey_alike(mini):
    await mini.account()
    passwords = mini.auth[Passwords]
    for _ in range(10):
        with pytest.raises(IncorrectLogin):
            await passwords.verify("alice@example.com", WRONG)
    with pytest.raises(TooManyRequests):
        await passwords.verify("alice@example.com", PASSWORD)


@everywhere
async def test_an_operator_gives_an_account_its_tries_back(mini):
    account = await mini.account(username="alice.b")
    await use_up(mini)
    await mini.auth[Limits].clear(account)
    assert await guesses(visitor_from(mini, "203.0.113.1"), 11) == [401] * 10 + [429]


@on_sqlite
async def test_a_limit_that_is_reached_is_said_once_and_without_names(mini, caplog):
    account = await mini.account()
    caplog.set_level("INFO", "limen")
    await use_up(mini)
    await guesses(visitor_from(mini, "203.0.113.1"), 5)
    (event,) = mini.heard(LimitReached)
    assert (event.action, event.budget, event.subject) == ("login", "account", account.subject)
    assert event.client.ip == "198.51.100.99"
    said = [record for record in caplog.records if record.name == "limen.limits"]
    assert len(said) == 1
    assert "alice" not in caplog.text
    assert WRONG not in caplog.text


@everywhere
async def test_neither_names_nor_addresses_lie_at_rest(mini, place, redis_url, database_url):
    await mini.account()
    await guesses(mini.visitor(), 3)
    names = await stored_names(mini, place, redis_url)
    assert len(names) == 3, "the registration, the address, the account"
    for name in names:
        assert len(name) <= 128
        assert "alice" not in name
        assert "203.0.113" not in name


@everywhere
async def test_what_says_nothing_any_more_is_purged(mini, place, redis_url):
    if place == "valkey":
        return  # the server forgets by its own clock: `stored_names` looks at the time that each key has to live
    await mini.account()
    await guesses(mini.visitor(), 3)
    mini.clock.advance(hours=2, seconds=1)
    await mini.auth[Limits].store.purge()
    assert await stored_names(mini, place, redis_url) == []


async def stored_names(mini, place, redis_url):
    if place == "memory":
        return list(mini.auth[Limits].store._lines)
    if place == "valkey":
        from redis import Redis

        with Redis.from_url(redis_url) as client:
            keys = [key.decode() for key in client.keys("limen:*tries*")]
            assert all(0 < client.pttl(key) <= 7_201_000 for key in keys)
            return keys
    from sqlalchemy import select

    table = mini.auth[Limits].tables(mini.auth.kernel.tables)[0]
    return [row.name for row in await mini.auth.kernel.database.read(select(table.c.name))]


@on_sqlite
async def test_off_is_off(opened):
    mini = await opened(login_limit="off", address_limit="off")
    await mini.account()
    assert await guesses(mini.visitor(), 40) == [401] * 40
    for number in range(25):
        answer = await mini.visitor().register("bob@example.com", PASSWORD)
        assert answer.status_code == (201 if number == 0 else 409), json.dumps(answer.json())
