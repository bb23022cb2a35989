"""Tokens that are due are refreshed once, whoever asks; what Supabase does meanwhile never makes anybody another."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from tests.features.answers import refused
from tests.features.mini_app import Browser, features_of, open_app
from tests.features.supabase.conftest import ALICE, PASSWORD, SupabaseApp, routes
from tests.features.supabase.contract import CheckedSupabase

from limen.features import Supabase
from limen.features.supabase import steps
from limen.features.supabase.service import LEASE, PAUSE, PREFIX
from limen.testing import FakeClock
from limen.testing.supabase import Asked, Said

pytestmark = pytest.mark.anyio

REFRESHES = "POST /token refresh_token"


async def asked_at_once(browsers: list[Browser], path: str = "/me", method: str = "GET") -> list[Any]:
    return await asyncio.gather(*(browser.request(method, path) for browser in browsers))


async def test_twenty_requests_with_an_expired_session_refresh_once(app: SupabaseApp, clock: FakeClock) -> None:
    browser = await app.signed_in()
    me = (await browser.get("/me")).json()
    clock.advance(hours=2)
    answers = await asked_at_once([browser] * 20)
    assert [answer.json() for answer in answers] == [me] * 20
    assert app.project.asked[REFRESHES] == 1
    assert all("set-cookie" not in answer.headers for answer in answers)
    assert (await browser.get("/me")).json() == me
    assert app.project.asked[REFRESHES] == 1


async def test_twenty_requests_at_two_workers_refresh_once(
    database_url: str, project: CheckedSupabase, clock: FakeClock
) -> None:
    def worker() -> Any:
        features = features_of(Supabase(project.url, key=project.key))
        return open_app(database_url, features=features, routes=routes, clock=clock, has_tables=True)

    async with worker() as one, worker() as other:
        here, there = SupabaseApp(one, project), SupabaseApp(other, project)
        first = await here.signed_in()
        me = (await first.get("/me")).json()
        second = there.browser()
        second.client.cookies.update(first.client.cookies)
        assert (await second.get("/me")).json() == me
        clock.advance(hours=2)
        answers = await asked_at_once([first, second] * 10)
        assert [answer.json() for answer in answers] == [me] * 20
        assert project.asked[REFRESHES] == 1
        assert (await first.post("/auth/supabase/sign-out")).status_code == 204
        await other.auth.kernel.revocation_log.catch_up()
        refused(await second.get("/me"), 401, "invalid_token")


@pytest.mark.parametrize("seconds", [7, 7200])
async def test_an_answer_that_got_lost_is_asked_for_again(app: SupabaseApp, clock: FakeClock, seconds: int) -> None:
    """The worker that refreshed died before it wrote. GoTrue gives the successor again: to anybody in its reuse
    interval, and at any time to whoever has the parent of the token that is in force."""
    browser = await app.signed_in()
    clock.advance(hours=2)
    service = app.auth[Supabase]
    session = await service.find(browser.client.cookies["limen"])
    assert await service.store.begin_refresh(session, lease=LEASE, pause=PAUSE)
    await service.gotrue.refresh(service._unsealed(session).refresh_token)
    clock.advance(seconds=seconds)  # the lease is over, and the interval is or is not
    assert (await browser.get("/me")).status_code == 200
    clock.advance(hours=2)
    assert (await browser.get("/me")).status_code == 200
    assert app.project.asked[REFRESHES] == 3


async def test_nobody_waits_for_a_refresh_that_cannot_come(app: SupabaseApp, clock: FakeClock) -> None:
    """The account was disabled while its tokens were due."""
    browser = await app.signed_in()
    service, users = app.auth[Supabase], app.auth.kernel.users
    session = await service.find(browser.client.cookies["limen"])
    await users.change(session.user_id, {"is_active": False})
    clock.advance(hours=2)
    refused(await browser.get("/me"), 401, "invalid_token")
    assert await service.store.find(session.id) is None
    refused(await browser.get("/me"), 401, "invalid_token")
    assert app.project.asked[REFRESHES] == 1


async def test_one_refreshes_by_hand_at_most_once_in_the_reuse_interval(app: SupabaseApp, clock: FakeClock) -> None:
    browser = await app.signed_in()
    assert (await browser.post("/auth/supabase/refresh")).status_code == 200
    assert app.project.asked[REFRESHES] == 0  # it is fresh from the sign-in
    clock.advance(seconds=11)
    answers = await asked_at_once([browser] * 20, "/auth/supabase/refresh", "POST")
    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].json()["user"]["email"] == ALICE["email"]
    assert app.project.asked[REFRESHES] == 1
    bearer = app.bearer(app.project.sign_in(app.project._users[ALICE["email"]]).access_token)
    refused(await bearer.post("/auth/supabase/refresh"), 400, "invalid_request")
    refused(await app.browser().post("/auth/supabase/refresh"), 401, "not_authenticated")


async def test_a_session_that_ended_at_supabase_is_over_here(app: SupabaseApp, clock: FakeClock) -> None:
    browser = await app.signed_in()
    app.project.end_session((await browser.get("/who")).json()["sid"])
    clock.advance(hours=2)
    for _ in range(2):
        refused(await browser.get("/me"), 401, "invalid_token")
    assert app.project.asked[REFRESHES] == 1  # nobody asks again for what is over


async def test_a_session_that_nobody_used_is_over(app: SupabaseApp, clock: FakeClock) -> None:
    browser = await app.signed_in()
    clock.advance(days=15)
    refused(await browser.get("/me"), 401, "invalid_token")
    assert app.project.asked[REFRESHES] == 0


OUTAGES = {
    "down": Said(status=500, body=b"oops"),
    "limited": Said(
        status=429, body=b'{"code": 429, "error_code": "over_request_rate_limit"}', headers={"Retry-After": "7"}
    ),
    "garbage": Said(body=b"<html>hello</html>"),
    "not utf-8": Said(body=b"\xff\xfe{}"),
    "no session": Said(body=b"{}"),
    "odd session": Said(body=b'{"access_token": 7, "refresh_token": ["x"]}'),
    "no token": Said(body=b'{"access_token": "a.b.c", "refresh_token": "x"}'),
    "deep": Said(body=b"[" * 5000),
    "elsewhere": Said(status=302, headers={"Location": "https://evil.example/"}),
    "huge": Said(body=b'{"x": "' + b"x" * 300_000 + b'"}'),
    "compressed": Said(body=b"\x1f\x8b\x08\x00", headers={"Content-Encoding": "gzip"}),
    "wrong key": Said(status=401, body=b'{"message": "Invalid API key"}'),
    "gateway": Said(status=400, body=b'{"error": "<b>no upstream</b>"}'),
    "empty": Said(status=200),
    "in the way": Said(status=409, body=b'{"code": 409, "error_code": "conflict", "msg": "concurrent"}'),
    "slow": Said(body=b"{}", delay=1.5),
}


async def test_an_outage_is_never_an_answer_about_a_session(
    app: SupabaseApp, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await app.signed_in()
    me = (await browser.get("/me")).json()
    monkeypatch.setattr(steps, "DEADLINE_SECONDS", 0.5)
    for name, outage in OUTAGES.items():
        clock.advance(minutes=59, seconds=30)  # due, and still good for a moment
        app.project.instead["/token"] = outage
        assert (await browser.get("/me")).json() == me, name
        clock.advance(minutes=2)
        body = refused(await browser.get("/me"), 503, "unavailable")
        assert body["retry_after"] == (7 if name == "limited" else 1)
        before = app.project.asked.total()
        for answer in await asked_at_once([browser] * 5):
            refused(answer, 503, "unavailable")
        assert app.project.asked.total() == before, "nobody asks again at once"
        for path, sent in (
            ("sign-in", ALICE),
            ("sign-up", {**ALICE, "email": "new@example.com"}),
        ):
            app.project.instead["/signup"] = outage
            answer = await app.browser().post(f"/auth/supabase/{path}", json=sent)
            refused(answer, 503, "unavailable")
        app.project.instead.clear()
        clock.advance(seconds=3)
        assert (await browser.get("/me")).json() == me, name


async def test_a_project_that_is_gone_is_an_outage(opened: Any, clock: FakeClock) -> None:
    with CheckedSupabase(clock=clock) as project:
        app = await opened(project)
        browser = await app.signed_in()
        bearer = app.bearer(project.sign_in(project._users[ALICE["email"]]).access_token)
        assert (await bearer.get("/me")).status_code == 200
    assert (await browser.get("/me")).status_code == 200
    assert (await bearer.get("/me")).status_code == 200
    refused(await app.browser().post("/auth/supabase/sign-in", json=ALICE), 503, "unavailable")
    clock.advance(hours=2)
    refused(await browser.get("/me"), 503, "unavailable")
    refused(await bearer.get("/me"), 401, "invalid_token")


async def test_another_persons_tokens_are_never_kept(app: SupabaseApp, clock: FakeClock) -> None:
    browser = await app.signed_in()
    me = (await browser.get("/me")).json()
    mallory = app.user("mallory@example.com")
    clock.advance(hours=2)
    app.project.instead["/token"] = lambda _: app.project._signed_in(app.project._begin(mallory, "password"))
    refused(await browser.get("/me"), 503, "unavailable")
    app.project.instead.clear()
    clock.advance(seconds=3)
    assert (await browser.get("/me")).json() == me


@pytest.mark.parametrize("carrier", ["cookie", "bearer"])
async def test_a_sign_out_counts_here_even_if_supabase_cannot_be_told(app: SupabaseApp, carrier: str) -> None:
    browser = await app.carried(carrier)
    shown = dict(browser.client.cookies)
    app.project.instead["/logout"] = Said(status=500)
    answer = await browser.post("/auth/supabase/sign-out")
    assert answer.status_code == (204 if carrier == "cookie" else 503)  # a client that keeps its tokens must know
    browser.client.cookies.update(shown)
    refused(await browser.get("/me"), 401, "invalid_token")


async def test_a_cookie_that_supabase_sets_is_nobodys(app: SupabaseApp) -> None:
    app.user()
    seen: list[str | None] = []

    def answer(asked: Asked) -> Said:
        seen.append(asked.headers.get("cookie"))
        said = app.project._answer(asked, "/token")
        return Said(status=said.status, body=said.body, headers={**said.headers, "Set-Cookie": "sb=alice; Path=/"})

    app.project.instead["/token"] = answer
    for _ in range(3):
        assert (await app.browser().post("/auth/supabase/sign-in", json=ALICE)).status_code == 200
    assert seen == [None] * 3


async def test_a_hundred_people_at_once_never_meet(
    app: SupabaseApp, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "DEADLINE_SECONDS", 60.0)  # however slow the machine
    emails = [f"person-{number}@example.com" for number in range(100)]
    for email in emails:
        app.project.add_user(email, PASSWORD)
    browsers = {email: app.browser() for email in emails}

    async def sign_in(email: str) -> None:
        body = {"email": email, "password": PASSWORD}
        answer = await browsers[email].post("/auth/supabase/sign-in", json=body)
        assert answer.json()["user"]["email"] == email

    await asyncio.gather(*map(sign_in, emails))

    async def visit(email: str, browser: Browser) -> str:
        """Whom the browser is taken for; a database that is too busy is asked again, as the answer says."""
        async with asyncio.timeout(120):
            while (answer := await browser.get("/me")).status_code == 503:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.2)
        return str(answer.json().get("email"))

    chance = random.Random(7)
    for hours in (0, 2):
        clock.advance(hours=hours)
        bearers = {email: app.bearer(app.project.token(app.project._users[email])) for email in emails}
        visits = [
            (email, browser) for email in emails for browser in (browsers[email], browsers[email], bearers[email])
        ]
        chance.shuffle(visits)
        seen = await asyncio.gather(*(visit(*each) for each in visits))
        mixed = [(email, said) for (email, _), said in zip(visits, seen, strict=True) if email != said]
        assert mixed == []
    assert app.project.asked[REFRESHES] == 100
    values = Counter(browser.client.cookies["limen"] for browser in browsers.values())
    assert len(values) == 100
    assert all(value.startswith(PREFIX) for value in values)
