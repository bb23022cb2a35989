"""No secret that was ever handed out is in the database, the logs, the events, an error or a URL that limen makes."""

import io
import logging

import pytest
from tests.features.answers import refused
from tests.features.api_keys.conftest import by_bearer, by_header, everything_in, routes
from tests.features.mini_app import features_of

from limen import ApiKeys, Services
from limen.core.checked_token import CheckedToken
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio


@pytest.fixture
async def heard(database_url, tmp_path):
    """Whatever any logger says at any level while the test runs."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s %(args)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    quiet = [logging.getLogger(name) for name in ("aiosqlite", "sqlalchemy.pool", "asyncio", "psycopg")]
    before = [each.level for each in quiet]
    for each in quiet:  # drivers that log their parameters at DEBUG are the operator's choice, not limen's
        each.setLevel(logging.WARNING)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)
    for each, was in zip(quiet, before, strict=True):
        each.setLevel(was)


async def test_every_issued_secret_is_nowhere(opened, heard):
    mini = await opened(features=features_of(ApiKeys(unsafe_query=True), Services()), routes=routes)
    issued, answers = [], []
    visitor = mini.visitor()

    async def call(browser, method, path, **options):
        answer = await browser.request(method, path, **options)
        answers.append(answer)
        return answer

    admin = await mini.signed_in("root@example.com", roles=["admin"])
    issued += [admin.access_token, admin.refresh_token]
    made = (await call(admin, "POST", "/auth/api-keys", json={"name": "one", "rate_limit": "3/hour"})).json()
    issued.append(made["key"])
    rotated = (await call(admin, "POST", f"/auth/api-keys/{made['id']}/rotate", json={"overlap_seconds": 5})).json()
    issued.append(rotated["key"])
    service = (await call(admin, "POST", "/auth/services", json={"name": "bot"})).json()["id"]
    secret = (await call(admin, "POST", f"/auth/services/{service}/secrets", json={})).json()["client_secret"]
    issued.append(secret)
    robots = (await call(admin, "POST", f"/users/{service}/api-keys", json={"name": "bot's"})).json()["key"]
    issued.append(robots)
    for key in (made["key"], rotated["key"], robots):
        for headers in (by_header(key), by_bearer(key)):
            await call(visitor, "GET", "/who", headers=headers)
            await call(visitor, "GET", "/nowhere", headers=headers)
            await call(visitor, "POST", "/auth/api-keys", json={"name": "x"}, headers=headers)
        await call(visitor, "GET", f"/who?api_key={key}")
        await call(visitor, "GET", "/who", headers={**by_header(key), **by_bearer(key)})
        refused(await call(visitor, "GET", "/who", headers=by_header(key[:-1])), 401, "invalid_token")
        token = CheckedToken.parse(key, prefix="lmk_")
        await call(visitor, "GET", "/who", headers=by_header(CheckedToken("lmk_", token.id, "0" * 32).text))
        await call(visitor, "POST", "/auth/revoke", data={"token": key})
        await call(admin, "POST", "/auth/introspect", data={"token": key})
        await call(visitor, "POST", "/auth/login", data={"username": key, "password": PASSWORD})
        await call(visitor, "POST", "/auth/refresh", json={"refresh_token": key})
    for form in ({}, {"client_secret": secret}, {"scope": secret}, {"resource": secret}):
        answer = await visitor.client.post(
            "/auth/token", data={"grant_type": "client_credentials", **form}, auth=(service, secret)
        )
        answers.append(answer)
        if answer.status_code == 200:
            issued.append(answer.json()["access_token"])
    await visitor.client.post("/auth/token", data={"grant_type": "client_credentials"}, auth=("nobody", secret))
    await call(admin, "GET", "/auth/api-keys")
    await mini.auth[ApiKeys].report_leak(f"found: {robots}")
    await mini.auth.kernel.last_seen.write()

    hidden = {piece for text_ in issued for piece in (text_, text_.rpartition("_")[2][16:48], text_.rpartition(".")[2])}
    hidden = {piece for piece in hidden if len(piece) >= 20}
    assert len(issued) >= 7
    places = {
        "database": await everything_in(mini),
        "log": heard.getvalue(),
        "events": repr(mini.events),
        "refusals": "\n".join(answer.text for answer in answers if answer.status_code >= 300),
        "headers": "\n".join(str(answer.headers) for answer in answers),
        "lists": answers[-1].text if answers[-1].status_code == 200 else "",
    }
    assert "unknown API key" in places["log"], "the log was listened to"
    mine = "\n".join(line for line in places["log"].splitlines() if " httpx2 " not in line)  # the client's own URLs
    for piece in hidden:
        for name, content in {**places, "log": mine}.items():
            assert piece not in content, f"a secret is in the {name}"


async def test_secrets_print_as_nothing(opened):
    mini = await opened(features=features_of(ApiKeys(), Services()), routes=routes)
    account = await mini.account()
    new = await mini.auth[ApiKeys].create(account)
    bot = await mini.auth[Services].create("bot")
    secret = await mini.auth[Services].add_secret(bot)
    for thing in (new, secret, new.key, secret.credential, mini.auth[ApiKeys], mini.auth[Services]):
        for piece in (new.text[20:52], secret.text[20:52], new.key.secret_digest.hex()):
            assert piece not in repr(thing)
