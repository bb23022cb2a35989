"""What looks for secrets in every test finds one wherever it is, or nobody would notice if it found none."""

import logging
import sqlite3
from contextlib import closing

import pytest
from tests.disclosure import MANY, Disclosure
from tests.features.mini_app import open_app

from limen.core.checked_token import CheckedToken
from limen.core.opaque import OpaqueToken

pytestmark = pytest.mark.anyio


@pytest.fixture
def found(nothing_disclosed: Disclosure):
    """What this test looks with; what it hid on purpose is not looked for again."""
    yield nothing_disclosed
    nothing_disclosed.begin()


def write(url: str, value: object) -> None:
    """Keep a value in a table of its own."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.partition("///")[2])) as connection, connection:
            connection.execute("CREATE TABLE kept (value)")
            connection.execute("INSERT INTO kept VALUES (?)", [value])
        return
    import psycopg

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (value bytea)")
        connection.execute("INSERT INTO kept VALUES (%s)", [value.encode() if isinstance(value, str) else value])


@pytest.mark.parametrize("others", [0, MANY])
@pytest.mark.parametrize("kept", [lambda secret: secret, lambda secret: b"\x00\x01" + secret.encode()])
def test_in_a_database(database_url, found, kept, others):
    token = [CheckedToken.mint("lmk_") for _ in range(1 + others)][others // 2]
    found.check_database(database_url)
    write(database_url, kept(token.secret))
    with pytest.raises(AssertionError, match="a key or client secret is in the database"):
        found.check_database(database_url)


def test_in_a_log_line_and_in_a_traceback(found):
    token = OpaqueToken.mint("lms_", id="x")
    found.check_said()
    logging.getLogger("limen.anything").info("hello %s", token.text)
    with pytest.raises(AssertionError, match="a session cookie is in the log"):
        found.check_said()
    found.said.clear()
    try:
        raise ValueError(token.secret)
    except ValueError:
        logging.getLogger("an.app").exception("it failed")
    with pytest.raises(AssertionError, match="a session cookie is in the log"):
        found.check_said()


async def test_whatever_a_day_hands_out_is_looked_for(database_url, found):
    async with open_app(database_url) as mini:
        alice = await mini.signed_in()
        await alice.client.post(
            "/auth/login?deliver=cookie", data={"username": "alice@example.com", "password": "x" * 20}
        )
        await alice.client.post(
            "/auth/login?deliver=cookie",
            data={"username": "alice@example.com", "password": "correct horse battery staple"},
        )
        kinds = set(found.secrets.values())
        assert kinds >= {"a password", "an access token", "a refresh token", "a session cookie"}
        assert alice.access_token.rpartition(".")[2] in found.secrets
        assert alice.refresh_token.rpartition(".")[2] in found.secrets
        assert alice.client.cookies["limen"].rpartition(".")[2] in found.secrets
        await alice.client.get("/users/me", headers={"Authorization": "Bearer a.b.c"})
    assert {place for place, _ in found.said} >= {"refusal", "events", "log"}
    found.check_database(database_url)
    found.check_said()
