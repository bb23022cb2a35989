"""Refresh: rotation, the grace, theft (contract; design §4 E; RFC 9700 §4.14.2). A cookie is never refreshed."""

import asyncio
from itertools import pairwise

import pytest
from tests.features.answers import INVALID_TOKEN, named_fields, oauth_refused, refused

from limen import Accounts, Passwords
from limen.core.opaque import RefreshPair, RefreshTokens, parse_uuid
from limen.events import RefreshReused, TokensRefreshed

pytestmark = pytest.mark.anyio


def session_of(token):
    return token.removeprefix("lmr_").partition(".")[0]


async def stored(mini, token):
    return await mini.auth.kernel.sessions.find(parse_uuid(session_of(token)))


async def test_a_refresh_answers_as_a_login_does_with_new_tokens(mini):
    alice = await mini.signed_in()
    before = dict(alice.tokens)
    answer = await alice.refresh()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json().keys() == before.keys()
    assert {name: answer.json()[name] for name in ("token_type", "expires_in", "scope", "status")} == {
        name: before[name] for name in ("token_type", "expires_in", "scope", "status")
    }
    assert answer.json()["access_token"] != before["access_token"]
    assert answer.json()["refresh_token"] != before["refresh_token"]
    assert session_of(alice.refresh_token) == session_of(before["refresh_token"])
    assert (await alice.me()).status_code == 200


async def test_the_same_token_within_the_grace_gets_the_same_successor(mini):
    alice = await mini.signed_in()
    first = alice.refresh_token
    await alice.refresh()
    successor = alice.refresh_token
    mini.clock.advance(seconds=5)  # its clock runs on beside; a loaded machine takes its time
    for _ in range(3):
        assert (await alice.refresh(first)).json()["refresh_token"] == successor
    assert (await stored(mini, first)).generation == 1
    assert (await alice.refresh()).status_code == 200
    assert not mini.heard(RefreshReused)


