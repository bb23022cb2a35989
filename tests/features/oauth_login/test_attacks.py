"""Whatever is wrong with a callback: nobody is signed in, and the error page says no more than a code."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit, urlunsplit

import pytest
from httpx2 import AsyncBaseTransport, ByteStream, ConnectError, ReadTimeout, Request, Response
from tests.features.answers import refused as problem
from tests.features.oauth_login.conftest import ORIGIN, Site, Traveller, refused
from tests.features.oauth_login.one_database import new_database

from limen.core.client import Client
from limen.core.limits import Attempt
from limen.errors import TooManyRequests
from limen.events import LoggedIn, LoginFailed
from limen.testing import FakePerson, FakeProvider

__all__ = ["new_database"]
pytestmark = pytest.mark.anyio


def changed(url: str, **parameters: str | None) -> str:
    """The URL with these parameters in the place of its own; None takes one out."""
    parts = urlsplit(url)
    query = {**dict(parse_qsl(parts.query)), **parameters}
    said = urlencode({name: value for name, value in query.items() if value is not None})
    return urlunsplit(parts._replace(query=said))


def parameter(url: str, name: str) -> str:
    return parse_qs(urlsplit(url).query)[name][0]


def nobody_came_in(site: Site) -> bool:
    return site.mini.heard(LoggedIn) == []


# --- state


async def test_a_state_that_another_browser_began_is_refused_and_used_up(site: Site) -> None:
    """Login CSRF: the attacker's callback URL, opened in somebody else's browser."""
    attacker, victim = site.browser(), site.browser()
    back = await attacker.go()
    assert refused(await victim.client.get(back)) == "invalid_state"
    await victim.begin()
    assert refused(await victim.client.get(back)) == "invalid_state"
    assert nobody_came_in(site)


async def test_a_cookie_that_was_planted_under_the_right_name_does_not_fit(site: Site) -> None:
    attacker, victim = site.browser(), site.browser()
    back = await attacker.go()
    for name in attacker.client.cookies:
        victim.client.cookies.set(name, "A" * 43, domain="localhost.local")
        victim.client.cookies.set(name, "A" * 43)
    assert refused(await victim.client.get(back)) == "invalid_state"
    assert refused(await attacker.client.get(back)) == "invalid_state"  # the record is used up
    assert nobody_came_in(site)


async def test_a_state_is_good_once(site: Site) -> None:
    ann = site.browser()
    back = await ann.go()
    cookies = dict(ann.client.cookies)
    assert (await ann.client.get(back)).headers["location"] == f"{ORIGIN}/"
    ann.client.cookies.update(cookies)
    assert refused(await ann.client.get(back)) == "invalid_state"
    assert len(site.mini.heard(LoggedIn)) == 1


async def test_a_state_is_good_for_ten_minutes(site: Site) -> None:
    ann = site.browser()
    back = await ann.go()
    site.mini.clock.advance(minutes=10, seconds=1)
    assert refused(await ann.client.get(back)) == "invalid_state"


@pytest.mark.parametrize("state", [None, "", "made up", "\x00", "é" * 2000])
async def test_a_state_that_nobody_gave_out_is_refused(site: Site, state: str | None) -> None:
    ann = site.browser()
    back = await ann.go()
    assert refused(await ann.client.get(changed(back, state=state))) == "invalid_state"


async def test_a_state_of_another_provider_is_refused(open_site: Any, fake: FakeProvider) -> None:
    site = await open_site(providers=[fake.provider("one"), fake.provider("two")])
    ann = site.browser()
    back = await ann.go("one")
    assert refused(await ann.client.get(back.replace("/one/", "/two/"))) == "invalid_state"
    assert refused(await ann.client.get(back)) == "invalid_state"


async def test_several_tabs_at_once_all_come_in_and_swapped_ones_never(site: Site) -> None:
    ann = site.browser()
    first, second, third, fourth = [await ann.go(return_to=f"/{n}") for n in range(4)]
    assert (await ann.client.get(second)).headers["location"] == f"{ORIGIN}/1"
    assert (await ann.client.get(first)).headers["location"] == f"{ORIGIN}/0"
    swapped = changed(third, code=parameter(fourth, "code"))
    assert refused(await ann.client.get(swapped)) == "invalid_grant"  # PKCE: the code is the other tab's
    assert refused(await ann.client.get(changed(fourth, code=parameter(third, "code")))) == "invalid_grant"


async def test_fifty_people_at_once_never_meet(site: Site) -> None:
    """Each comes back while all the others do, in another order than they went."""
    people = [FakePerson(subject=str(n), email=f"person-{n}@example.com") for n in range(50)]
    backs = []
    for person in people:
        site.fake.person = person
        traveller = site.browser()
        backs.append((person.email, traveller, await traveller.go()))

    async def arrive(traveller: Traveller, back: str) -> str:
        assert (await traveller.client.get(back)).headers["location"] == f"{ORIGIN}/"
        return str((await traveller.me()).json()["email"])

    Random(7).shuffle(backs)
    seen = await asyncio.gather(*(arrive(traveller, back) for _, traveller, back in backs))
    assert seen == [email for email, _, _ in backs]


async def test_a_browser_keeps_no_more_than_eight_beginnings(site: Site) -> None:
    ann = site.browser()
    for _ in range(12):
        await ann.begin()
    assert len(ann.client.cookies) == 8


async def test_a_parameter_twice_is_refused(site: Site) -> None:
    ann = site.browser()
    back = await ann.go()
    assert refused(await ann.client.get(f"{back}&code=another")) == "invalid_request"


async def test_no_answer_of_a_callback_is_stored_or_referred_from(site: Site) -> None:
    """RFC 9700 §4.2.4: the code and the state are in the URL that the browser is at."""
    ann, bob = site.browser(), site.browser()
    callback, other = "/auth/oauth/fake/callback", "/auth/oauth/nobody/callback"
    back, signed_out = await ann.go(), await bob.go(deliver="token")
    form = {"state": "s", "code": "c"}
    answers = {
        "signed in": await ann.client.get(back),
        "with a code": await bob.client.get(signed_out),
        "used": await ann.client.get(back),
        "denied": await ann.client.get(f"{callback}?error=access_denied"),
        "twice": await ann.client.get(f"{callback}?code=a&code=b"),
        "no such provider": await ann.client.get(f"{other}?code=a"),
        "no provider's name": await ann.client.get(f"/auth/oauth/{'x' * 40}/callback?code=a"),
        "posted": await ann.client.post(callback, data=form),
        "posted to nobody": await ann.client.post(other, data=form),
        "posted as JSON": await ann.client.post(callback, json=form),
        "posted too much": await ann.client.post(callback, data={"code": "x" * 70_000}),
    }
    statuses = {name: answer.status_code for name, answer in answers.items()}
    assert sorted(statuses.values()) == [303, 303, 303, 303, 303, 303, 404, 404, 413, 415, 422], statuses
    for name, answer in answers.items():
        said = (answer.headers["cache-control"], answer.headers["referrer-policy"])
        assert said == ("no-store", "no-referrer"), name


# --- the code and the issuer


async def test_a_code_of_another_sign_in_is_refused(site: Site) -> None:
    """Code injection (RFC 9700 §4.5): a stolen code, put into a sign-in of the thief's own."""
    victim, thief = site.browser(), site.browser()
    stolen = parameter(await victim.go(), "code")
    site.fake.person = FakePerson(subject="thief", email="thief@example.com")
    assert refused(await thief.client.get(changed(await thief.go(), code=stolen))) == "invalid_grant"
    assert nobody_came_in(site)


