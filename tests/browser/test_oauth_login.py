"""The demo and the certified `oidc-provider`, through its own login and consent pages, in Chromium.

The app is at `localhost` and the provider at `127.0.0.1`: two sites to a browser, as in life.
"""

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.servers.npm import node_program, npm_folder
from tests.servers.ports import free_port
from tests.servers.process import MissingWheel, ServerProcess
from tests.servers.workers import Workers

from limen.testing import FakeProvider

pytestmark = pytest.mark.anyio

SCRIPTS = Path(__file__).parent
PACKAGES = ("oidc-provider@9", "openid-client@6")


@pytest.fixture(scope="module")
def packages() -> Path:
    try:
        return npm_folder(*PACKAGES)
    except MissingWheel as missing:
        pytest.skip(str(missing))


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, packages: Path) -> Iterator[str]:
    """The demo with the provider `corp`, at the address that a browser types."""
    folder, port = tmp_path_factory.mktemp("provider"), free_port()
    settings = {
        "LIMEN_OAUTH_CORP_CLIENT_ID": "app",
        "LIMEN_OAUTH_CORP_CLIENT_SECRET": "a secret of the tests",
        "LIMEN_OAUTH_CORP_ISSUER": f"http://127.0.0.1:{port}",
    }
    url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('site')}/limen.db"
    workers = Workers(1, database_url=url, settings=settings)
    address = workers[0].url.replace("127.0.0.1", "localhost")
    workers.environment["LIMEN_BASE_URL"] = address
    script = packages / "oidc_provider.mjs"
    script.write_text((SCRIPTS / "oidc_provider.mjs").read_text())
    command = [node_program(), str(script), str(port), f"{address}/auth/oauth/corp/callback"]
    provider = ServerProcess(command, folder=folder)
    try:
        provider.wait_until(lambda: listens(port), seconds=60)
        with workers:
            yield address
    finally:
        provider.stop()


async def begin(page: Any, site: str, person: str, **query: str) -> None:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    await page.goto(f"{site}/auth/oauth/corp/authorize?{asked}")
    await to_the_consent_page(page, person)


async def to_the_consent_page(page: Any, person: str) -> None:
    await page.fill("[name=login]", person)
    await page.fill("[name=password]", "any")
    await page.click("button[type=submit]")
    await page.wait_for_selector("text=Continue")


async def who(page: Any) -> Any:
    script = "fetch('/users/me').then(async (it) => it.ok ? (await it.json()).email : it.status)"
    return await page.evaluate(script)


async def test_a_person_signs_in_by_the_providers_pages(chromium: Any, site: str) -> None:
    page = await (await chromium.new_context()).new_page()
    await begin(page, site, "ann", return_to="/public")
    await page.click("text=Continue")
    await page.wait_for_url(f"{site}/public")
    assert await who(page) == "ann@example.com"
    assert await page.evaluate("document.cookie") == "", "scripts must not see any cookie"
    cookies = await page.context.cookies(site)
    assert not [cookie for cookie in cookies if cookie["name"].startswith("limen-oauth-")], "the binding is used up"

    await page.goto(f"{site}/auth/oauth/corp/authorize?return_to=/health")  # known there: no page in between
    await page.wait_for_url(f"{site}/health")


async def test_an_app_of_tokens_exchanges_the_code_in_the_fragment(chromium: Any, site: str) -> None:
    page = await (await chromium.new_context()).new_page()
    await begin(page, site, "bob", return_to="/public", deliver="token")
    await page.click("text=Continue")
    await page.wait_for_url(f"{site}/public#code=*")
    answer = await page.evaluate(
        """async () => {
          const body = JSON.stringify({code: new URLSearchParams(location.hash.slice(1)).get('code')});
          const headers = {'Content-Type': 'application/json'};
          return (await fetch('/auth/oauth/exchange', {method: 'POST', headers, body})).json();
        }"""
    )
    assert answer["status"] == "complete"
    assert await who(page) == 401, "no cookie was asked for"


async def test_declined_consent_is_said_on_the_error_page(chromium: Any, site: str) -> None:
    page = await (await chromium.new_context()).new_page()
    await begin(page, site, "eve")
    await page.click("text=Cancel")
    await page.wait_for_url(f"{site}/auth/oauth/error#error=access_denied")
    assert await page.text_content("#why") == "The sign-in was declined."
    await page.goto(f"{site}/public")
    assert await who(page) == 401


async def test_two_tabs_that_begin_at_once_both_come_in(chromium: Any, site: str) -> None:
    person = await chromium.new_context()
    first, second = await person.new_page(), await person.new_page()
    await begin(first, site, "cat", return_to="/public")
    await second.goto(f"{site}/auth/oauth/corp/authorize?return_to=/health")
    await second.wait_for_selector("text=Continue")
    await second.click("text=Continue")
    await second.wait_for_url(f"{site}/health")
    await first.click("text=Continue")
    await first.wait_for_url(f"{site}/public")
    assert await who(first) == "cat@example.com"


async def test_a_post_from_the_providers_site_finds_its_way(chromium: Any, site: str) -> None:
    """`form_post`: a browser keeps the Lax cookie back from a foreign post, and sends it where that one redirects."""
    page = await (await chromium.new_context()).new_page()
    url = f"{site}/auth/oauth/corp/authorize?return_to=/public"
    begun = await page.context.request.get(url, max_redirects=0)  # the page's own cookies
    await page.goto(f"{begun.headers['location']}&response_mode=form_post")
    await to_the_consent_page(page, "dan")
    posts: list[str] = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    await page.click("text=Continue")
    await page.wait_for_url(f"{site}/public")
    assert f"{site}/auth/oauth/corp/callback" in posts
    assert await who(page) == "dan@example.com"


def test_the_fake_provider_is_one_to_a_certified_client(packages: Path) -> None:
    import uvicorn

    port = free_port()
    fake = FakeProvider(f"http://127.0.0.1:{port}")
    server = uvicorn.Server(uvicorn.Config(fake.app, host="127.0.0.1", port=port, log_level="error"))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    try:
        script = packages / "openid_client.mjs"
        script.write_text((SCRIPTS / "openid_client.mjs").read_text())
        command = [node_program(), str(script), fake.issuer, fake.client_id, fake.client_secret]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    finally:
        server.should_exit = True
        thread.join(10)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["claims"]["email"] == said["userinfo"]["email"] == "ann@example.com"
    assert said["refreshed"] is True
