"""A captcha is asked when half of a budget is used up; a double of the three services' one interface judges it."""

from urllib.parse import parse_qs

import httpx2
import pytest
from tests.features.answers import oauth_refused, refused
from tests.features.limits.conftest import WRONG, visitor_from
from tests.features.mailing import mailing_features
from tests.features.mini_app import open_app

from limen import Passwords
from limen.core.client import Client
from limen.features import MagicLinks
from limen.features.limits import Limits, LimitSettings, SiteVerify
from limen.features.limits.steps import URLS
from limen.testing import PASSWORD, outbox

pytestmark = pytest.mark.anyio

SECRET, SITE_KEY = "the service's secret", "a public site key"


@pytest.fixture
def place():
    return "sqlite"


class Service:
    """Answers as the documentation of siteverify says: each response is good once."""

    def __init__(self):
        self.good = {f"good {number}" for number in range(10)}
        self.asked = []
        self.status = 200
        self.hostname = "localhost"

    async def __call__(self, scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        assert (scope["method"], scope["path"]) == ("POST", "/turnstile/v0/siteverify")
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        self.asked.append(form)
        answer = httpx2.Response(self.status, json=self._judge(form))
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})

    def _judge(self, form):
        if form["secret"] != SECRET:
            return {"success": False, "error-codes": ["invalid-input-secret"]}
        if form["response"] not in self.good:
            return {"success": False, "error-codes": ["invalid-input-response"]}
        self.good.remove(form["response"])
        stamp = "2026-11-25T12:00:00.000Z"
        return {"success": True, "challenge_ts": stamp, "hostname": self.hostname, "error-codes": [], "action": "login"}


@pytest.fixture
def service():
    return Service()


def site_verify(service, **options):
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(service))
    return SiteVerify("turnstile", **{"site_key": SITE_KEY, "secret": SECRET, "client": client, **options})


@pytest.fixture
async def mini(opened, service):
    app = await opened(challenge=site_verify(service))
    await app.account()
    return app


async def login(browser, password=WRONG, **form):
    data = {"username": "alice@example.com", "password": password, **form}
    return await browser.client.post("/auth/login", data=data)


def asked(answer):
    assert answer.status_code == 403, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["code"] == "challenge_required"
    assert (body["challenge"], body["site_key"]) == ("turnstile", SITE_KEY)
    return body


async def test_it_is_asked_when_half_is_used_up_and_a_good_answer_goes_on(mini, service):
    browser = visitor_from(mini, "198.51.100.1")
    for _ in range(5):
        refused(await login(browser), 401, "invalid_credentials")
    asked(await login(browser, PASSWORD))
    assert service.asked == []
    assert (await login(browser, PASSWORD, challenge="good 1")).status_code == 200
    assert service.asked == [{"secret": SECRET, "response": "good 1", "remoteip": "198.51.100.1"}]
    asked(await login(browser, PASSWORD, challenge="good 1"))


async def test_a_missing_answer_costs_no_try_and_no_hash_and_a_wrong_one_costs_a_try(mini, service):
    browser, hashed = visitor_from(mini, "198.51.100.1"), []
    hasher = mini.auth[Passwords].hasher
    verify = hasher.verify

    async def seen(password, digest):
        hashed.append(password)
        return await verify(password, digest)

    hasher.verify = seen
    for _ in range(5):
        await login(browser)
    for _ in range(20):
        asked(await login(browser))
    for number in range(5):
        asked(await login(browser, challenge=f"wrong {number}"))
    refused(await login(browser, challenge="good 1"), 429, "too_many_requests")
    assert len(hashed) == 5


