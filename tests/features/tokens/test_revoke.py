"""POST /auth/revoke (RFC 7009) and POST /auth/introspect (RFC 7662): of tokens, which is why no cookie runs here."""

import pytest
from tests.features.answers import NOTHING_PRESENTED, oauth_refused, refused

from limen import Accounts

pytestmark = pytest.mark.anyio


async def revoke(mini, token, **form):
    return await mini.visitor().post("/auth/revoke", data={"token": token, **form})


async def introspect(browser, token):
    return await browser.post("/auth/introspect", data={"token": token})


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_revoking_either_token_ends_the_session(mini, kind):
    alice, elsewhere = await mini.signed_in(), mini.visitor()
    await elsewhere.login()
    answer = await revoke(mini, alice.tokens[kind])
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["cache-control"] == "no-store"
    refused(await alice.me(), 401, "invalid_token")
    refused(await alice.refresh(), 401, "invalid_grant")
    assert (await elsewhere.me()).status_code == 200


async def test_a_rotated_refresh_token_still_revokes_its_session(mini):
    alice = await mini.signed_in()
    first = alice.refresh_token
    await alice.refresh()
    mini.clock.advance(minutes=1)
    assert (await revoke(mini, first)).status_code == 200
    refused(await alice.refresh(), 401, "invalid_grant")


async def test_revoking_what_is_worth_nothing_is_fine(mini):
    alice = await mini.signed_in()
    for worthless in ("nonsense", "lmr_x", "a.b.c", alice.refresh_token[:-1] + "!", "x" * 60_000, "ünïcode", "\x00"):
        assert (await revoke(mini, worthless)).status_code == 200
    for hint in ("access_token", "refresh_token", "unknown"):
        assert (await revoke(mini, "nonsense", token_type_hint=hint)).status_code == 200
    assert (await alice.me()).status_code == 200


async def test_a_wrong_hint_does_not_save_a_token(mini):
    alice = await mini.signed_in()
    await revoke(mini, alice.refresh_token, token_type_hint="access_token")
    refused(await alice.refresh(), 401, "invalid_grant")


async def test_revoking_nothing_is_an_invalid_request(mini):
    oauth_refused(await mini.visitor().post("/auth/revoke", data={"x": "y"}), 400, "invalid_request")
    oauth_refused(await mini.visitor().post("/auth/revoke", data={"token": ""}), 400, "invalid_request")


async def test_whoever_may_introspect_learns_what_an_access_token_is_worth(mini):
    operator = await mini.signed_in("operator@example.com", roles=["operator"])
    alice = await mini.signed_in()
    answer = await introspect(operator, alice.access_token)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["active"] is True
    assert (body["sub"], body["scope"]) == (alice.account.subject, "items:read items:write")
    assert body["iss"] == body["aud"] == "http://localhost:8000/auth"
    assert body["exp"] > body["iat"]


async def test_whoever_may_introspect_learns_what_a_refresh_token_is_worth(mini):
    operator = await mini.signed_in("operator@example.com", roles=["operator"])
    alice = await mini.signed_in()
    first = alice.refresh_token
    body = (await introspect(operator, first)).json()
    assert (body["active"], body["sub"], body["token_type"]) == (True, alice.account.subject, "refresh_token")
    await alice.refresh()
    assert (await introspect(operator, first)).json() == {"active": False}
    assert (await introspect(operator, alice.refresh_token)).json()["active"] is True


async def test_a_token_that_is_worth_nothing_is_inactive_and_no_more_is_said(mini):
    operator = await mini.signed_in("operator@example.com", roles=["operator"])
    alice, bob = await mini.signed_in(), await mini.signed_in("bob@example.com")
    await alice.logout()
    await mini.auth[Accounts].set_active(bob.account.id, False)
    for worthless in (alice.access_token, alice.refresh_token, bob.access_token, bob.refresh_token, "x", "a.b.c", "é"):
        answer = await introspect(operator, worthless)
        assert (answer.status_code, answer.json()) == (200, {"active": False})
    carol = await mini.signed_in("carol@example.com")
    mini.clock.advance(minutes=16)
    await operator.refresh()
    assert (await introspect(operator, carol.access_token)).json() == {"active": False}


async def test_introspection_needs_its_permission(mini):
    alice = await mini.signed_in()
    answer = await introspect(alice, alice.access_token)
    oauth_refused(answer, 403, "insufficient_scope")
    assert 'scope="tokens:introspect"' in answer.headers["www-authenticate"]
    answer = await introspect(mini.visitor(), alice.access_token)
    oauth_refused(answer, 401, "invalid_client")
    assert answer.headers["www-authenticate"] == NOTHING_PRESENTED


async def test_introspecting_nothing_is_an_invalid_request(mini):
    operator = await mini.signed_in(roles=["operator"])
    oauth_refused(await operator.post("/auth/introspect", data={}), 400, "invalid_request")
    oauth_refused(await operator.post("/auth/introspect", json={"token": "x"}), 400, "invalid_request")
