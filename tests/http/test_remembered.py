"""A credential that was verified a moment ago is believed again; nothing that only looks like it is."""

import pytest
from tests.features.mini_app import Browser, features_of

from limen import ApiKeys

pytestmark = pytest.mark.anyio


async def status_of(browser: Browser, headers: dict[str, str]) -> int:
    return (await browser.client.get("/users/me", headers=headers)).status_code


@pytest.mark.parametrize("algorithm", ["HS256", "ES256", "EdDSA"])
async def test_a_token_that_is_known_is_refused_with_any_other_content(opened, algorithm):
    mini = await opened(settings={"algorithm": algorithm})
    alice, bob = await mini.signed_in(), await mini.signed_in("bob@example.com")
    token, stranger = alice.access_token, mini.visitor()
    for known in (token, bob.access_token):
        assert await status_of(stranger, {"Authorization": f"Bearer {known}"}) == 200
    content, _, signature = token.rpartition(".")
    forged = {
        bob.access_token.rpartition(".")[0] + "." + signature,
        f"eyJ{signature}",
        signature,
        f"{content}.{signature[1:]}",
    }
    for position in range(0, len(token), max(1, len(token) // 60)):
        other = "A" if token[position] != "A" else "B"
        forged.add(token[:position] + other + token[position + 1 :])
    for each in forged:
        assert await status_of(stranger, {"Authorization": f"Bearer {each}"}) == 401, each
    assert await status_of(stranger, {"Authorization": f"Bearer {token}"}) == 200


async def test_a_cookie_and_a_key_that_are_known_are_refused_with_any_other_character(opened):
    mini = await opened(features=features_of(ApiKeys()))
    alice, stranger = await mini.signed_in(), mini.visitor()
    form = {"username": "alice@example.com", "password": "correct horse battery staple"}
    cookie = (await alice.client.post("/auth/login?deliver=cookie", data=form)).cookies["limen"]
    bearer = {"Authorization": f"Bearer {alice.access_token}"}
    key = (await mini.visitor().client.post("/auth/api-keys", json={"name": "ci"}, headers=bearer)).json()["key"]
    for header, start, known in (("Cookie", "limen=", cookie), ("X-API-Key", "", key)):
        assert await status_of(stranger, {header: f"{start}{known}"}) == 200
        for position in range(len(known)):
            other = "A" if known[position] != "A" else "B"
            changed = known[:position] + other + known[position + 1 :]
            assert await status_of(stranger, {header: f"{start}{changed}"}) == 401, changed
