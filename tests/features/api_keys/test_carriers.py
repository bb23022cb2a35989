"""One guard for all: header, bearer, cookie session; query and key cookie only where an app turns them on."""

import asyncio
import logging

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect
from tests.features.answers import refused
from tests.features.api_keys.conftest import by_bearer, by_header, make_key, routes
from tests.features.mini_app import features_of, settings_of

from limen import Accounts, ApiKeys, Auth, Services
from limen.testing import PASSWORD, create_tables

pytestmark = pytest.mark.anyio


async def test_two_explicit_credentials_are_refused(mini):
    alice, visitor = await mini.signed_in(), mini.visitor()
    made, other = await make_key(alice), await make_key(alice)
    for headers in (
        [*by_header(made["key"]).items(), *alice.credentials().items()],
        [*by_header(made["key"]).items(), *by_bearer(other["key"]).items()],
        [*by_header(made["key"]).items(), *by_header(other["key"]).items()],
        [*by_header(made["key"]).items(), *by_header(made["key"]).items()],
        [*by_bearer(made["key"]).items(), *by_bearer(other["key"]).items()],
    ):
        refused(await visitor.client.get("/who", headers=headers), 400, "invalid_request")


async def test_an_explicit_key_goes_before_the_session_cookie(opened):
    mini = await opened(features=features_of(ApiKeys(), Services()), routes=routes)
    alice, bob = await mini.signed_in(), mini.visitor()
    made = await make_key(alice)
    await mini.account("bob@example.com")
    answer = await bob.client.post(
        "/auth/login?deliver=cookie", data={"username": "bob@example.com", "password": PASSWORD}
    )
    assert answer.status_code == 200
    who = (await bob.client.get("/who", headers=by_header(made["key"]))).json()
    assert (who["sub"], who["credential"]) == (alice.account.subject, "api_key")
    assert (await bob.client.get("/who")).json()["credential"] == "session_cookie"


async def test_query_and_cookie_are_not_looked_at_by_default(mini):
    alice, visitor = await mini.signed_in(), mini.visitor()
    made = await make_key(alice)
    refused(await visitor.client.get(f"/who?api_key={made['key']}"), 401, "not_authenticated")
    refused(await visitor.client.get("/who", headers={"Cookie": f"api_key={made['key']}"}), 401, "not_authenticated")
    refused(await visitor.client.get("/who", headers={"Cookie": f"limen={made['key']}"}), 401, "invalid_token")


async def test_a_key_in_the_query_where_it_is_turned_on(open_keys):
    mini = await open_keys(unsafe_query=True)
    alice, visitor = await mini.signed_in(), mini.visitor()
    made, other = await make_key(alice), await make_key(alice)
    for _ in range(2):
        answer = await visitor.client.get(f"/who?page=2&api_key={made['key']}")
        assert answer.json()["credential_id"] == made["id"]
    assert (await visitor.client.post(f"/items?api_key={made['key']}")).status_code == 200
    refused(await visitor.client.get(f"/who?api_key={made['key'][:-1]}"), 401, "invalid_token")
    refused(await visitor.client.get("/who?api_key="), 401, "invalid_token")
    refused(await visitor.client.get(f"/who?api_key={made['key']}&api_key={other['key']}"), 400, "invalid_request")
    for headers in (by_header(other["key"]), by_bearer(other["key"]), alice.credentials()):
        await visitor.client.get("/who", headers=headers)  # remembered, and still two credentials
        refused(await visitor.client.get(f"/who?api_key={made['key']}", headers=headers), 400, "invalid_request")
    assert (await visitor.client.get("/who?my_api_key_is=1", headers=by_header(other["key"]))).status_code == 200


