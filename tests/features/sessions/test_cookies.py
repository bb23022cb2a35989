"""What only a cookie has: its attributes, its origin, its idle end. `test_sessions.py` asks both carriers."""

from http.cookies import SimpleCookie

import pytest
from sqlalchemy import event, select
from tests.features.answers import refused
from tests.features.mini_app import MiniApp

from limen.events import SessionsEnded
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
ALICE = {"username": "alice@example.com", "password": PASSWORD}


async def signed_in(mini: MiniApp, **headers: str):
    """A browser with Alice's cookie in its jar."""
    if await mini.auth.kernel.users.find_by_identifier("alice@example.com") is None:
        await mini.account()
    client = mini.visitor(**headers).client
    answer = await client.post("/auth/login?deliver=cookie", data=ALICE)
    assert answer.status_code == 200, answer.text
    return client


async def set_cookie_of(mini: MiniApp):
    await mini.account()
    answer = await mini.visitor().client.post("/auth/login?deliver=cookie", data=ALICE)
    (morsel,) = SimpleCookie(answer.headers["set-cookie"]).values()
    return answer, morsel


async def test_sign_in_by_cookie_answers_the_user_and_no_token(mini):
    answer, morsel = await set_cookie_of(mini)
    assert answer.json().keys() == {"status", "user"}
    assert answer.json()["user"]["email"] == "alice@example.com"
    assert answer.headers["cache-control"] == "no-store"
    assert morsel.value.startswith("lms_")
    assert morsel.value not in answer.text


async def test_on_plain_http_the_cookie_is_named_limen(mini):
    _, morsel = await set_cookie_of(mini)
    assert (morsel.key, morsel["path"], morsel["httponly"], morsel["samesite"].lower()) == ("limen", "/", True, "lax")
    assert not morsel["secure"]
    assert not morsel["domain"]


async def test_behind_an_https_base_url_the_cookie_is_host_bound_and_secure_whatever_the_hop_speaks(opened):
    mini = await opened(settings={"base_url": "https://app.example.com"})
    _, morsel = await set_cookie_of(mini)
    assert (morsel.key, morsel["path"], morsel["secure"], morsel["httponly"]) == ("__Host-limen", "/", True, True)
    assert not morsel["domain"]


async def test_the_database_keeps_no_cookie(mini):
    _, morsel = await set_cookie_of(mini)
    sessions = mini.auth.kernel.tables.sessions
    (row,) = await mini.auth.kernel.database.read(select(sessions))
    secret = morsel.value.partition(".")[2]
    assert secret.encode() not in bytes(row.secret_digest)
    assert secret not in repr(row)


async def test_a_cookie_reads_and_with_proof_of_the_same_origin_writes(mini):
    client = await signed_in(mini)
    assert (await client.get("/users/me")).json()["email"] == "alice@example.com"
    answer = await client.patch("/users/me", json={"username": "alice"}, headers=SAME_ORIGIN)
    assert answer.json()["username"] == "alice"


