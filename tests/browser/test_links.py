"""The pages that links in mails lead to, in a real browser."""

from pathlib import Path

import httpx2
import pytest
from tests.servers.workers import Workers

from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

APP = """
from fastapi import FastAPI

from limen import Auth
from limen.auth import default_features
from limen.features import MagicLinks
from limen.testing import outbox

auth = Auth(features=[*default_features(), MagicLinks()])
letters = outbox(auth)
app = FastAPI()
auth.install(app)


@app.get("/")
@app.get("/health")
async def health() -> str:
    return "ok"


@app.get("/latest")
async def latest() -> str:
    return (await letters.latest()).link
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The app's address as a browser types it."""
    folder = tmp_path_factory.mktemp("site")
    Path(folder, "letters.py").write_text(APP)
    url = f"sqlite+aiosqlite:///{folder}/limen.db"
    with Workers(1, database_url=url, app="letters:app", app_folder=folder) as workers:
        yield workers[0].url.replace("127.0.0.1", "localhost")


def link_on(site: str) -> str:
    """The link of the latest letter, at the port on which the app is here."""
    link = httpx2.get(f"{site}/latest").json()
    return link.replace("http://localhost:8000", site)


async def complaints_of(page) -> list[str]:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    return said


async def test_a_person_chooses_a_new_password_by_one_click(chromium, site):
    httpx2.post(f"{site}/auth/register", json={"email": "ann@example.com", "password": PASSWORD}).raise_for_status()
    httpx2.post(f"{site}/auth/password/forgot", json={"email": "ann@example.com"}).raise_for_status()
    page = await (await chromium.new_context()).new_page()
    said = await complaints_of(page)
    await page.goto(link_on(site))
    assert "#" not in page.url, "the token must not stay in the address bar"
    await page.fill("[name=password]", "short")
    await page.click("button")
    await page.locator("#said", has_text="stronger").wait_for()
    await page.fill("[name=password]", "one more long walk")
    await page.click("button")
    await page.locator("#said", has_text="is saved").wait_for()
    form = {"username": "ann@example.com", "password": "one more long walk"}
    assert httpx2.post(f"{site}/auth/login", data=form).status_code == 200
    assert all("422" in each for each in said), said


async def test_a_link_signs_in_the_browser_that_asked_and_no_other(chromium, site):
    httpx2.post(f"{site}/auth/register", json={"email": "bob@example.com", "password": PASSWORD}).raise_for_status()
    asking, other = [await (await chromium.new_context()).new_page() for _ in range(2)]
    await asking.goto(site)
    ask = """fetch('/auth/magic-link', {method: 'POST', headers: {'Content-Type': 'application/json'},
             body: JSON.stringify({email: 'bob@example.com'})}).then(answer => answer.status)"""
    assert await asking.evaluate(ask) == 202
    link = link_on(site)
    await other.goto(link)
    await other.click("button")
    await other.locator("#said", has_text="in which you asked").wait_for()
    await asking.goto(link)
    await asking.click("button")
    await asking.wait_for_url(f"{site}/")
    who = "fetch('/users/me').then(answer => answer.json()).then(user => user.email)"
    assert await asking.evaluate(who) == "bob@example.com"
    assert await other.evaluate(who) is None


async def test_a_link_without_its_token_says_so(chromium, site):
    page = await (await chromium.new_context()).new_page()
    await page.goto(f"{site}/auth/email/verify")
    assert "not whole" in await page.text_content("#said")
    assert not await page.is_visible("button")
