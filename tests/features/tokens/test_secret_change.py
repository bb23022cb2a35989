"""The root secret is replaced: what it vouched for holds while it is a fallback, and no longer. Cookies need none."""

from contextlib import AsyncExitStack

import pytest
from tests.features.mini_app import SECRET, Browser, MiniApp, open_app

pytestmark = pytest.mark.anyio

NEW_SECRET = "another secret of more than thirty-two bytes, for tests only"
REPLACED = {"secret_key": NEW_SECRET, "secret_key_fallbacks": (SECRET,)}
FORGOTTEN = {"secret_key": NEW_SECRET}


@pytest.fixture(params=["HS256", "ES256"])
def algorithm(request: pytest.FixtureRequest) -> str:
    """Whether the secret signs itself or seals the keys that do."""
    return str(request.param)


async def signed_in(database_url: str, algorithm: str) -> Browser:
    """Someone who signed in before the change, and no longer has an app to talk to."""
    async with open_app(database_url, has_tables=True, settings={"algorithm": algorithm}) as mini:
        return await mini.signed_in()


def moved(browser: Browser, mini: MiniApp) -> Browser:
    """The same browser after the app has started anew."""
    there = mini.visitor()
    there.tokens = browser.tokens
    return there


async def test_tokens_hold_while_the_old_secret_is_a_fallback(database_url, algorithm):
    before = await signed_in(database_url, algorithm)
    async with open_app(database_url, has_tables=True, settings={"algorithm": algorithm, **REPLACED}) as mini:
        alice = moved(before, mini)
        assert (await alice.me()).status_code == 200
        assert (await alice.refresh()).status_code == 200
        assert (await alice.me()).status_code == 200


async def test_tokens_made_after_the_change_do_not_need_the_old_secret(database_url, algorithm):
    before = await signed_in(database_url, algorithm)
    async with AsyncExitStack() as stack:
        settings = {"algorithm": algorithm, **REPLACED}
        mini = await stack.enter_async_context(open_app(database_url, has_tables=True, settings=settings))
        alice = moved(before, mini)
        assert (await alice.refresh()).status_code == 200
    async with open_app(database_url, has_tables=True, settings={"algorithm": algorithm, **FORGOTTEN}) as mini:
        alice = moved(alice, mini)
        assert (await alice.me()).status_code == 200
        assert (await alice.refresh()).status_code == 200


async def test_what_the_old_secret_vouched_for_is_refused_without_it(database_url):
    before = await signed_in(database_url, "HS256")
    async with open_app(database_url, has_tables=True, settings=FORGOTTEN) as mini:
        alice = moved(before, mini)
        assert (await alice.me()).status_code == 401
        answer = await alice.refresh()
        assert answer.status_code == 401
        assert answer.json()["code"] == "invalid_grant"


async def test_a_fallback_verifies_and_never_signs(database_url):
    before = await signed_in(database_url, "HS256")
    async with open_app(database_url, has_tables=True, settings=REPLACED) as mini:
        alice = moved(before, mini)
        await alice.refresh()
    # Rolled back by mistake: what the new secret signed is unknown.
    async with open_app(database_url, has_tables=True) as mini:
        alice = moved(alice, mini)
        assert (await alice.me()).status_code == 401
        assert (await alice.refresh()).status_code == 401