async def test_the_owner_answers_wherever_it_is_asked(database_url, service):
    """A stranger's guesses make the captcha appear: the owner must be able to answer it, not only at sign-in."""
    asks = ["login", "forgot", "verify", "magic_link"]
    always = LimitSettings(_env_file=None, limits_challenge="always")
    limits = Limits(challenge=site_verify(service), challenged=asks, settings=always)
    features = mailing_features(MagicLinks(), limits)
    async with open_app(database_url, features=features, settings={"email_verification": "optional"}) as mini:
        await mini.account()
        box = outbox(mini.auth)
        owner, answers = mini.visitor(), iter(range(9))

        async def answered(method, path, **body):
            asked(await owner.request(method, path, json=body))
            return (await owner.request(method, path, json={**body, "challenge": f"good {next(answers)}"})).status_code

        owner.keep(await login(owner, PASSWORD, challenge="good 9"))
        assert await answered("POST", "/auth/email/verification", email="alice@example.com") == 202
        assert await answered("POST", "/auth/password/forgot", email="alice@example.com") == 202
        assert await answered("POST", "/auth/magic-link", email="alice@example.com") == 202
        token = (await box.latest(template="verify_email")).token
        assert (await owner.post("/auth/email/verify", json={"token": token})).status_code == 200, "a token is enough"
        fresh = {"current_password": PASSWORD, "new_password": "some other long sentence"}
        assert await answered("POST", "/auth/password/change", **fresh) == 204
        change = {"new_email": "alice@new.example", "password": "some other long sentence"}
        assert await answered("POST", "/auth/email/change", **change) == 202
        assert await answered("DELETE", "/users/me", password="some other long sentence") == 204


async def test_an_account_that_there_is_not_is_asked_alike(mini):
    browser = visitor_from(mini, "198.51.100.1")
    for _ in range(5):
        refused(
            await browser.client.post("/auth/login", data={"username": "nobody", "password": WRONG}),
            401,
            "invalid_credentials",
        )
    asked(await browser.client.post("/auth/login", data={"username": "nobody", "password": WRONG}))


async def test_the_password_grant_asks_in_oauths_words(mini):
    client = visitor_from(mini, "198.51.100.1").client
    form = {"grant_type": "password", "username": "alice@example.com", "password": WRONG}
    for _ in range(5):
        await client.post("/auth/token", data=form)
    body = oauth_refused(await client.post("/auth/token", data=form), 400, "invalid_request")
    assert body["challenge"] == "turnstile"
    form = {**form, "password": PASSWORD, "challenge": "good 1"}
    assert (await client.post("/auth/token", data=form)).status_code == 200


async def test_registration_can_ask_each_time(opened, service):
    mini = await opened(challenge=site_verify(service), limits_challenge="always")
    browser = visitor_from(mini, "198.51.100.1")
    asked(await browser.register())
    assert (await browser.register(challenge="good 1")).status_code == 201
    asked(await login(browser, PASSWORD))
    assert (await mini.auth[Passwords].login("alice@example.com", PASSWORD)).body, "a script is not asked"


async def test_an_outage_of_the_service_does_not_lock_everybody_out(mini, service, caplog):
    browser = visitor_from(mini, "198.51.100.1")
    for _ in range(5):
        await login(browser)
    service.status = 500
    assert (await login(browser, PASSWORD, challenge="anything")).status_code == 200
    assert "gives no answer" in caplog.text
    assert SECRET not in caplog.text


async def test_an_answer_for_another_site_is_none(service):
    challenge = site_verify(service, hostnames=("localhost",))
    assert await challenge.verify("good 1", Client())
    service.hostname = "evil.example"
    assert not await challenge.verify("good 2", Client())


async def test_a_wrong_secret_is_the_operators_mistake_and_said(service, caplog):
    assert await site_verify(service, secret="another").verify("good 1", Client())
    assert "invalid-input-secret" in caplog.text


@pytest.mark.parametrize("response", ["", "x" * 5000])
async def test_what_cannot_be_an_answer_is_not_sent(service, response):
    assert not await site_verify(service).verify(response, Client())
    assert service.asked == []


def test_the_three_services_are_known_by_name():
    for name in URLS:
        assert SiteVerify(name, site_key=SITE_KEY, secret=SECRET).name == name
    with pytest.raises(ValueError, match="turnstile"):
        SiteVerify("another", site_key=SITE_KEY, secret=SECRET)
