"""Sign-in by a token that the provider gave to the app's own page or phone app."""

from hashlib import sha256
from typing import Any

import pytest
from tests.features.answers import refused as problem
from tests.features.oauth_login.conftest import Open, Site
from tests.features.oauth_login.one_database import new_database

from limen.core import base64url
from limen.events import LoginFailed
from limen.features.oauth_login import GitHub
from limen.testing import FakePerson, FakeProvider

__all__ = ["new_database"]
pytestmark = pytest.mark.anyio


async def bring(site: Site, id_token: str, provider: str = "fake", **body: str) -> Any:
    client = site.browser().client
    return await client.post(f"/auth/oauth/{provider}/id-token", json={"id_token": id_token, **body})


async def test_a_phone_signs_in_by_token(site: Site) -> None:
    answer = await bring(site, site.fake.id_token())
    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json()["token_type"]) == ("complete", "bearer")


async def test_a_page_signs_in_by_cookie_but_no_foreign_one(site: Site) -> None:
    ann = site.browser()
    body = {"id_token": site.fake.id_token(), "deliver": "cookie"}
    path = "/auth/oauth/fake/id-token"
    foreign = await ann.client.post(path, json=body, headers={"Origin": "https://evil.example"})
    problem(foreign, 403, "cross_origin")
    assert (await ann.client.post(path, json=body, headers={"Sec-Fetch-Site": "same-origin"})).status_code == 200
    assert (await ann.me()).json()["email"] == "ann@example.com"


async def test_a_token_is_good_once(site: Site) -> None:
    token = site.fake.id_token()
    assert (await bring(site, token)).status_code == 200
    problem(await bring(site, token), 401, "invalid_token")


async def test_a_token_with_its_signature_turned_over_is_the_same_token(site: Site) -> None:
    """ECDSA: whoever has a signature (r, s) has a second one, (r, n - s), for the same token."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    token = site.fake.id_token()
    signed, _, signature = token.rpartition(".")
    raw = base64url.decode(signature)
    turned = raw[:32] + (order - int.from_bytes(raw[32:])).to_bytes(32)
    assert (await bring(site, token)).status_code == 200
    problem(await bring(site, f"{signed}.{base64url.encode(turned)}"), 401, "invalid_token")
    assert "used before" in site.mini.heard(LoginFailed)[-1].reason


async def test_tokens_for_the_apps_other_client_ids_are_taken(open_site: Open, fake: FakeProvider) -> None:
    site = await open_site(providers=[fake.provider(audiences=["the app on phones"])])
    assert (await bring(site, fake.id_token(aud="the app on phones"))).status_code == 200
    assert (await bring(site, fake.id_token(azp="the app on phones"))).status_code == 200
    problem(await bring(site, fake.id_token(aud="somebody else")), 401, "invalid_token")
    problem(await bring(site, fake.id_token(azp="somebody else")), 401, "invalid_token")


@pytest.mark.parametrize(
    ("claimed", "brought", "is_good"),
    [
        ("n-1", "n-1", True),
        (sha256(b"n-1").hexdigest(), "n-1", True),
        ("n-1", "n-2", False),
        ("n-1", None, False),
        (None, "n-1", False),
        (sha256(b"").hexdigest(), None, False),
        (5, "n-1", False),
    ],
)
async def test_a_nonce_must_be_the_one_that_was_asked_for(
    site: Site, claimed: object, brought: str | None, is_good: bool
) -> None:
    body = {} if brought is None else {"nonce": brought}
    answer = await bring(site, site.fake.id_token(nonce=claimed), **body)
    assert answer.status_code == (200 if is_good else 401), answer.text


@pytest.mark.parametrize("token", ["", "a.b.c", "x" * 8192, "é.é.é", "....", "eyJhbGciOiJub25lIn0.e30."])
async def test_what_is_no_token_is_refused(site: Site, token: str) -> None:
    problem(await bring(site, token), 401, "invalid_token")


async def test_an_access_token_is_no_id_token(site: Site) -> None:
    """RFC 8725 §3.11: the header says what a token is for."""
    import time

    from limen.core.jwt import sign

    claims = {"iss": site.fake.issuer, "aud": site.fake.client_id, "iat": int(time.time()), "exp": time.time() + 60}
    token = sign({**claims, **FakePerson().claims()}, key=site.fake.key, typ="at+jwt")
    problem(await bring(site, token), 401, "invalid_token")
    assert (
        await bring(site, sign({**claims, **FakePerson().claims()}, key=site.fake.key, typ="JWT"))
    ).status_code == 200


async def test_the_linking_rule_is_the_same(site: Site) -> None:
    await site.mini.account("ann@example.com")
    problem(await bring(site, site.fake.id_token()), 409, "account_exists")


async def test_a_provider_that_is_down_is_503(site: Site) -> None:
    site.fake.is_down = True
    assert problem(await bring(site, site.fake.id_token()), 503, "provider_unavailable")["retry_after"] == 1


async def test_a_provider_without_id_tokens_takes_none(open_site: Open, fake: FakeProvider) -> None:
    site = await open_site(providers=[GitHub(client_id="c", client_secret="s")])
    problem(await bring(site, fake.id_token(), "github"), 400, "invalid_request")
