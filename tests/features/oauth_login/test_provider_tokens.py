"""What a provider lets the app do for a person: kept sealed, refreshed by one at a time."""

import asyncio
from typing import Any

import pytest
from tests.features.oauth_login.conftest import ORIGIN, Site

from limen.errors import InvalidGrant, NotFound, ProviderUnavailable
from limen.features.oauth_login.providers.vault import TokenVault
from limen.features.oauth_login.tables import provider_token_table

pytestmark = pytest.mark.anyio


@pytest.fixture
async def user(site: Site) -> str:
    ann = site.browser()
    await ann.sign_in()
    return str((await ann.me()).json()["id"])


async def rows_of(site: Site) -> Any:
    kernel = site.mini.auth.kernel
    return await kernel.database.read(provider_token_table(kernel.tables).select())


async def test_the_token_of_the_sign_in_is_there_and_sealed(site: Site, user: str) -> None:
    token = await site.login.token(user, "fake")
    assert token.access_token.startswith("at-")
    assert token.access_token in site.fake._access_tokens
    assert token.access_token not in repr(token)
    (row,) = await rows_of(site)
    assert token.access_token.encode() not in row.sealed
    assert site.fake.asked.count("/token") == 1


async def test_a_sealed_token_opens_in_its_own_row_only(site: Site, user: str) -> None:
    from dataclasses import replace

    from limen.core.opaque import new_id

    (row,) = await rows_of(site)
    kept = await site.login.vault._store.find(row.identity_id)
    assert kept is not None
    assert site.login.vault._unsealed(kept)["access_token"]
    assert site.login.vault._unsealed(replace(kept, identity_id=new_id(1.0))) == {}


async def test_a_token_that_is_about_to_end_is_refreshed_once_for_all_who_ask(site: Site, user: str) -> None:
    first = await site.login.token(user, "fake")
    site.mini.clock.advance(minutes=59, seconds=30)
    fresh = await asyncio.gather(*(site.login.token(user, "fake") for _ in range(20)))
    assert len({each.access_token for each in fresh}) == 1
    assert fresh[0].access_token != first.access_token
    assert site.fake.asked.count("/token") == 2


async def test_two_processes_refresh_once(site: Site, user: str) -> None:
    """The row is what decides: this second vault knows nothing of the first one's locks."""
    other = TokenVault(site.login.vault._store, site.login.sealer, clock=site.mini.clock)
    (row,) = await rows_of(site)
    site.mini.clock.advance(hours=1)
    fresh = await asyncio.gather(
        site.login.token(user, "fake"), other.token(row.identity_id, site.login.upstream("fake"))
    )
    assert fresh[0].access_token == fresh[1].access_token
    assert site.fake.asked.count("/token") == 2


async def test_a_refusal_ends_what_is_kept_and_an_outage_does_not(site: Site, user: str) -> None:
    site.mini.clock.advance(hours=1)
    site.fake.is_down = True
    with pytest.raises(ProviderUnavailable):
        await site.login.token(user, "fake")
    site.fake.is_down = False
    assert (await site.login.token(user, "fake")).access_token
    site.mini.clock.advance(hours=1)
    site.fake._refresh_tokens.clear()
    with pytest.raises(InvalidGrant):
        await site.login.token(user, "fake")
    with pytest.raises(NotFound):
        await site.login.token(user, "fake")


async def test_nobody_has_a_token_where_they_have_no_account(site: Site, user: str) -> None:
    account = await site.mini.account("bob@example.com")
    with pytest.raises(NotFound):
        await site.login.token(account, "fake")
    with pytest.raises(NotFound):
        await site.login.token(user, "another")


async def test_tokens_go_with_the_account(site: Site, user: str) -> None:
    from limen import Accounts

    accounts = site.mini.auth[Accounts]
    await accounts.remove((await accounts.find(user)).id)
    assert await rows_of(site) == []


async def test_an_app_can_keep_none(open_site: Any) -> None:
    site = await open_site(keep_tokens="false")
    assert (await site.browser().sign_in()).headers["location"] == f"{ORIGIN}/"
    assert await rows_of(site) == []
