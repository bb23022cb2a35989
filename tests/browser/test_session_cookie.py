"""The session cookie in a real browser: Chromium decides what it sends, not we."""

import asyncio
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx2
import pytest
from tests.servers.workers import Workers

from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

EMAIL = "alice@example.com"
FETCH = """async ([path, options]) => {
  const answer = await fetch(path, options);
  return {status: answer.status, body: await answer.json()};
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The app's address as a browser types it."""
    url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('site')}/limen.db"
    with Workers(1, database_url=url, app="app:app", app_folder=Path(__file__).parent) as workers:
        address = workers[0].url.replace("127.0.0.1", "localhost")
        httpx2.post(f"{workers[0].url}/auth/register", json={"email": EMAIL, "password": PASSWORD}).raise_for_status()
        yield address


async def sign_in(page, site: str) -> None:
    await page.goto(site)
    await page.fill("[name=username]", EMAIL)
    await page.fill("[name=password]", PASSWORD)
    await page.click("text=Sign in")
    await page.wait_for_function(f"document.querySelector('#who').textContent == '{EMAIL}'")


async def known_as(page) -> str:
    await page.evaluate("look()")
    return await page.text_content("#who")


async def test_a_person_signs_in_reloads_and_leaves_in_every_tab(chromium, site):
    person = await chromium.new_context()
    page = await person.new_page()
    await sign_in(page, site)
    assert await page.evaluate("document.cookie") == "", "scripts must not see the cookie"
    await page.reload()
    assert await known_as(page) == EMAIL

    second = await person.new_page()
    await second.goto(site)
    assert await asyncio.gather(known_as(page), known_as(second)) == [EMAIL, EMAIL]

    await page.click("#logout")
    await page.wait_for_function("document.querySelector('#who').textContent == 'nobody'")
    assert await known_as(second) == "nobody"


async def test_two_tabs_that_reload_at_the_same_time_both_stay_signed_in(chromium, site):
    person = await chromium.new_context()
    first, second = await person.new_page(), await person.new_page()
    await sign_in(first, site)
    await second.goto(site)
    for _ in range(3):
        await asyncio.gather(first.reload(), second.reload())
    assert await asyncio.gather(known_as(first), known_as(second)) == [EMAIL, EMAIL]


async def test_two_tabs_that_refresh_the_same_token_at_the_same_time_both_get_tokens(chromium, site):
    """What a page that keeps tokens does in every tab when the access token ends."""
    person = await chromium.new_context()
    first, second = await person.new_page(), await person.new_page()
    await asyncio.gather(first.goto(site), second.goto(site))
    form = f"username={EMAIL}&password={PASSWORD}".replace(" ", "+")
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await first.evaluate(FETCH, ["/auth/login", {"method": "POST", "body": form, "headers": kind}])
    token = {"refresh_token": answer["body"]["refresh_token"]}
    ask = {"method": "POST", "body": json.dumps(token), "headers": {"Content-Type": "application/json"}}
    answers = await asyncio.gather(*(page.evaluate(FETCH, ["/auth/refresh", ask]) for page in (first, second)))
    for page, answer in zip((first, second), answers, strict=True):
        assert answer["status"] == 200
        shown = {"headers": {"Authorization": f"Bearer {answer['body']['access_token']}"}}
        assert (await page.evaluate(FETCH, ["/users/me", shown]))["body"]["email"] == EMAIL


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_form_on_a_foreign_page_is_refused(chromium, site, host):
    """`localhost` on another port is the same *site*, so the Lax cookie goes along and the origin check must refuse;
    `127.0.0.1` is another site, so the browser keeps the cookie back."""
    person = await chromium.new_context()
    page = await person.new_page()
    await sign_in(page, site)
    with ForeignPage(f"<form method=post action={site}/transfer><button>win</button></form>") as port:
        await page.goto(f"http://{host}:{port}")
        async with page.expect_response(f"{site}/transfer") as caught:
            await page.click("button")
        answer = await caught.value
    assert answer.status == (403 if host == "localhost" else 401)
    await page.goto(site)
    assert await known_as(page) == EMAIL


class ForeignPage:
    """A server of somebody else with one page."""

    def __init__(self, html: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(html.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> int:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self._server.server_address[1]

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
