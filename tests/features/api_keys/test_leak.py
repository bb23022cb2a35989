"""A found key is revoked at once, and owner and audit hear of it."""

import pytest
from tests.features.answers import refused
from tests.features.api_keys.conftest import by_header, make_key

from limen import ApiKeys
from limen.core.checked_token import CheckedToken
from limen.events import ApiKeyLeaked

pytestmark = pytest.mark.anyio


async def test_keys_in_a_page_are_found_revoked_and_reported(mini):
    alice, bob, visitor = await mini.signed_in(), await mini.signed_in("bob@example.com"), mini.visitor()
    leaked, also, safe = await make_key(alice, name="ci"), await make_key(bob), await make_key(alice)
    page = f'export API_KEY="{leaked["key"]}"\n{{"key": "{also["key"]}", "again": "{leaked["key"]}"}}'
    for key in (leaked, also, safe):
        assert (await visitor.get("/who", headers=by_header(key["key"]))).status_code == 200
    found = await mini.auth[ApiKeys].report_leak(page)
    assert {key.id for key in found} == {leaked["id"], also["id"]}
    assert {key.end_reason for key in found} == {"leaked"}
    for key in (leaked, also):
        refused(await visitor.get("/who", headers=by_header(key["key"])), 401, "invalid_token")
    assert (await visitor.get("/who", headers=by_header(safe["key"]))).status_code == 200
    events = mini.heard(ApiKeyLeaked)
    assert {(event.key_id, event.subject, event.was_live) for event in events if event.was_live} == {
        (leaked["id"], alice.account.subject, True),
        (also["id"], bob.account.subject, True),
    }


async def test_who_knows_only_the_public_part_takes_nothing_away(mini):
    alice, visitor = await mini.signed_in(), mini.visitor()
    made = await make_key(alice)
    guess = CheckedToken("lmk_", made["id"], "0" * 32).text
    assert await mini.auth[ApiKeys].report_leak(f"{guess} {made['prefix']} {made['key'][:-1]}") == ()
    assert mini.heard(ApiKeyLeaked) == []
    assert (await visitor.get("/who", headers=by_header(made["key"]))).status_code == 200


async def test_a_key_that_was_over_is_reported_as_such(mini):
    alice = await mini.signed_in()
    made = await make_key(alice)
    await alice.delete(f"/auth/api-keys/{made['id']}")
    (found,) = await mini.auth[ApiKeys].report_leak(made["key"])
    assert found.end_reason == "revoked"
    (event,) = mini.heard(ApiKeyLeaked)
    assert event.was_live is False
