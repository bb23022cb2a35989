"""People come in by an account elsewhere."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.features.answers import refused as problem
from tests.features.oauth_login.conftest import ORIGIN, Site, fragment, refused
from tests.features.oauth_login.one_database import new_database

from limen.events import IdentityLinked, LoggedIn, LoginFailed, Registered
from limen.testing import FakePerson

__all__ = ["new_database"]
pytestmark = pytest.mark.anyio


async def test_somebody_new_gets_an_account_and_a_cookie(site: Site) -> None:
    ann = site.browser()
    answer = await ann.sign_in(return_to="/welcome?first=1")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{ORIGIN}/welcome?first=1")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    me = await ann.me()
    assert me.status_code == 200, me.text
    assert (me.json()["email"], me.json()["is_verified"], me.json()["roles"]) == ("ann@example.com", True, ["member"])
    assert len(site.mini.heard(Registered)) == len(site.mini.heard(IdentityLinked)) == 1
    assert site.mini.heard(LoggedIn)[0].amr == ()


async def test_the_same_person_comes_back_to_the_same_account(site: Site) -> None:
    first, second = site.browser(), site.browser()
    await first.sign_in()
    site.fake.person = FakePerson(email="ann.married@example.com")  # the address changed there; the subject decides
    await second.sign_in()
    assert (await first.me()).json()["id"] == (await second.me()).json()["id"]
    assert len(site.mini.heard(Registered)) == 1


async def test_an_app_of_tokens_gets_a_code_that_is_good_once(site: Site) -> None:
    ann = site.browser()
    answer = await ann.sign_in(return_to="/app#/inbox", deliver="token")
    assert answer.headers["location"].startswith(f"{ORIGIN}/app#code=")
    tokens = await ann.exchange(answer)
    assert tokens.status_code == 200, tokens.text
    assert (tokens.json()["status"], tokens.json()["token_type"]) == ("complete", "bearer")
    shown = {"Authorization": f"Bearer {tokens.json()['access_token']}"}
    assert (await ann.client.get("/users/me", headers=shown)).json()["email"] == "ann@example.com"
    problem(await ann.exchange(answer), 401, "invalid_grant")


async def test_a_code_is_good_for_a_minute(site: Site) -> None:
    ann = site.browser()
    answer = await ann.sign_in(deliver="token")
    site.mini.clock.advance(seconds=61)
    problem(await ann.exchange(answer), 401, "invalid_grant")


async def test_a_code_that_was_planted_in_another_browser_is_worth_nothing(site: Site) -> None:
    """Login CSRF: `https://app/#code=` of the attacker's sign-in, opened by somebody else."""
    attacker, victim = site.browser(), site.browser()
    answer = await attacker.sign_in(deliver="token")
    problem(await victim.exchange(answer, **{"Sec-Fetch-Site": "same-origin"}), 401, "invalid_grant")
    answer = await attacker.sign_in(deliver="token")
    problem(await victim.exchange(answer, Origin="https://evil.example"), 403, "cross_origin")
    assert (await attacker.exchange(answer, **{"Sec-Fetch-Site": "same-origin"})).status_code == 200


async def test_a_native_client_without_cookies_can_exchange_its_code(site: Site) -> None:
    answer = await site.browser().sign_in(deliver="token")
    assert (await site.browser().exchange(answer)).status_code == 200


async def test_the_request_to_the_provider_is_complete_and_by_the_base_url(site: Site) -> None:
    begun = await site.browser().client.get(
        "/auth/oauth/fake/authorize", headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    )
    asked = {name: values[0] for name, values in parse_qs(urlsplit(begun.headers["location"]).query).items()}
    assert asked["redirect_uri"] == f"{ORIGIN}/auth/oauth/fake/callback"
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert (asked["client_id"], asked["scope"]) == ("the app", "openid email profile")
    assert len(asked["state"]) == len(asked["nonce"]) == len(asked["code_challenge"]) == 43


async def test_the_cookie_is_bound_to_this_host_and_out_of_reach(open_site: Any) -> None:
    secure = await open_site(settings={"base_url": "https://app.example.com"})
    begun = await secure.browser().begin()
    (cookie,) = begun.headers.get_list("set-cookie")
    name, _, flags = cookie.partition("=")
    assert name.startswith("__Host-limen-oauth-")
    for flag in ("HttpOnly", "Secure", "SameSite=lax", "Path=/", "Max-Age=600"):
        assert flag in flags
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    assert asked["redirect_uri"] == ["https://app.example.com/auth/oauth/fake/callback"]
    assert flags.partition(";")[0] not in asked["state"]


