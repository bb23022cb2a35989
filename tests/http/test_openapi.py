"""OpenAPI says what the guards enforce, and Swagger UI's Authorize works."""

from typing import Annotated

import pytest
from fastapi import Depends, Security
from tests.features.mini_app import features_of

from limen import User
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

REFUSALS = {"401", "403", "429", "503"}


def routes(app, auth):
    @app.get("/open")
    async def open_route() -> str:
        return "open"

    @app.get("/me")
    async def me(user: Annotated[User, Depends(auth.current_user)]) -> str:
        return user.email

    @app.get("/optional")
    async def optional(user: Annotated[User | None, Depends(auth.optional_user)]) -> str:
        return "optional"

    @app.get("/write", dependencies=[Depends(auth.require("items:write"))])
    async def write(user: Annotated[User, Security(auth.current_user, scopes=["items:read"])]) -> str:
        return "write"


@pytest.fixture
async def mini(opened):
    return await opened(routes=routes, permissions={"items:read": "See items", "items:write": "Add items"})


@pytest.fixture
async def document(mini):
    answer = await mini.visitor().get("/openapi.json")
    assert answer.status_code == 200
    return answer.json()


def schemes_of(document, path, method="get"):
    return document["paths"][path][method].get("security")


async def test_every_scheme_that_a_route_accepts_is_an_alternative(document):
    names = set(document["components"]["securitySchemes"])
    assert {"OAuth2PasswordBearer", "SessionCookie"} <= names
    alternatives = schemes_of(document, "/me")
    assert all(len(alternative) == 1 for alternative in alternatives)
    assert {name for alternative in alternatives for name in alternative} == names


async def test_the_scopes_of_guards_and_of_security_are_listed_together(document):
    assert {"OAuth2PasswordBearer": ["items:read", "items:write"]} in schemes_of(document, "/write")
    assert {"OAuth2PasswordBearer": []} in schemes_of(document, "/me")


async def test_a_route_that_needs_nobody_says_so(document):
    assert not schemes_of(document, "/open")
    assert {} in schemes_of(document, "/optional")
    assert {} not in schemes_of(document, "/me")


async def test_every_guarded_route_documents_its_refusals(document):
    guarded = [
        (path, method, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if operation.get("security")
    ]
    assert len(guarded) > 8
    for path, method, operation in guarded:
        assert operation["responses"].keys() >= REFUSALS, (method, path)
        described = operation["responses"]["401"]["content"]
        assert described.keys() & {"application/problem+json", "application/json"}, (method, path)


async def test_every_reference_in_the_document_leads_somewhere(document):
    def references(value):
        if isinstance(value, dict):
            yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
            for each in value.values():
                yield from references(each)
        elif isinstance(value, list):
            for each in value:
                yield from references(each)

    found = set(references(document))
    assert "#/components/schemas/Problem" in found
    for reference in found:
        target = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


async def test_swaggers_authorize_gets_a_token_that_opens_what_it_says(mini, document):
    flow = document["components"]["securitySchemes"]["OAuth2PasswordBearer"]["flows"]["password"]
    assert {"items:read", "items:write"} <= flow["scopes"].keys()
    assert flow["scopes"]["items:read"] == "See items"
    await mini.account()
    visitor = mini.visitor()
    form = {
        "grant_type": "password",
        "username": "alice@example.com",
        "password": PASSWORD,
        "scope": "items:read items:write",
    }
    url = visitor.client.base_url.join(flow["tokenUrl"])
    answer = await visitor.client.post(url, data=form, headers={"Authorization": "Basic Og=="})
    assert answer.status_code == 200
    token = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await visitor.get("/write", headers=token)).status_code == 200


async def test_swaggers_page_is_served(mini):
    answer = await mini.visitor().get("/docs")
    assert answer.status_code == 200
    assert "swagger" in answer.text.lower()


async def test_the_token_url_follows_a_prefix(opened):
    mini = await opened(auth_prefix="/api/auth", users_prefix="/api/users")
    document = (await mini.visitor().get("/openapi.json")).json()
    flow = document["components"]["securitySchemes"]["OAuth2PasswordBearer"]["flows"]["password"]
    assert flow["tokenUrl"].endswith("api/auth/token")
    assert "/api/auth/token" in document["paths"]
    assert "/api/users/me" in document["paths"]


async def test_routes_that_come_after_install_are_described_too(opened):
    mini = await opened(features=features_of())

    @mini.app.get("/late", dependencies=[Depends(mini.auth.require("items:delete"))])
    async def late() -> str:
        return "late"

    document = (await mini.visitor().get("/openapi.json")).json()
    assert {"OAuth2PasswordBearer": ["items:delete"]} in schemes_of(document, "/late")
    assert (await mini.visitor().get("/late")).status_code == 401
