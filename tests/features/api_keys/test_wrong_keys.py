"""Every wrong key is the same 401 after the same work, and none is a 5xx."""

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.features.answers import INVALID_TOKEN, refused
from tests.features.api_keys.conftest import by_bearer, by_header, counted, make_key

from limen import Accounts, ApiKeys
from limen.core.checked_token import CheckedToken

pytestmark = pytest.mark.anyio


def reworked(key, *, id=None, secret=None, prefix="lmk_"):
    """A key of right form and checksum that says something else."""
    token = CheckedToken.parse(key, prefix="lmk_")
    return CheckedToken(prefix, id or token.id, secret or token.secret).text


@pytest.fixture
async def wrong_keys(mini):
    """By what is wrong with them; those of right form and checksum first."""
    alice, bob = await mini.signed_in(), await mini.signed_in("bob@example.com")
    good = await make_key(alice)
    revoked, expired = await make_key(alice), await make_key(alice, expires_in_days=1)
    disabled = await make_key(bob)
    await alice.delete(f"/auth/api-keys/{revoked['id']}")
    mini.clock.advance(days=1, minutes=1)
    await mini.auth[Accounts].set_active(bob.account.id, False)
    key = good["key"]
    formed = {
        "unknown id": reworked(key, id="0" * 16),
        "wrong secret": reworked(key, secret="0" * 32),
        "expired": expired["key"],
        "revoked": revoked["key"],
        "owner disabled": disabled["key"],
    }
    unformed = {
        "wrong checksum": key[:-1] + ("0" if key[-1] != "0" else "1"),
        "typo": key[:10] + ("0" if key[10] != "0" else "1") + key[11:],
        "other environment": reworked(key, prefix="lmk_test_"),
        "client secret": reworked(key, prefix="lmc_"),
        "cut": key[:-1],
        "grown": key + "0",
        "only prefix": "lmk_",
        "8 KB": "lmk_" + "a" * 8188,
        "over 8 KB": "lmk_" + "a" * 8189,
        "NUL": key[:20] + "\x00" + key[21:],
        "space": key[:20] + " " + key[21:],
        "empty": "",
    }
    return key, formed, unformed


async def test_every_wrong_key_is_the_same_answer(mini, wrong_keys):
    good, formed, unformed = wrong_keys
    visitor = mini.visitor()
    assert (await visitor.get("/who", headers=by_header(good))).status_code == 200
    bodies = set()
    for kind, key in {**formed, **unformed}.items():
        for headers in (by_header(key), by_bearer(key)):
            answer = await visitor.get("/who", headers=headers)
            refused(answer, 401, "invalid_token")
            assert answer.headers["www-authenticate"] == INVALID_TOKEN, kind
            bodies.add(answer.content)
    for raw in ("ключ".encode(), b"\xff\xfe", "lmk_ä".encode("latin-1"), b"lmk_\x80" * 9):
        answer = await visitor.client.get("/who", headers=[(b"X-API-Key", raw)])
        refused(answer, 401, "invalid_token")
        bodies.add(answer.content)
    assert len(bodies) == 1


async def test_a_key_of_right_form_costs_one_read_and_one_of_wrong_form_none(mini, wrong_keys):
    _, formed, unformed = wrong_keys
    visitor = mini.visitor()
    reads = set()
    for key in formed.values():
        with counted(mini) as statements:
            await visitor.get("/who", headers=by_header(key))
        (statement,) = statements
        reads.add(statement)
    assert len(reads) == 1, "the same statement, whatever is wrong"
    with counted(mini) as statements:
        for key in unformed.values():
            await visitor.get("/who", headers=by_header(key))
    assert statements == []


async def test_a_secret_is_always_digested_and_compared(mini, wrong_keys, monkeypatch):
    _, formed, _ = wrong_keys
    compared = []

    def noted(secret, expected):
        compared.append(len(secret))
        return hashlib.sha256(secret.encode()).digest() == expected

    monkeypatch.setattr("limen.features.api_keys.service.matches", noted)
    visitor = mini.visitor()
    for key in formed.values():
        await visitor.get("/who", headers=by_header(key))
    assert compared == [32] * len(formed)


async def test_a_wrong_key_is_refused_on_an_optional_route_too(opened):
    from typing import Annotated

    from fastapi import Depends
    from tests.features.mini_app import features_of

    def routes(app, auth):
        @app.get("/maybe")
        async def maybe(user: Annotated[object, Depends(auth.optional_user)]) -> bool:
            return user is not None

    mini = await opened(features=features_of(ApiKeys()), routes=routes)
    alice, visitor = await mini.signed_in(), mini.visitor()
    made = await make_key(alice)
    assert (await visitor.get("/maybe")).json() is False
    assert (await visitor.get("/maybe", headers=by_header(made["key"]))).json() is True
    refused(await visitor.get("/maybe", headers=by_header(made["key"][:-1])), 401, "invalid_token")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=200) | st.text(max_size=80).map(lambda text: b"lmk_" + text.encode()))
def test_no_bytes_are_a_server_error(raw):
    from limen.errors import InvalidCredential
    from limen.http.credentials import read_credential

    for name in (b"x-api-key", b"authorization"):
        value = raw if name == b"x-api-key" else b"Bearer " + raw
        try:
            presented = read_credential([(name, value)], cookie_name=None)
        except InvalidCredential:
            continue
        assert presented is not None
        CheckedToken.parse(presented.value, prefix="lmk_")
