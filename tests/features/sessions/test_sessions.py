"""What one is signed in on: logout, the list, an end to any of it."""

import pytest
from tests.features.answers import INVALID_TOKEN, refused
from tests.features.mini_app import both_carriers

from limen import Sessions
from limen.events import EverybodySignedOut, SessionsEnded

pytestmark = [pytest.mark.anyio, both_carriers]


async def listed(browser):
    answer = await browser.get("/auth/sessions")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


async def test_a_logout_ends_the_session_and_no_other(mini):
    alice, elsewhere, thief = await mini.signed_in(), mini.visitor(), mini.visitor()
    await elsewhere.login()
    thief.take(alice)
    answer = await alice.logout()
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["cache-control"] == "no-store"
    answer = await thief.me()
    refused(answer, 401, "invalid_token")
    assert answer.headers["www-authenticate"] == INVALID_TOKEN
    assert (await elsewhere.me()).status_code == 200


async def test_a_second_logout_is_refused_like_any_use_of_what_is_over(mini):
    alice, thief = await mini.signed_in(), mini.visitor()
    thief.take(alice)
    await alice.logout()
    refused(await thief.logout(), 401, "invalid_token")


async def test_everybody_is_signed_out_in_every_worker(opened, monkeypatch):
    monkeypatch.setattr("limen.features.sessions.service.AT_ONCE", 2)
    here = await opened()
    elsewhere = await opened(clock=here.clock)
    people = [await here.signed_in(f"user{number}@example.com") for number in range(3)]
    others = [elsewhere.visitor() for _ in people]
    for person, other in zip(people, others, strict=True):
        other.take(person)
        assert (await other.me()).status_code == 200
    assert await here.auth[Sessions].end_everybodys() == 3
    assert [event.count for event in here.heard(EverybodySignedOut)] == [2, 1]
    await elsewhere.auth.kernel.revocation_log.catch_up()  # as it does each second
    for browser in (*people, *others):
        refused(await browser.me(), 401, "invalid_token")
    assert (await people[0].login("user0@example.com")).status_code == 200
    assert (await people[0].me()).status_code == 200


async def test_a_logout_of_nobody_is_refused(mini):
    refused(await mini.visitor().logout(), 401, "not_authenticated")


async def test_a_logout_is_heard_of(mini):
    alice = await mini.signed_in()
    (session,) = await listed(alice)
    await alice.logout()
    (event,) = mini.heard(SessionsEnded)
    assert (event.subject, event.session_ids, event.reason) == (alice.account.subject, (session["id"],), "logout")


async def test_the_list_names_every_device_and_marks_this_one(mini):
    await mini.account()
    phone, laptop = mini.visitor(**{"User-Agent": "a phone"}), mini.visitor(**{"User-Agent": "a laptop"})
    await phone.login()
    await laptop.login()
    sessions = await listed(laptop)
    fields = {"id", "created_at", "last_seen_at", "expires_at", "ip", "user_agent", "method", "current"}
    assert all(session.keys() >= fields for session in sessions)
    assert {(session["user_agent"], session["current"]) for session in sessions} == {
        ("a phone", False),
        ("a laptop", True),
    }
    assert {(session["ip"], session["method"]) for session in sessions} == {("203.0.113.7", "password")}
    assert all(session["created_at"] <= session["last_seen_at"] < session["expires_at"] for session in sessions)


async def test_the_list_shows_nobody_elses_sessions_and_none_that_ended(mini):
    await mini.signed_in("bob@example.com")
    alice, elsewhere = await mini.signed_in(), mini.visitor()
    await elsewhere.login()
    await elsewhere.logout()
    assert [session["current"] for session in await listed(alice)] == [True]


async def test_i_end_one_of_my_sessions(mini):
    alice, elsewhere = await mini.signed_in(), mini.visitor()
    await elsewhere.login()
    (other,) = [session for session in await listed(alice) if not session["current"]]
    assert (await alice.delete(f"/auth/sessions/{other['id']}")).status_code == 204
    refused(await elsewhere.me(), 401, "invalid_token")
    assert (await alice.me()).status_code == 200
    refused(await alice.delete(f"/auth/sessions/{other['id']}"), 404, "not_found")


async def test_i_cannot_end_or_tell_of_anybody_elses_session(mini):
    alice, bob = await mini.signed_in(), await mini.signed_in("bob@example.com")
    (his,) = await listed(bob)
    foreign = await alice.delete(f"/auth/sessions/{his['id']}")
    unknown = await alice.delete("/auth/sessions/00000000-0000-4000-8000-000000000000")
    refused(foreign, 404, "not_found")
    assert foreign.content == unknown.content
    assert (await bob.me()).status_code == 200
    refused(await alice.delete("/auth/sessions/nonsense"), 422, "validation_error")


async def test_i_end_all_but_this_session(mini):
    alice, elsewhere = await mini.signed_in(), mini.visitor()
    await elsewhere.login()
    assert (await alice.delete("/auth/sessions")).status_code == 204
    refused(await elsewhere.me(), 401, "invalid_token")
    assert len(await listed(alice)) == 1


async def test_i_end_all_of_them_this_one_too(mini):
    alice, elsewhere, bob = await mini.signed_in(), mini.visitor(), await mini.signed_in("bob@example.com")
    await elsewhere.login()
    assert (await alice.delete("/auth/sessions?all=true")).status_code == 204
    refused(await elsewhere.me(), 401, "invalid_token")
    refused(await alice.me(), 401, "invalid_token")
    assert (await bob.me()).status_code == 200


async def test_the_feature_ends_sessions_outside_a_request_as_well(mini):
    alice = await mini.signed_in()
    assert len(await mini.auth[Sessions].end_all(alice.account.subject)) == 1
    refused(await alice.me(), 401, "invalid_token")
