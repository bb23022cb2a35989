"""People sign up, in and out at Supabase; this app's own cookie carries the session, and no browser sees a token."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, update
from tests.features.answers import refused
from tests.features.supabase.conftest import ALICE, PASSWORD, SupabaseApp
from tests.features.supabase.contract import CheckedSupabase

from limen import Accounts, Sessions
from limen.events import LoggedIn, LoginFailed, SessionsEnded
from limen.features import Supabase
from limen.testing import FakeClock

pytestmark = pytest.mark.anyio


async def test_a_sign_up_signs_in(app: SupabaseApp) -> None:
    browser = app.browser()
    answer = await browser.post("/auth/supabase/sign-up", json=ALICE)
    assert answer.status_code == 201, answer.text
    assert answer.json()["status"] == "complete"
    assert answer.json()["user"]["email"] == "alice@example.com"
    said = (await browser.get("/who")).json()
    assert (said["iss"], said["credential"]) == (app.project.issuer, "session_cookie")
    assert (await browser.get("/me")).json()["id"] == said["account"] == answer.json()["user"]["id"]
    assert (await browser.me()).json()["id"] == said["account"]
    assert app.mini.heard(LoggedIn)[0].subject == said["account"]


async def test_the_cookie_is_out_of_reach_and_holds_no_token(app: SupabaseApp) -> None:
    browser = app.browser()
    answer = await browser.post("/auth/supabase/sign-up", json=ALICE)
    (line,) = answer.headers.get_list("set-cookie")
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= {part.strip() for part in line.split(";")}
    assert answer.headers["cache-control"] == "no-store"
    assert len(line) < 300
    assert "eyJ" not in answer.text + line


async def test_nothing_usable_lies_in_the_database(app: SupabaseApp) -> None:
    await app.signed_in()
    (row,) = await app.auth.kernel.database.read(app.auth.kernel.features["supabase"].store._table.select())
    assert b"eyJ" not in row.sealed
    assert b"refresh" not in row.sealed


async def test_who_must_confirm_waits_for_the_mail(opened: Any, clock: FakeClock) -> None:
    with CheckedSupabase(autoconfirm=False, clock=clock) as project:
        app = await opened(project)
        browser = app.browser()
        answer = await browser.post("/auth/supabase/sign-up", json=ALICE)
        assert answer.status_code == 202
        assert answer.json() == {"status": "pending", "step": "confirm_email"}
        assert "set-cookie" not in answer.headers
        again = await app.browser().post("/auth/supabase/sign-up", json=ALICE)
        assert (again.status_code, again.json()) == (answer.status_code, answer.json())
        refused(await browser.post("/auth/supabase/sign-in", json=ALICE), 401, "invalid_credentials")
        code = {"email": ALICE["email"], "token": project.code_for(ALICE["email"])}
        assert (await browser.post("/auth/supabase/otp/verify", json=code)).status_code == 200
        assert (await browser.get("/me")).json()["email"] == ALICE["email"]
    assert project.violations == []


@pytest.mark.parametrize("email", ["alice@example.com", "nobody@example.com"])
async def test_a_code_by_mail_signs_in_the_known_and_the_new(app: SupabaseApp, email: str) -> None:
    app.user()
    browser = app.browser()
    answer = await browser.post("/auth/supabase/otp", json={"email": email})
    assert (answer.status_code, answer.text) == (202, "")
    code = app.project.code_for(email)
    wrong = "000000" if code != "000000" else "000001"
    body = {"email": email, "token": wrong}
    refused(await browser.post("/auth/supabase/otp/verify", json=body), 401, "invalid_credentials")
    assert (await browser.post("/auth/supabase/otp/verify", json={**body, "token": code})).status_code == 200
    assert (await browser.get("/who")).json()["amr"] == ["otp"]
    refused(
        await app.browser().post("/auth/supabase/otp/verify", json={**body, "token": code}), 401, "invalid_credentials"
    )


async def test_every_failing_sign_in_has_one_answer(app: SupabaseApp) -> None:
    banned = app.user("banned@example.com")
    banned.is_banned = True
    app.user()
    for email, password in (
        ("alice@example.com", "wrong one"),
        ("nobody@example.com", PASSWORD),
        ("banned@example.com", PASSWORD),
        ("not an address", PASSWORD),
    ):
        body = {"email": email, "password": password}
        refused(await app.browser().post("/auth/supabase/sign-in", json=body), 401, "invalid_credentials")
    assert len(app.mini.heard(LoginFailed)) == 4


async def test_what_supabase_refuses_at_sign_up_is_said_clearly(app: SupabaseApp) -> None:
    app.user()
    refused(await app.browser().post("/auth/supabase/sign-up", json=ALICE), 409, "email_taken")
    weak = {"email": "new@example.com", "password": "short"}
    body = refused(await app.browser().post("/auth/supabase/sign-up", json=weak), 422, "weak_password")
    assert [error["type"] for error in body["errors"]] == ["password_length"]


async def test_bodies_of_another_form_are_refused(app: SupabaseApp) -> None:
    bodies: list[dict[str, Any]] = [{}, {"email": "a@b.cd"}, {**ALICE, "admin": True}, {**ALICE, "email": 7}]
    for path in ("sign-in", "sign-up"):
        for body in bodies:
            refused(await app.browser().post(f"/auth/supabase/{path}", json=body), 422, "validation_error")
    assert not app.project.asked


async def test_a_foreign_page_signs_nobody_in_or_out(app: SupabaseApp) -> None:
    browser = await app.signed_in()
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    for path in ("sign-in", "sign-up"):
        answer = await app.browser().client.post(f"/auth/supabase/{path}", json=ALICE, headers=foreign)
        refused(answer, 403, "cross_origin")
    for path in ("/auth/supabase/sign-out", "/auth/supabase/refresh", "/items"):
        refused(await browser.client.post(path, headers=foreign), 403, "cross_origin")
        refused(await browser.client.post(path), 403, "cross_origin")
    assert (await browser.client.get("/me")).status_code == 200
    assert (await browser.post("/items")).status_code == 200


@pytest.mark.parametrize("path", ["/auth/supabase/sign-out", "/auth/logout"])
@pytest.mark.parametrize("carrier", ["cookie", "bearer"])
async def test_a_sign_out_ends_the_session_here_and_there(app: SupabaseApp, carrier: str, path: str) -> None:
    browser = await app.carried(carrier)
    session = (await browser.get("/who")).json()["sid"]
    other = app.bearer(app.project.sign_in(app.project._users["alice@example.com"]).access_token)
    shown = dict(browser.client.cookies)
    assert (await browser.post(path)).status_code == 204
    assert "limen" not in browser.client.cookies
    browser.client.cookies.update(shown)  # a thief's copy
    refused(await browser.get("/who"), 401, "invalid_token")
    assert session not in map(str, app.project._sessions)
    assert (await other.get("/who")).status_code == 200
    assert app.mini.heard(SessionsEnded)[0].session_ids == (session,)


async def test_what_stays_open_ends_with_the_session_or_the_account(app: SupabaseApp) -> None:
    """Supabase's session, and this app's row, are what an open stream stands on."""
    alice = app.user()
    for end in ("session", "account"):
        token = app.project.sign_in(alice).access_token
        bearer = app.bearer(token)
        key = app.auth.kernel.users.parse_key((await bearer.get("/me")).json()["id"])
        opening = asyncio.create_task(bearer.get("/stream"))
        async with asyncio.timeout(10):
            while not len(app.auth.kernel.authenticator.connections):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
            if end == "session":
                assert (await bearer.post("/auth/supabase/sign-out")).status_code == 204
            else:
                await app.auth[Accounts].set_active(key, False)
            answer = await opening
        assert answer.text == "hello"
        assert len(app.auth.kernel.authenticator.connections) == 0


async def test_a_new_sign_in_ends_what_the_browser_held(app: SupabaseApp) -> None:
    browser = await app.signed_in()
    before = dict(browser.client.cookies)
    assert (await browser.post("/auth/supabase/sign-in", json=ALICE)).status_code == 200
    assert dict(browser.client.cookies) != before
    thief = app.browser()
    thief.client.cookies.update(before)
    refused(await thief.get("/me"), 401, "invalid_token")
    assert (await browser.get("/me")).status_code == 200


async def test_a_browser_holds_one_session_whoever_vouches_for_it(app: SupabaseApp, clock: FakeClock) -> None:
    """A sign-in at Supabase ends limen's own session in this browser, and the other way round, refreshed or not."""
    own = await app.mini.account("own@example.com")
    app.user()
    browser, thief, held = app.browser(), app.browser(), []
    for hours in (0, 2):
        for who, sign_in in (
            (own.email, browser.login(own.email)),
            (ALICE["email"], browser.post("/auth/supabase/sign-in", json=ALICE)),
            (own.email, browser.login(own.email)),
        ):
            clock.advance(hours=hours)
            assert (await sign_in).status_code == 200
            assert (await browser.get("/me")).json()["email"] == who
            for cookies in held:
                thief.client.cookies.update(cookies)
                refused(await thief.get("/me"), 401, "invalid_token")
            held.append(dict(browser.client.cookies))
    reasons = {event.reason for event in app.mini.heard(SessionsEnded)}
    assert reasons == {"signed_in_again"}