@pytest.mark.parametrize("issuer", [None, "https://evil.example", "https://provider.test/"])
async def test_mix_up_is_refused(site: Site, issuer: str | None) -> None:
    """RFC 9207: this provider promises `iss`, so it must be there and its own."""
    ann = site.browser()
    assert refused(await ann.client.get(changed(await ann.go(), iss=issuer))) == "invalid_state"
    assert site.fake.asked.count("/token") == 0, "no code goes to anybody before the issuer is known"


async def test_a_wrong_issuer_is_refused_where_none_is_promised(site: Site) -> None:
    site.fake.metadata["authorization_response_iss_parameter_supported"] = None
    ann, bob = site.browser(), site.browser()
    assert refused(await ann.client.get(changed(await ann.go(), iss="https://evil.example"))) == "invalid_state"
    assert (await bob.client.get(changed(await bob.go(), iss=None))).headers["location"] == f"{ORIGIN}/"


@pytest.mark.parametrize("code", [None, "", "x" * 5000])
async def test_no_code_is_no_sign_in(site: Site, code: str | None) -> None:
    ann = site.browser()
    assert refused(await ann.client.get(changed(await ann.go(), code=code))) == "invalid_grant"


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("access_denied", "access_denied"),
        ("user_cancelled_login", "access_denied"),
        ("temporarily_unavailable", "provider_unavailable"),
        ("invalid_scope", "invalid_grant"),
        ("<script>", "invalid_grant"),
    ],
)
async def test_errors_of_the_provider_are_told_in_words_of_our_own(site: Site, error: str, shown: str) -> None:
    ann = site.browser()
    assert refused(await ann.client.get(changed(await ann.go(), code=None, error=error))) == shown