async def test_many_tabs_at_once_get_one_successor(mini):
    alice = await mini.signed_in()
    answers = await asyncio.gather(*(alice.refresh(alice.refresh_token) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert (await stored(mini, alice.refresh_token)).generation == 1


async def test_a_token_several_generations_old_is_good_within_its_grace(mini):
    alice = await mini.signed_in()
    chain = [alice.refresh_token]
    for _ in range(4):
        await alice.refresh()
        chain.append(alice.refresh_token)
    for old, successor in pairwise(chain):
        assert (await alice.refresh(old)).json()["refresh_token"] == successor
    assert (await alice.refresh()).status_code == 200


async def test_the_grace_counts_from_when_that_token_was_rotated(mini):
    alice = await mini.signed_in()
    first = alice.refresh_token
    await alice.refresh()
    mini.clock.advance(seconds=6)
    await alice.refresh()
    mini.clock.advance(seconds=6)
    refused(await alice.refresh(first), 401, "invalid_grant")
    refused(await alice.refresh(), 401, "invalid_grant")


async def test_a_replay_after_the_grace_ends_the_session(mini):
    alice = await mini.signed_in()
    first = alice.refresh_token
    await alice.refresh()
    mini.clock.advance(seconds=11)
    answer = await mini.visitor().refresh(first)
    refused(answer, 401, "invalid_grant")
    assert answer.headers["www-authenticate"].startswith('Bearer realm="limen", error="invalid_token", ')
    session = await stored(mini, first)
    assert (session.ended_at is not None, session.generation) == (True, 1)
    refused(await alice.refresh(), 401, "invalid_grant")
    answer = await alice.me()
    refused(answer, 401, "invalid_token")
    assert answer.headers["www-authenticate"] == INVALID_TOKEN
    (event,) = mini.heard(RefreshReused)
    assert (event.subject, event.session_id) == (alice.account.subject, session_of(first))


async def test_a_replay_ends_that_session_only(mini):
    thief_of, elsewhere = await mini.signed_in(), mini.visitor()
    await elsewhere.login()
    first = thief_of.refresh_token
    await thief_of.refresh()
    mini.clock.advance(seconds=11)
    await mini.visitor().refresh(first)
    assert (await elsewhere.me()).status_code == 200
    assert (await elsewhere.refresh()).status_code == 200


async def test_the_answer_to_a_replay_is_the_answer_to_any_bad_token(mini):
    alice = await mini.signed_in()
    first = alice.refresh_token
    await alice.refresh()
    mini.clock.advance(seconds=11)
    replayed = await mini.visitor().refresh(first)
    again = await mini.visitor().refresh(first)
    forged = await mini.visitor().refresh(first[:-1] + ("A" if first[-1] != "A" else "B"))
    nonsense = await mini.visitor().refresh("nonsense")
    for answer in (again, forged, nonsense):
        assert (answer.status_code, answer.content) == (401, replayed.content)
        assert answer.headers == replayed.headers


async def test_forged_and_foreign_tokens_are_refused_and_end_nothing(mini):
    alice = await mini.signed_in()
    token = alice.refresh_token
    head, generation, mac = token.split(".")
    foreign = RefreshTokens([b"another key of thirty-two bytes.."])
    for bad in (
        "",
        "lmr_",
        f"{head}.1.{mac}",
        f"{head}.00.{mac}",
        f"{head}.-1.{mac}",
        f"{head.upper()}.{generation}.{mac}",
        f"{token}=",
        f" {token}",
        f"{token}\n",
        f"{head}.{generation}.{mac[:-1]}",
        foreign.sign(RefreshPair(parse_uuid(session_of(token)), 0)),
        alice.access_token[:512],
        token.replace("lmr_", "lms_"),
        "lmr_ünïcode",
        "\x00",
    ):
        refused(await alice.refresh(bad), 401, "invalid_grant")
    assert (await alice.refresh()).status_code == 200
    assert not mini.heard(RefreshReused)


async def test_a_genuine_token_of_a_generation_yet_to_come_is_refused(mini):
    alice = await mini.signed_in()
    pair = RefreshPair(parse_uuid(session_of(alice.refresh_token)), 5)
    from limen import Tokens

    early = mini.auth[Tokens].refresh_tokens.sign(pair)
    refused(await alice.refresh(early), 401, "invalid_grant")
    assert (await alice.refresh()).status_code == 200


async def test_an_expired_access_token_is_refused_and_a_refresh_brings_the_next(mini):
    alice = await mini.signed_in()
    mini.clock.advance(minutes=15, seconds=6)
    refused(await alice.me(), 401, "invalid_token")
    assert (await alice.refresh()).status_code == 200
    assert (await alice.me()).status_code == 200


async def test_a_session_slides_with_use_and_ends_after_14_idle_days(mini):
    alice = await mini.signed_in()
    for _ in range(3):
        mini.clock.advance(days=13)
        assert (await alice.refresh()).status_code == 200
    mini.clock.advance(days=14, seconds=1)
    refused(await alice.refresh(), 401, "invalid_grant")


async def test_a_session_ends_after_90_days_however_often_it_is_used(mini):
    alice = await mini.signed_in()
    for _ in range(8):
        mini.clock.advance(days=11)
        assert (await alice.refresh()).status_code == 200
    mini.clock.advance(days=3)
    refused(await alice.refresh(), 401, "invalid_grant")


async def test_a_disabled_user_cannot_refresh(mini):
    alice = await mini.signed_in()
    await mini.auth[Accounts].set_active(alice.account.id, False)
    refused(await alice.refresh(), 401, "invalid_grant")
    await mini.auth[Accounts].set_active(alice.account.id, True)
    refused(await alice.refresh(), 401, "invalid_grant")
    assert (await alice.login()).status_code == 200


async def test_the_token_travels_in_the_body_and_nowhere_else(mini):
    alice = await mini.signed_in()
    for answer in (
        await alice.client.post(f"/auth/refresh?refresh_token={alice.refresh_token}"),
        await alice.client.post(f"/auth/refresh?refresh_token={alice.refresh_token}", json={}),
        await alice.client.post("/auth/refresh", data={"refresh_token": alice.refresh_token}),
        await alice.client.post("/auth/refresh", headers={"Authorization": f"Bearer {alice.refresh_token}"}),
    ):
        refused(answer, 422, "validation_error")
    assert (await stored(mini, alice.refresh_token)).generation == 0


async def test_unknown_fields_are_refused(mini):
    alice = await mini.signed_in()
    body = {"refresh_token": alice.refresh_token, "scope": "items:read"}
    assert named_fields(refused(await alice.post("/auth/refresh", json=body), 422, "validation_error")) == {"scope"}


async def test_a_refresh_token_opens_no_route(mini):
    alice = await mini.signed_in()
    answer = await mini.visitor().get("/users/me", headers={"Authorization": f"Bearer {alice.refresh_token}"})
    refused(answer, 401, "invalid_token")


async def test_a_stale_access_token_beside_it_does_not_disturb_a_refresh(mini):
    alice = await mini.signed_in()
    headers = {"Authorization": "Bearer stale.stale.stale"}
    answer = await alice.client.post("/auth/refresh", json={"refresh_token": alice.refresh_token}, headers=headers)
    assert answer.status_code == 200


async def test_a_refresh_is_heard_of(mini):
    alice = await mini.signed_in()
    await alice.refresh()
    (event,) = mini.heard(TokensRefreshed)
    assert (event.subject, event.session_id) == (alice.account.subject, session_of(alice.refresh_token))


async def test_the_secret_that_was_replaced_still_verifies(opened):
    old = await opened()
    alice = await old.signed_in()
    new_secret = "another secret of more than thirty-two bytes!"
    new = await opened(
        settings={
            "secret_key": new_secret,
            "secret_key_fallbacks": ["a secret of more than thirty-two bytes, for tests only"],
        }
    )
    visitor = new.visitor()
    visitor.tokens = alice.tokens
    assert (await visitor.me()).status_code == 200
    assert (await visitor.refresh()).status_code == 200
    alone = await opened(settings={"secret_key": new_secret})
    for tokens, status in ((alice.tokens, 401), (visitor.tokens, 200)):
        stranger = alone.visitor()
        stranger.tokens = tokens
        assert (await stranger.me()).status_code == status


async def test_nothing_of_a_refresh_token_lies_in_the_database(mini):
    alice = await mini.signed_in()
    mac = alice.refresh_token.rpartition(".")[2]
    for table in mini.auth.tables():
        for row in await mini.auth.kernel.database.read(table.select()):
            assert mac not in str(tuple(row))


async def test_the_oauth_endpoint_refreshes_as_well_and_narrows_one_access_token(mini):
    alice = await mini.signed_in()
    form = {"grant_type": "refresh_token", "refresh_token": alice.refresh_token, "scope": "items:read users:write"}
    answer = await alice.client.post("/auth/token", data=form)
    assert answer.json()["scope"] == "items:read"
    assert (await alice.refresh(answer.json()["refresh_token"])).json()["scope"] == "items:read items:write"
    replay = {"grant_type": "refresh_token", "refresh_token": "lmr_nonsense"}
    oauth_refused(await alice.client.post("/auth/token", data=replay), 400, "invalid_grant")


async def test_a_password_change_outside_a_request_ends_the_refresh_token(mini):
    alice = await mini.signed_in()
    await mini.auth[Passwords].set(alice.account.id, "quite another sentence")
    refused(await alice.refresh(), 401, "invalid_grant")
