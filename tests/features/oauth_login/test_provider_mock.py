"""`oidc-provider-mock`, a provider that somebody else wrote, over the network."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.features.oauth_login.conftest import ORIGIN, Open
from tests.features.oauth_login.one_database import new_database

from limen.features.oauth_login import OpenIDProvider

__all__ = ["new_database"]
pytestmark = pytest.mark.anyio

ANN = {"email": "ann@example.com", "email_verified": True}


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries that the mock stands on
        from oidc_provider_mock import User, run_server_in_thread

        with run_server_in_thread(user_claims=[User(sub="ann", claims=ANN)]) as server:
            yield f"http://localhost:{server.server_port}"


@pytest.mark.filterwarnings("ignore")
async def test_a_person_signs_in_by_the_mock(open_site: Open, issuer: str) -> None:
    provider = OpenIDProvider("mock", issuer=issuer, client_id="app", client_secret="secret")
    site = await open_site(providers=[provider], transport=httpx2.AsyncHTTPTransport())
    ann = site.browser()
    begun = await ann.begin("mock", return_to="/in")
    answer: Any = httpx2.post(begun.headers["location"], data={"sub": "ann"})
    assert answer.status_code in (302, 303), answer.text
    back = await ann.client.get(answer.headers["location"])
    assert back.headers["location"] == f"{ORIGIN}/in"
    assert (await ann.me()).json()["email"] == "ann@example.com"


@pytest.mark.filterwarnings("ignore")
async def test_what_the_mock_refuses_is_refused(open_site: Open, issuer: str) -> None:
    provider = OpenIDProvider("mock", issuer=issuer, client_id="app", client_secret="secret")
    site = await open_site(providers=[provider], transport=httpx2.AsyncHTTPTransport())
    ann = site.browser()
    begun = await ann.begin("mock")
    answer: Any = httpx2.post(begun.headers["location"], data={"sub": "ann", "action": "deny"})
    back = await ann.client.get(answer.headers["location"])
    assert back.headers["location"] == f"{ORIGIN}/auth/oauth/error#error=access_denied"