async def test_whoever_is_signed_out_everywhere_is_signed_out_of_supabases_sessions_too(app: SupabaseApp) -> None:
    alice = await app.signed_in()
    phone, bob = app.browser(), await app.signed_in("bob@example.com")
    assert (await phone.post("/auth/supabase/sign-in", json=ALICE)).status_code == 200
    row = (await alice.get("/me")).json()["id"]
    assert (await phone.get("/me")).json()["id"] == row
    boss = await app.mini.signed_in("boss@example.com", roles=["admin"])
    assert (await boss.post(f"/users/{row}/sign-out")).status_code == 204
    for browser in (alice, phone):
        refused(await browser.get("/me"), 401, "invalid_token")
    assert (await bob.get("/me")).json()["email"] == "bob@example.com"
    assert len(app.mini.heard(SessionsEnded)[0].session_ids) == 2
    assert await app.auth[Sessions].end_everybodys() == 2
    for browser in (bob, boss):
        refused(await browser.get("/me"), 401, "invalid_token")
    assert (await alice.post("/auth/supabase/sign-in", json=ALICE)).status_code == 200
    assert (await alice.get("/me")).json()["id"] == row


async def test_whoever_is_behind_sessions_that_cannot_be_read_is_signed_out_as_well(
    app: SupabaseApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those were sealed under a secret that is gone."""
    monkeypatch.setattr("limen.features.sessions.service.AT_ONCE", 1)
    await app.signed_in()
    service = app.auth[Supabase]
    table = service.store._table
    async with app.auth.kernel.database.transaction() as connection:
        await connection.execute(update(table).values(sealed=b"unreadable"))
    bob = await app.signed_in("bob@example.com")
    assert (await bob.get("/me")).status_code == 200
    await app.auth[Sessions].end_everybodys()
    refused(await bob.get("/me"), 401, "invalid_token")
    assert await app.auth.kernel.database.read(select(table)) == []


async def test_limens_own_people_sign_in_beside(app: SupabaseApp) -> None:
    own = await app.mini.signed_in("own@example.com")
    theirs = await app.signed_in()
    assert (await own.get("/who")).json()["iss"] == app.auth.settings.issuer
    assert (await theirs.get("/who")).json()["iss"] == app.project.issuer
    refused(await own.post("/auth/supabase/sign-out"), 403, "forbidden")
    refused(await theirs.get("/auth/sessions"), 403, "forbidden")


async def test_a_made_up_cookie_proves_nobody(app: SupabaseApp) -> None:
    for value in ("lmp_", "lmp_x.y", "lmp_00000000-0000-4000-8000-000000000001.secret", "lmp_" + "x" * 4000):
        browser = app.browser()
        browser.client.cookies.set("limen", value)
        refused(await browser.get("/who"), 401, "invalid_token")


async def test_a_disabled_or_deleted_account_is_out_whatever_carries_it(app: SupabaseApp) -> None:
    browser = await app.signed_in()
    bearer = app.bearer(app.project.sign_in(app.project._users["alice@example.com"]).access_token)
    key = app.auth.kernel.users.parse_key((await bearer.get("/me")).json()["id"])
    await app.auth[Accounts].set_active(key, False)
    for visitor in (browser, bearer):
        refused(await visitor.get("/who"), 401, "invalid_token")
    refused(await app.browser().post("/auth/supabase/sign-in", json=ALICE), 401, "invalid_token")
    await app.auth[Accounts].set_active(key, True)
    refused(await browser.get("/me"), 401, "invalid_token")  # its session ended, as limen's own do
    assert (await bearer.get("/me")).status_code == 200
    assert (await browser.post("/auth/supabase/sign-in", json=ALICE)).status_code == 200
    await app.auth[Accounts].remove(key)
    for visitor in (browser, bearer):
        refused(await visitor.get("/who"), 401, "invalid_token")
    refused(await app.browser().post("/auth/supabase/sign-in", json=ALICE), 401, "invalid_token")


async def test_over_https_the_cookie_belongs_to_this_host_alone(opened: Any, project: CheckedSupabase) -> None:
    app = await opened(project, settings={"base_url": "https://app.example.com"})
    app.user()
    answer = await app.browser().post("/auth/supabase/sign-in", json=ALICE)
    (line,) = answer.headers.get_list("set-cookie")
    assert line.startswith("__Host-limen=lmp_")
    assert "Secure" in line
