"""Sign-in at one of the project's providers: begun and finished by one browser, and never ending anywhere else."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.features.mini_app import BASE_URL, Browser
from tests.features.supabase.conftest import SupabaseApp

from limen.features.supabase.service import is_local_path
from limen.testing import FakeClock
from limen.testing.supabase import Said

pytestmark = pytest.mark.anyio

AUTHORIZE = "/auth/supabase/oauth/github/authorize"
CALLBACK = "/auth/supabase/oauth/github/callback"


async def begin(browser: Browser, path: str = AUTHORIZE, **query: str) -> str:
    answer = await browser.get(path, params=query)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


async def at_supabase(url: str, **provider: str) -> str:
    """What the browser is sent back to, after the provider's pages."""
    async with httpx2.AsyncClient() as client:
        at_provider = (await client.get(url)).headers["location"]
        at_callback = (await client.get(at_provider, params={**_query(at_provider), **provider})).headers["location"]
        return str((await client.get(at_callback)).headers["location"])


def _query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def _local(url: str) -> str:
    assert url.startswith(f"{BASE_URL}/"), url
    return url.removeprefix(BASE_URL)


async def test_somebody_signs_in_at_a_provider(app: SupabaseApp) -> None:
    browser = app.browser()
    url = await begin(browser, return_to="/inbox?unread=1")
    asked = _query(url)
    assert (asked["provider"], asked["code_challenge_method"]) == ("github", "s256")
    assert asked["redirect_to"] == f"{BASE_URL}{CALLBACK}"
    back = await at_supabase(url, email="octo@example.com")
    answer = await browser.get(_local(back))
    assert (answer.status_code, answer.headers["location"]) == (303, f"{BASE_URL}/inbox?unread=1")
    assert (await browser.get("/me")).json()["email"] == "octo@example.com"
    assert (await browser.get("/who")).json()["amr"] == ["oauth"]
    assert set(browser.client.cookies) == {"limen"}


async def failed(browser: Browser, url: str, code: str) -> None:
    answer = await browser.get(_local(url))
    assert (answer.status_code, answer.headers["location"]) == (303, f"{BASE_URL}/#error={code}")
    assert "limen" not in browser.client.cookies


async def test_who_did_not_begin_does_not_finish(app: SupabaseApp, clock: FakeClock) -> None:
    """Login CSRF: somebody else's code in this browser, and this browser's code in somebody else's."""
    mallory, alice = app.browser(), app.browser()
    hers = await at_supabase(await begin(mallory), email="mallory@example.com")
    await failed(alice, hers, "invalid_request")
    await begin(alice)
    await failed(alice, hers, "invalid_credentials")  # her code, and the verifier of this browser
    await begin(alice, "/auth/supabase/oauth/google/authorize")
    await failed(alice, hers, "invalid_request")  # begun at another provider
    late = await at_supabase(await begin(alice))
    clock.advance(minutes=11)
    await failed(alice, late, "invalid_request")


async def test_a_code_is_good_once(app: SupabaseApp) -> None:
    browser, thief = app.browser(), app.browser()
    back = await at_supabase(await begin(browser), email="octo@example.com")
    thief.client.cookies.update(browser.client.cookies)
    assert (await browser.get(_local(back))).headers["location"] == f"{BASE_URL}/"
    await failed(thief, back, "invalid_request")


async def test_several_tabs_at_once_all_come_in_and_swapped_ones_never(app: SupabaseApp) -> None:
    browser = app.browser()
    urls = [await begin(browser, return_to=f"/{number}") for number in range(4)]
    emails = [f"{number}@example.com" for number in range(4)]
    backs = [await at_supabase(url, email=email) for url, email in zip(urls, emails, strict=True)]
    assert _query(urls[0])["redirect_to"] == f"{BASE_URL}{CALLBACK}", "whoever has one tab needs no other URL listed"
    for number in (1, 0):
        assert (await browser.get(_local(backs[number]))).headers["location"] == f"{BASE_URL}/{number}"
        assert (await browser.get("/me")).json()["email"] == emails[number]
    third, fourth = (_query(back) for back in backs[2:])
    await browser.post("/auth/logout")
    await failed(browser, f"{BASE_URL}{CALLBACK}?flow={third['flow']}&code={fourth['code']}", "invalid_credentials")
    await failed(browser, f"{BASE_URL}{CALLBACK}?flow={fourth['flow']}&code={third['code']}", "invalid_credentials")
    assert not [name for name in browser.client.cookies if name.startswith("limen-supabase")]


async def test_a_browser_keeps_no_more_than_eight_beginnings(app: SupabaseApp) -> None:
    browser = app.browser()
    for _ in range(12):
        await begin(browser)
    assert len(browser.client.cookies) == 8
    for odd in ("?flow=..", "?flow=only;", "?flow=%0d%0a"):
        assert (await browser.get(f"{CALLBACK}{odd}&code=a")).status_code == 422


async def test_consent_that_was_denied_is_said(app: SupabaseApp) -> None:
    browser = app.browser()
    back = await at_supabase(await begin(browser), error="access_denied")
    await failed(browser, back, "access_denied")
    await begin(browser)
    await failed(browser, f"{BASE_URL}{CALLBACK}?error=<script>", "server_error")
    for odd in ("", "?code=", "?code=a&code=b", f"?code={'x' * 2000}"):
        await begin(browser)
        await failed(browser, f"{BASE_URL}{CALLBACK}{odd}", "invalid_credentials")


async def test_no_answer_of_a_callback_is_stored_or_referred_from(app: SupabaseApp) -> None:
    browser = app.browser()
    back = await at_supabase(await begin(browser))
    for path in (_local(back), _local(back), CALLBACK, f"{CALLBACK}?error=x", f"{CALLBACK}?code={'x' * 3000}"):
        answer = await browser.get(path)
        assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")


async def test_supabase_that_is_down_is_said(app: SupabaseApp) -> None:
    browser = app.browser()
    back = await at_supabase(await begin(browser))
    app.project.instead["/token"] = Said(status=500)
    await failed(browser, back, "unavailable")


ATTACKS = [
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https:evil.example",
    "https://evil.example",
    "https://localhost:8000@evil.example/",
    "http://localhost:8000.evil.example/",
    "http://localhost:8001/",
    "javascript:alert(1)",
    "/x\r\nSet-Cookie: a=b",
    "/x\n",
    "/\tevil",
    " /x",
    "/x#error=none",
    "/ünïcode",
    "",
    "x",
    "/" + "x" * 3000,
]


async def test_no_return_path_leaves_the_app(app: SupabaseApp) -> None:
    browser = app.browser()
    for attack in ATTACKS:
        answer = await browser.get(AUTHORIZE, params={"return_to": attack})
        assert answer.status_code in (400, 422), attack
        assert "location" not in answer.headers


async def test_a_name_that_no_provider_has_is_refused(app: SupabaseApp) -> None:
    for name in ("git.hub", "a%20b", "x" * 60, "%0d%0a"):
        assert (await app.browser().get(f"/auth/supabase/oauth/{name}/authorize")).status_code in (400, 422)


@settings(max_examples=60)
@given(st.text(max_size=30) | st.from_regex(r"/[/\\.%a-z0-9?@:]{0,12}", fullmatch=True))
def test_whatever_passes_stays_on_this_host(path: str) -> None:
    if is_local_path(path):
        parts: Any = urlsplit(f"https://app.example.com{path}")
        assert (parts.scheme, parts.netloc) == ("https", "app.example.com")
        assert not urlsplit(path).netloc
        assert path.isascii()
        assert path.isprintable()