async def test_nothing_usable_is_at_rest(site: Site) -> None:
    begun = await site.browser().begin()
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    database, tables = site.mini.auth.kernel.database, site.mini.auth.kernel.tables
    rows = str(await database.read(tables.one_time_secrets.select()))
    assert asked["state"][0] not in rows
    assert asked["nonce"][0] not in rows
    assert "verifier" not in rows


async def test_a_provider_that_says_the_address_only_at_userinfo_will_do(site: Site) -> None:
    site.fake.says_email_in = "userinfo"
    ann = site.browser()
    await ann.sign_in()
    assert (await ann.me()).json()["email"] == "ann@example.com"
    assert "/userinfo" in site.fake.asked


async def test_metadata_and_keys_are_asked_once(site: Site) -> None:
    for _ in range(3):
        await site.browser().sign_in()
    assert site.fake.asked.count("/.well-known/openid-configuration") == site.fake.asked.count("/jwks") == 1


async def test_a_key_that_was_rotated_in_is_fetched(site: Site) -> None:
    await site.browser().sign_in()
    site.fake.key = type(site.fake.key).generate("ES256")
    assert (await site.browser().sign_in()).headers["location"] == f"{ORIGIN}/"


async def test_declined_consent_comes_to_the_error_page(site: Site) -> None:
    site.fake.person = None
    ann = site.browser()
    assert refused(await ann.sign_in()) == "access_denied"
    assert (await ann.me()).status_code == 401
    assert site.mini.heard(LoginFailed)[0].identifier == "fake"


async def test_the_error_page_shows_sentences_and_nothing_of_the_address(site: Site) -> None:
    page = await site.browser().client.get("/auth/oauth/error?error=<script>alert(1)</script>")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "alert(1)" not in page.text
    assert "account_exists" in page.text


async def test_errors_go_to_the_apps_own_page(open_site: Any) -> None:
    site = await open_site(error_path="/sign-in")
    site.fake.person = None
    answer = await site.browser().sign_in()
    assert answer.headers["location"] == f"{ORIGIN}/sign-in#error=access_denied"


async def test_an_unknown_provider_is_not_there(site: Site) -> None:
    client = site.browser().client
    problem(await client.get("/auth/oauth/nobody/authorize"), 404, "not_found")
    problem(await client.get("/auth/oauth/nobody/callback?state=1&code=2"), 404, "not_found")


async def test_sign_up_can_be_closed(open_site: Any) -> None:
    site = await open_site(sign_up="false")
    assert refused(await site.browser().sign_in()) == "sign_up_closed"
    assert site.mini.heard(Registered) == []


async def test_an_account_needs_an_address(site: Site) -> None:
    site.fake.person = FakePerson(email=None)
    assert refused(await site.browser().sign_in()) == "email_missing"
    site.fake.person = FakePerson(email="not an address")
    assert refused(await site.browser().sign_in()) == "email_missing"


async def test_a_disabled_account_stays_out(site: Site) -> None:
    from limen import Accounts

    ann = site.browser()
    await ann.sign_in()
    account = await site.mini.auth[Accounts].find("ann@example.com")
    await site.mini.auth[Accounts].set_active(account.id, False)
    assert refused(await site.browser().sign_in()) == "access_denied"


async def test_a_new_sign_in_ends_the_session_that_the_browser_held(site: Site) -> None:
    ann = site.browser()
    await ann.sign_in()
    await ann.sign_in()
    assert len((await ann.client.get("/auth/sessions")).json()) == 1


async def test_a_step_that_waits_is_in_the_fragment(open_site: Any) -> None:
    from tests.features.passwords.test_steps import Riddle

    site = await open_site(more=(Riddle(),))
    said = fragment(await site.browser().sign_in())
    assert said["status"] == "pending"
    assert said["ticket"]
    ann = site.browser()
    tokens = await ann.exchange(await ann.sign_in(deliver="token"))
    assert tokens.json()["status"] == "pending"


async def test_the_session_says_when_it_began(site: Site) -> None:
    ann = site.browser()
    await ann.sign_in()
    (session,) = (await ann.client.get("/auth/sessions")).json()
    assert session["method"] == "provider"
    assert datetime.fromisoformat(session["created_at"]) <= datetime.now(UTC)