FOREIGN = (
    {},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:8001"},
    {"Origin": "https://localhost:8000"},
    {"Origin": "http://localhost:8000.evil.example"},
    {"Origin": "http://LOCALHOST:8000"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Referer": "http://localhost:8000/"},
    {"Host": "evil.example", "Origin": "http://evil.example"},
    {"X-Forwarded-Host": "evil.example", "Origin": "https://evil.example"},
)


async def test_what_a_foreign_page_could_send_changes_nothing(mini):
    client = await signed_in(mini)
    for headers in FOREIGN:
        for method, path in (("POST", "/auth/logout"), ("DELETE", "/auth/sessions"), ("PATCH", "/users/me")):
            refused(await client.request(method, path, headers=headers, json={}), 403, "cross_origin")
        assert (await client.get("/users/me")).status_code == 200, headers


@pytest.mark.parametrize("origin", ["http://localhost:8000", "https://spa.example.com"])
async def test_own_and_trusted_origins_may_write(opened, origin):
    mini = await opened(settings={"trusted_origins": ("https://spa.example.com",)})
    client = await signed_in(mini)
    assert (await client.post("/auth/logout", headers={"Origin": origin})).status_code == 204


async def test_a_foreign_page_cannot_sign_a_browser_in(mini):
    await mini.account()
    client = mini.visitor().client
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = await client.post("/auth/login?deliver=cookie", data=ALICE, headers=headers)
        refused(answer, 403, "cross_origin")
        assert "set-cookie" not in answer.headers


async def test_a_bearer_token_needs_no_origin(mini):
    alice = await mini.signed_in()
    assert (await alice.post("/auth/logout")).status_code == 204


async def test_logout_ends_the_session_and_takes_the_cookie_back(mini):
    client = await signed_in(mini)
    kept = client.cookies["limen"]
    answer = await client.post("/auth/logout", headers=SAME_ORIGIN)
    assert answer.status_code == 204
    (morsel,) = SimpleCookie(answer.headers["set-cookie"]).values()
    assert (morsel.key, morsel.value, morsel["max-age"], morsel["path"]) == ("limen", "", "0", "/")
    replayed = mini.visitor(Cookie=f"limen={kept}").client
    refused(await replayed.get("/users/me"), 401, "invalid_token")


async def test_signing_in_again_ends_the_session_that_the_browser_held(mini):
    client = await signed_in(mini)
    first = client.cookies["limen"]
    await client.post("/auth/login?deliver=cookie", data=ALICE, headers=SAME_ORIGIN)
    assert client.cookies["limen"] != first
    refused(await mini.visitor(Cookie=f"limen={first}").client.get("/users/me"), 401, "invalid_token")
    assert [ended.reason for ended in mini.heard(SessionsEnded)] == ["signed_in_again"]


async def test_a_cookie_lives_while_it_is_used_and_ends_when_it_is_not(mini):
    client = await signed_in(mini)
    for _ in range(3):
        mini.clock.advance(days=10)
        assert (await client.get("/users/me")).status_code == 200
        await mini.auth.kernel.follower.write_last_seen()
    mini.clock.advance(days=15)
    refused(await client.get("/users/me"), 401, "invalid_token")


async def test_no_use_keeps_a_cookie_alive_past_its_absolute_end(mini):
    client = await signed_in(mini)
    for _ in range(8):
        mini.clock.advance(days=11)
        assert (await client.get("/users/me")).status_code == 200
        await mini.auth.kernel.follower.write_last_seen()
    mini.clock.advance(days=3)
    refused(await client.get("/users/me"), 401, "invalid_token")


async def test_a_further_sign_in_ends_the_session_that_was_seen_longest_ago(opened):
    mini = await opened(settings={"max_sessions": 2})
    oldest = await signed_in(mini)
    mini.clock.advance(minutes=1)
    second = await signed_in(mini)
    mini.clock.advance(minutes=1)
    third = await signed_in(mini)
    refused(await oldest.get("/users/me"), 401, "invalid_token")
    for client in (second, third):
        assert (await client.get("/users/me")).status_code == 200


async def test_a_session_is_seen_on_both_carriers_in_one_list(mini):
    bearer = await mini.signed_in()
    client = await signed_in(mini)
    listed = (await client.get("/auth/sessions")).json()
    assert [entry["current"] for entry in listed].count(True) == 1
    assert len(listed) == len((await bearer.get("/auth/sessions")).json()) == 2
    other = next(entry for entry in listed if not entry["current"])
    assert (await client.delete(f"/auth/sessions/{other['id']}", headers=SAME_ORIGIN)).status_code == 204
    refused(await bearer.get("/users/me"), 401, "invalid_token")


async def test_a_credential_is_good_only_where_it_belongs(mini):
    bearer = await mini.signed_in()
    client = await signed_in(mini)
    cookie = client.cookies["limen"]
    await client.get("/users/me")  # both are remembered now
    await bearer.me()
    as_bearer = mini.visitor(Authorization=f"Bearer {cookie}").client
    refused(await as_bearer.get("/users/me"), 401, "invalid_token")
    as_cookie = mini.visitor(Cookie=f"limen={bearer.access_token}").client
    refused(await as_cookie.get("/users/me"), 401, "invalid_token")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "lms_",
        "lms_.",
        "lms_x.y",
        "lms_00000000-0000-7000-8000-000000000000.secret",
        "lms_" + "a" * 9000,
        '"q"',
    ],
)
async def test_a_cookie_that_is_none_of_ours_is_a_401_or_nothing(mini, value):
    answer = await mini.visitor(Cookie=f"limen={value}").client.get("/users/me")
    refused(answer, 401, "invalid_token" if value else "not_authenticated")


async def test_two_cookies_of_our_name_are_refused(mini):
    client = await signed_in(mini)
    cookie = client.cookies["limen"]
    planted = mini.visitor(Cookie=f"limen={cookie}; limen={cookie}").client
    refused(await planted.get("/users/me"), 400, "invalid_request")


async def test_an_explicit_credential_goes_before_the_cookie(mini):
    client = await signed_in(mini)
    refused(await client.get("/users/me", headers={"Authorization": "Bearer a.b.c"}), 401, "invalid_token")


async def test_a_thousand_requests_ask_the_database_nothing(opened):
    mini = await opened(routes=_principal_route)
    bearer, client = await mini.signed_in(), await signed_in(mini)
    for _ in range(2):  # the first sight may look
        await bearer.get("/who")
        await client.get("/who")
    statements: list[str] = []
    for engine in mini.auth.kernel.database.engines:
        event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    for _ in range(500):
        assert (await bearer.get("/who")).status_code == 200
        assert (await client.get("/who")).status_code == 200
    assert [said for said in statements if "limen_revocations" not in said] == []
    await mini.auth.kernel.users.find(bearer.account.id)
    assert any("limen_users" in said for said in statements), "what is counted would have been seen"


def _principal_route(app, auth):
    from fastapi import Depends

    from limen import Principal

    @app.get("/who")
    async def who(principal: Principal = Depends(auth.current_principal)) -> str:
        return principal.subject
