"""`return_to` over HTTP: no answer sends a browser elsewhere."""

import pytest
from tests.core.test_return_to import BAD
from tests.features.answers import refused as problem
from tests.features.oauth_login.conftest import Open, Site
from tests.features.oauth_login.one_database import new_database

__all__ = ["new_database"]
pytestmark = pytest.mark.anyio


async def test_a_foreign_place_is_refused_before_anything_is_begun(site: Site) -> None:
    ann = site.browser()
    for place in BAD:
        answer = await ann.begin(return_to=place)
        assert "location" not in answer.headers, place
        assert answer.status_code in (400, 422), place
    assert not ann.client.cookies
    problem(await ann.begin(return_to="//evil.example"), 400, "invalid_request")


async def test_a_trusted_origin_is_a_place_to_return_to(open_site: Open) -> None:
    site = await open_site(settings={"trusted_origins": ["https://spa.example.com"]})
    answer = await site.browser().sign_in(return_to="https://spa.example.com/in?x=1", deliver="token")
    assert answer.headers["location"].startswith("https://spa.example.com/in?x=1#code=")