async def test_a_key_in_a_cookie_where_it_is_turned_on(open_keys):
    mini = await open_keys(unsafe_cookie=True)
    alice, visitor = await mini.signed_in(), mini.visitor()
    made, other = await make_key(alice), await make_key(alice)
    cookie = {"Cookie": f"theme=dark; api_key={made['key']}"}
    for _ in range(2):
        assert (await visitor.client.get("/who", headers=cookie)).json()["credential_id"] == made["id"]
    refused(await visitor.client.post("/items", headers=cookie), 403, "cross_origin")
    refused(
        await visitor.client.post("/items", headers={**cookie, "Origin": "https://evil.example"}), 403, "cross_origin"
    )
    same = {**cookie, "Origin": "http://localhost:8000"}
    assert (await visitor.client.post("/items", headers=same)).status_code == 200
    explicit = await visitor.client.get("/who", headers={**cookie, **by_header(other["key"])})
    assert explicit.json()["credential_id"] == other["id"]
    twice = {"Cookie": f"api_key={made['key']}; api_key={other['key']}"}
    refused(await visitor.client.get("/who", headers=twice), 400, "invalid_request")
    both = {"Cookie": f"api_key={made['key']}; limen=lms_x.y"}
    refused(await visitor.client.get("/who", headers=both), 400, "invalid_request")


async def test_a_session_s_cookie_value_is_no_key_cookie(open_keys):
    mini = await open_keys(unsafe_cookie=True)
    await mini.account()
    visitor = mini.visitor()
    await visitor.client.post(
        "/auth/login?deliver=cookie", data={"username": "alice@example.com", "password": PASSWORD}
    )
    session = visitor.client.cookies["limen"]
    answer = await mini.visitor().client.get("/who", headers={"Cookie": f"api_key={session}"})
    refused(answer, 401, "invalid_token")


async def test_what_is_unsafe_is_warned_of_at_start(open_keys, caplog):
    with caplog.at_level(logging.WARNING, "limen"):
        await open_keys()
    assert not [each for each in caplog.messages if "unsafe" in each]
    with caplog.at_level(logging.WARNING, "limen"):
        await open_keys(unsafe_query=True, unsafe_cookie=True)
    assert [each[:10] for each in caplog.messages if "unsafe" in each] == ["limen.W020", "limen.W021"]


async def test_openapi_lists_every_way_as_an_alternative(open_keys):
    plain = (await open_keys()).app.openapi()
    names = [next(iter(each)) for each in plain["paths"]["/items"]["get"]["security"]]
    assert names == ["OAuth2PasswordBearer", "SessionCookie", "ApiKeyHeader", "ApiKeyBearer"]
    assert plain["paths"]["/items"]["get"]["security"][2] == {"ApiKeyHeader": ["items:read"]}
    assert plain["components"]["securitySchemes"]["ApiKeyHeader"] == {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
    }


async def test_openapi_lists_the_unsafe_ways_where_they_are_on(open_keys):
    document = (await open_keys(unsafe_query=True, unsafe_cookie=True)).app.openapi()
    schemes = document["components"]["securitySchemes"]
    assert (schemes["ApiKeyQuery"]["in"], schemes["ApiKeyQuery"]["name"]) == ("query", "api_key")
    assert (schemes["ApiKeyCookie"]["in"], schemes["ApiKeyCookie"]["name"]) == ("cookie", "api_key")


def test_websockets_take_keys_and_close_when_one_is_revoked(tmp_path):
    from fastapi import FastAPI

    auth = Auth(
        settings=settings_of(f"sqlite+aiosqlite:///{tmp_path}/ws.db"), features=features_of(ApiKeys(), Services())
    )
    app = FastAPI()
    routes(app, auth)
    auth.install(app)
    asyncio.run(prepare(auth))
    with TestClient(app, base_url="http://localhost:8000") as client:
        portal = client.portal
        assert portal is not None
        alice = portal.call(register, auth)
        new, other = portal.call(auth[ApiKeys].create, alice), portal.call(auth[ApiKeys].create, alice)
        with client.websocket_connect("/ws", headers=by_header(other.text)) as still_open:
            with client.websocket_connect("/ws", headers=by_bearer(new.text)) as websocket:
                assert websocket.receive_json() == {"sub": alice.subject}
                portal.call(auth[ApiKeys].revoke, new.key.id)
                with pytest.raises(WebSocketDisconnect) as closed:
                    websocket.receive_json()
            assert closed.value.code == 1008
            assert still_open.receive_json() == {"sub": alice.subject}
        for headers in (by_header(new.text), by_header("lmk_x"), {}):
            with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/ws", headers=headers):
                pass
            assert denied.value.status_code == 401


async def prepare(auth):
    await create_tables(auth)
    await auth.kernel.database.dispose()


async def register(auth):
    return await auth[Accounts].register(email="alice@example.com", password=PASSWORD)