# --- the id_token

WRONG_CLAIMS: dict[str, dict[str, object]] = {
    "nonce of another": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "nonce not text": {"nonce": 5},
    "aud of another": {"aud": "another app"},
    "no aud": {"aud": None},
    "aud with a stranger": {"aud": ["the app", "another app"], "azp": "the app"},
    "azp of another": {"azp": "another app"},
    "azp not text": {"azp": {"the": "app"}},
    "aud twice and no azp": {"aud": ["the app", "the app"]},
    "iss of another": {"iss": "https://evil.example"},
    "iss not text": {"iss": ["https://provider.test"]},
    "no iss": {"iss": None},
    "expired": {"exp": 1_000_000_000},
    "no exp": {"exp": None},
    "iat in the future": {"iat": 4_000_000_000},
    "iat long ago": {"iat": 1_000_000_000},
    "no iat": {"iat": None},
    "no sub": {"sub": None},
    "sub not text": {"sub": 5},
    "at_hash of another": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    "at_hash not text": {"at_hash": 7},
}


@pytest.mark.parametrize("wrong", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
async def test_an_id_token_that_says_something_wrong_signs_nobody_in(site: Site, wrong: dict[str, object]) -> None:
    site.fake.claims = wrong
    assert refused(await site.browser().sign_in()) == "invalid_token"
    assert nobody_came_in(site)
    assert len(site.mini.heard(LoginFailed)) == 1


async def test_an_id_token_under_another_key_is_refused(site: Site) -> None:
    await site.browser().sign_in()
    known = site.fake.key
    site.fake.key = replace(type(known).generate("ES256"), kid=known.kid)
    assert refused(await site.browser().sign_in()) == "invalid_token"


async def test_an_id_token_under_the_clients_secret_is_refused(site: Site) -> None:
    """RFC 8725 §2.1: a public value, or the secret, must never serve as an HMAC key here."""
    from limen.core.keys import SigningKey

    site.fake.client_secret = "the secret of the app, long enough for HS256"
    published = site.fake.key
    await site.browser().sign_in()
    site.fake.key = SigningKey(published.kid, "HS256", site.fake.client_secret.encode())
    assert refused(await site.browser().sign_in()) in ("invalid_token", "provider_unavailable")
    assert len(site.mini.heard(LoggedIn)) <= 1


async def test_userinfo_about_somebody_else_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenID Connect Core §5.3.2: token substitution."""
    site.fake.says_email_in = "userinfo"
    ann = site.browser()
    back = await ann.go()
    site.fake.claims = {"sub": "another"}
    assert refused(await ann.client.get(back)) == "invalid_token"


# --- a provider that does not do well


async def test_a_provider_that_is_down_is_no_error_of_ours(site: Site) -> None:
    site.fake.is_down = True
    assert refused(await site.browser().begin()) == "provider_unavailable"
    site.fake.is_down = False
    assert refused(await site.browser().begin()) == "provider_unavailable"  # and is left in peace for a moment
    assert site.fake.asked.count("/.well-known/openid-configuration") == 1


async def test_a_provider_that_goes_down_on_the_way_is_no_error_of_ours(site: Site) -> None:
    ann = site.browser()
    back = await ann.go()
    site.fake.is_down = True
    assert refused(await ann.client.get(back)) == "provider_unavailable"


class Saying(AsyncBaseTransport):
    """A provider whose metadata is good and that says one thing to everything else."""

    def __init__(self, fake: FakeProvider, answer: Callable[[Request], Response]) -> None:
        self._good = fake.transport
        self._answer = answer

    async def handle_async_request(self, request: Request) -> Response:
        if "well-known" in request.url.path:
            return await self._good.handle_async_request(request)
        answer = self._answer(request)
        stream = ByteStream(answer.content)
        return Response(answer.status_code, headers=answer.headers, stream=stream)


def fails(error: Exception) -> Callable[[Request], Response]:
    def fail(_: Request) -> Response:
        raise error

    return fail


def says(status: int = 200, **options: Any) -> Callable[[Request], Response]:
    return lambda _: Response(status, **options)


def squeezed(_: Request) -> Response:
    answer = Response(200, content=b"{}")
    answer.headers["content-encoding"] = "br"
    return answer


NONSENSE: dict[str, tuple[Callable[[Request], Response], str]] = {
    "unreachable": (fails(ConnectError("no")), "ConnectError"),
    "slow": (fails(ReadTimeout("no")), "ReadTimeout"),
    "a broken library": (fails(RuntimeError("no")), "RuntimeError"),
    "500": (says(500, text="<html>"), "answered 500"),
    "429": (says(429, text="{}"), "answered 429"),
    "redirect": (says(302, headers={"location": "http://169.254.169.254/"}), "MalformedJSON"),
    "a redirect with JSON": (says(302, json={}, headers={"location": "http://169.254.169.254/"}), "answered 302"),
    "garbage": (says(text="not json"), "MalformedJSON"),
    "a list": (says(json=[]), "MalformedJSON"),
    "empty": (says(text=""), "MalformedJSON"),
    "no token": (says(json={"token_type": "bearer"}), "no bearer token"),
    "token not text": (says(json={"access_token": 5, "token_type": "bearer"}), "no bearer token"),
    "another type": (says(json={"access_token": "a", "token_type": "mac"}), "no bearer token"),
    "twice": (says(text='{"access_token": "a", "access_token": "b"}'), "a member appears twice"),
    "too much": (says(text='{"a": "' + "x" * 70_000 + '"}'), "over 64 KB"),
    "compressed": (squeezed, "compressed"),
    "unknown client": (says(401, json={"error": "invalid_client"}), "check the client id"),
}


@pytest.mark.parametrize(("answer", "why"), NONSENSE.values(), ids=NONSENSE)
async def test_a_provider_that_answers_nonsense_is_no_error_of_ours(
    open_site: Any, fake: FakeProvider, answer: Callable[[Request], Response], why: str
) -> None:
    site = await open_site(transport=Saying(fake, answer))
    assert refused(await site.browser().sign_in()) == "provider_unavailable"
    (failed,) = site.mini.heard(LoginFailed)
    assert why in failed.reason


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"token_endpoint": "https://evil.example/token"},
        {"token_endpoint": "http://169.254.169.254/token"},
        {"jwks_uri": "https://provider.test:8443/jwks"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://provider.test@evil.example/authorize"},
        {"authorization_endpoint": None},
    ],
)
async def test_metadata_cannot_send_us_elsewhere(site: Site, metadata: dict[str, object]) -> None:
    site.fake.metadata = metadata
    assert refused(await site.browser().begin()) == "provider_unavailable"


async def test_a_foreign_userinfo_endpoint_is_never_asked(site: Site) -> None:
    site.fake.metadata = {"userinfo_endpoint": "http://169.254.169.254/latest"}
    site.fake.says_email_in = "userinfo"
    assert refused(await site.browser().sign_in()) == "email_missing"


async def test_tokens_of_unknown_keys_cost_one_look_in_half_a_minute(site: Site) -> None:
    await site.browser().sign_in()
    site.fake.key = replace(site.fake.key, kid="nobody's")
    published, site.fake.metadata = site.fake.asked.count("/jwks"), {}
    for n in range(5):
        token = site.fake.id_token(jti=str(n))
        await site.browser().client.post("/auth/oauth/fake/id-token", json={"id_token": token})
        site.fake.key = replace(site.fake.key, kid=f"nobody's {n}")
    assert site.fake.asked.count("/jwks") == published + 1


class NoMore:
    """A keeper whose budgets are used up."""

    async def take(self, action: str, *, client: Client, account: str | None) -> Attempt:
        raise TooManyRequests(action, retry_after=7)


async def test_whoever_asks_too_often_is_told_to_wait(site: Site) -> None:
    ann = site.browser()
    back = await ann.go()
    site.mini.auth.kernel.limits.keep_by(NoMore())
    problem(await ann.begin(), 429, "too_many_requests")
    assert refused(await ann.client.get(back)) == "too_many_requests"
    problem(await ann.client.post("/auth/oauth/exchange", json={"code": "x"}), 429, "too_many_requests")
    token = site.fake.id_token()
    problem(await ann.client.post("/auth/oauth/fake/id-token", json={"id_token": token}), 429, "too_many_requests")
