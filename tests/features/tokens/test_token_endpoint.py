"""POST /auth/token speaks RFC 6749: §5.1 when all is well, §5.2 when not."""

import pytest
from tests.features.answers import oauth_refused

from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

BASIC_NOBODY = "Basic Og=="  # what Swagger UI sends for "no client": an empty name and an empty secret


def password_grant(**changes):
    return {"grant_type": "password", "username": "alice@example.com", "password": PASSWORD, **changes}


async def token(mini, form, **headers):
    return await mini.visitor().post("/auth/token", data=form, headers=headers)


async def test_the_password_grant_answers_what_rfc_6749_says(mini):
    await mini.account()
    answer = await token(mini, password_grant(scope="items:read"))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    body = answer.json()
    assert body.keys() == {"access_token", "refresh_token", "token_type", "expires_in", "scope"}
    assert (body["token_type"].lower(), body["expires_in"], body["scope"]) == ("bearer", 900, "items:read")
    me = await mini.visitor().get("/users/me", headers={"Authorization": f"Bearer {body['access_token']}"})
    assert me.status_code == 200


async def test_swagger_signs_in_with_its_empty_basic_header(mini):
    await mini.account()
    assert (await token(mini, password_grant(), Authorization=BASIC_NOBODY)).status_code == 200
    assert (await token(mini, password_grant(client_id="", client_secret=""))).status_code == 200


async def test_a_client_that_names_itself_is_unknown(mini):
    await mini.account()
    for answer in (
        await token(mini, password_grant(client_id="web")),
        await token(mini, password_grant(client_secret="secret")),
        await token(mini, password_grant(), Authorization="Basic d2ViOnNlY3JldA=="),
        await token(mini, password_grant(), Authorization="Basic !"),
        await token(mini, {"grant_type": "refresh_token", "refresh_token": "x", "client_id": "web"}),
    ):
        oauth_refused(answer, 401, "invalid_client")
        assert answer.headers["www-authenticate"].startswith("Basic ")


async def test_every_bad_password_grant_is_the_same_invalid_grant(mini):
    await mini.account()
    first = await token(mini, password_grant(password="wrong"))
    assert oauth_refused(first, 400, "invalid_grant")["error_description"] == "Incorrect email or password"
    for change in ({"username": "nobody@example.com"}, {"password": ""}, {"username": ""}, {"password": "x" * 5000}):
        answer = await token(mini, password_grant(**change))
        assert (answer.status_code, answer.content) == (400, first.content)


async def test_a_grant_that_no_feature_brings_is_unsupported(mini):
    for grant_type in ("client_credentials", "authorization_code", "Password", "urn:x", "\x00"):
        oauth_refused(await token(mini, {"grant_type": grant_type}), 400, "unsupported_grant_type")


async def test_a_parameter_that_is_missing_twice_or_unreadable_is_an_invalid_request(mini):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    visitor = mini.visitor()
    for body in (
        b"",
        b"grant_type=",
        b"grant_type=password",
        b"grant_type=password&username=a",
        b"grant_type=refresh_token",
        b"grant_type=refresh_token&refresh_token=",
        b"grant_type=password&grant_type=password&username=a&password=b",
        b"grant_type=password&username=%ff&password=b",
    ):
        oauth_refused(await visitor.post("/auth/token", content=body, headers=form), 400, "invalid_request")
    oauth_refused(await visitor.post("/auth/token", json=password_grant()), 400, "invalid_request")
    oauth_refused(await visitor.post("/auth/token"), 400, "invalid_request")
