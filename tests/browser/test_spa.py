"""examples/spa in a real browser: its policy holds, nothing is lost to scripts, every tab knows who is signed in."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.workers import Workers

from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

SPA = Path(__file__).parents[2] / "examples/spa"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    url = f"sqlite+aiosqlite:///{tmp_path}/limen.db"
    with Workers(1, database_url=url, app="app:app", app_folder=SPA) as workers:
        yield workers[0].url.replace("127.0.0.1", "localhost")


async def fill(page, email: str, password: str, button: str) -> None:
    await page.fill("[name=username]", email)
    await page.fill("[name=password]", password)
    await page.click(f"button:text-is('{button}')")


async def test_a_person_signs_up_adds_reloads_and_signs_out_in_every_tab(chromium, site):
    person = await chromium.new_context()
    page, complaints = await person.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None)
    await page.goto(site)
    await fill(page, "ada@example.com", PASSWORD, "Sign up")
    await page.wait_for_selector("#tasks:visible")
    assert await page.text_content("#who") == "ada@example.com"
    assert await page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]

    await page.fill("[name=name]", "<img src=x onerror=alert(1)>")
    await page.click("text=Add")
    await page.wait_for_selector("#list li")
    await page.reload()
    await page.wait_for_selector("#list li")
    assert await page.text_content("#list li") == "<img src=x onerror=alert(1)>"
    assert complaints == []

    second = await person.new_page()
    await second.goto(site)
    await second.wait_for_selector("#tasks:visible")
    await second.click("text=Sign out")
    await second.wait_for_selector("#sign-in:visible")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await page.wait_for_selector("#sign-in:visible")

    await fill(page, "ada@example.com", "not her password", "Sign in")
    await page.wait_for_selector("#message:text-is('Incorrect email or password')")
    await fill(page, "ada@example.com", PASSWORD, "Sign in")
    await page.wait_for_selector("#list li")


async def test_the_policy_of_the_page_refuses_scripts_that_are_not_its_own(chromium, site):
    page = await (await chromium.new_context()).new_page()
    await page.goto(site)
    await page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
    }""")
    assert await page.evaluate("window.ran === undefined")
