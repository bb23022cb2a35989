"""What else strangers can do again and again: register, show bad refresh tokens, keys and client secrets."""

import pytest
from tests.features.answers import oauth_refused, refused
from tests.features.api_keys.conftest import by_header, counted
from tests.features.limits.conftest import on_sqlite, visitor_from

from limen import ApiKeys, Services
from limen.core.checked_token import CheckedToken
from limen.core.client import Client
from limen.errors import TooManyRequests
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio


async def test_an_address_registers_so_many_and_no_more(opened):
    mini = await opened(limits_register_address="3/hour")
    browser = visitor_from(mini, "198.51.100.1")
    for number in range(3):
        assert (await browser.register(f"user{number}@example.com")).status_code == 201
    refused(await browser.register("another@example.com"), 429, "too_many_requests")
    assert (await visitor_from(mini, "198.51.100.2").register("another@example.com")).status_code == 201


async def test_one_address_book_entry_is_tried_so_often_whether_it_is_known_or_not(opened):
    mini = await opened(limits_register="3/hour")
    for number, name in enumerate(["alice@example.com", "ALICE@example.com", "Alice@EXAMPLE.com"]):
        answer = await visitor_from(mini, f"198.51.100.{number}").register(name)
        assert answer.status_code == (201 if number == 0 else 409)
    refused(await visitor_from(mini, "198.51.100.9").register(), 429, "too_many_requests")


@on_sqlite
async def test_dozens_of_people_register_and_sign_in_from_one_address(mini):
    for number in range(40):
        browser = mini.visitor()
        assert (await browser.register(f"user{number}@example.com")).status_code == 201
        assert (await browser.login(f"user{number}@example.com")).status_code == 200


@on_sqlite
@pytest.mark.parametrize("how", ["forgot", "verify", "magic_link", "invitation"])
async def test_every_action_has_a_budget(opened, how):
    mini = await opened(**{f"limits_{'other' if how == 'invitation' else how}": "2/hour"})
    limits = mini.auth.kernel.limits
    for number in range(2):
        await limits.take(how, client=Client(ip=f"198.51.100.{number}"), account="alice@example.com")
    with pytest.raises(TooManyRequests) as refusal:
        await limits.take(how, client=Client(ip="198.51.100.9"), account="alice@example.com")
    assert 3590 <= refusal.value.retry_after <= 3600
    await limits.take(how, client=Client(ip="198.51.100.1"), account="bob@example.com")


@on_sqlite
async def test_bad_refresh_tokens_are_refused_by_address_and_good_ones_pass(opened):
    mini = await opened(limits_refresh="3/minute")
    alice, mallory = await mini.signed_in(), visitor_from(mini, "198.51.100.1")
    forged = alice.refresh_token[:-4] + "AAAA"
    for _ in range(3):
        refused(await mallory.refresh(forged), 401, "invalid_grant")
    body = refused(await mallory.refresh(forged), 429, "too_many_requests")
    assert body["retry_after"] <= 60
    oauth = {"grant_type": "refresh_token", "refresh_token": forged}
    oauth_refused(await mallory.client.post("/auth/token", data=oauth), 429, "temporarily_unavailable")
    for _ in range(10):
        assert (await alice.refresh()).status_code == 200
    mini.clock.advance(seconds=61)
    refused(await mallory.refresh(forged), 401, "invalid_grant")


@on_sqlite
async def test_a_replay_within_the_grace_yields_so_many_access_tokens_and_no_more(opened):
    mini = await opened(limits_replay="3/minute")
    alice = await mini.signed_in()
    first = alice.refresh_token
    for _ in range(4):
        assert (await alice.refresh(first)).status_code == 200
    refused(await alice.refresh(first), 429, "too_many_requests")
    assert (await alice.refresh((await mini.signed_in("bob@example.com")).refresh_token)).status_code == 200


@on_sqlite
async def test_bad_keys_are_refused_by_address_without_a_look_up(opened):
    mini = await opened(limits_key="3/minute")
    alice, mallory = await mini.signed_in(), visitor_from(mini, "198.51.100.1")
    key = (await mini.auth[ApiKeys].create(alice.account)).text
    wrong = [CheckedToken.mint("lmk_").text for _ in range(4)]
    for each in wrong[:3]:
        refused(await mallory.get("/users/me", headers=by_header(each)), 401, "invalid_token")
    with counted(mini) as statements:
        refused(await mallory.get("/users/me", headers=by_header(wrong[3])), 429, "too_many_requests")
        answer = await mallory.client.post("/auth/revoke", data={"token": wrong[3]})
        oauth_refused(answer, 429, "temporarily_unavailable")
    assert statements == []
    assert (await mini.visitor().get("/users/me", headers=by_header(key))).status_code == 200


@on_sqlite
async def test_a_key_that_is_remembered_is_not_refused_for_what_its_neighbours_did(opened):
    mini = await opened(limits_key="3/minute")
    alice, office = await mini.signed_in(), visitor_from(mini, "198.51.100.1")
    key = (await mini.auth[ApiKeys].create(alice.account)).text
    assert (await office.get("/users/me", headers=by_header(key))).status_code == 200
    for _ in range(4):
        await office.get("/users/me", headers=by_header(CheckedToken.mint("lmk_").text))
    assert (await office.get("/users/me", headers=by_header(key))).status_code == 200


@on_sqlite
async def test_failed_proofs_of_clients_are_refused_by_address(opened):
    mini = await opened(limits_client="3/minute")
    service = await mini.auth[Services].create("machine")
    secret = (await mini.auth[Services].add_secret(service)).text
    mallory = visitor_from(mini, "198.51.100.1").client
    form = {"grant_type": "client_credentials", "client_id": service.subject}
    for _ in range(3):
        wrong = {**form, "client_secret": CheckedToken.mint("lmc_").text}
        oauth_refused(await mallory.post("/auth/token", data=wrong), 401, "invalid_client")
    oauth_refused(await mallory.post("/auth/token", data=wrong), 429, "temporarily_unavailable")
    good = {**form, "client_secret": secret}
    assert (await mini.visitor().client.post("/auth/token", data=good)).status_code == 200


async def test_a_guarded_request_in_steady_state_does_not_ask_the_limits(mini):
    alice, visitor = await mini.signed_in(), mini.visitor()
    key = (await mini.auth[ApiKeys].create(alice.account)).text

    async def all_come_in():
        assert (await alice.me()).status_code == 200
        assert (await visitor.get("/users/me", headers=by_header(key))).status_code == 200

    await all_come_in()
    mini.auth.kernel.limits.keep_by(Broken())
    for _ in range(20):
        await all_come_in()
    with pytest.raises(AssertionError, match="the limits were asked"):
        await visitor.get("/users/me", headers=by_header(CheckedToken.mint("lmk_").text))


class Broken:
    """Fails whoever asks."""

    def __getattr__(self, name):
        raise AssertionError(f"the limits were asked to {name}")


async def test_a_good_credential_costs_the_limits_nothing_even_at_first_sight(mini):
    """Only failures are counted, in memory: no statement names the tries' table but those of the sign-in."""
    alice, visitor = await mini.signed_in(), mini.visitor()
    key = (await mini.auth[ApiKeys].create(alice.account)).text
    with counted(mini) as statements:
        assert (await visitor.get("/users/me", headers=by_header(key))).status_code == 200
        assert (await alice.refresh()).status_code == 200
        assert (await alice.me()).status_code == 200
    assert statements
    assert not [each for each in statements if "limen_tries" in each]
    assert PASSWORD not in str(statements)
