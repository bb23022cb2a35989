"""Making an account. Nobody is signed in by it, so no carrier has a part in it."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.features.answers import named_fields, refused

from limen.events import Registered
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

USER = {"id", "email", "username", "is_active", "is_verified", "roles", "permissions", "created_at"}


async def test_who_registers_gets_the_account_and_the_default_roles(mini):
    answer = await mini.visitor().register("Alice@Example.com", username="Alice")
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body.keys() == USER
    assert (body["email"], body["username"]) == ("Alice@Example.com", "Alice")
    assert (body["is_active"], body["is_verified"]) == (True, False)
    assert (body["roles"], body["permissions"]) == (["member"], [])
    assert abs(datetime.fromisoformat(body["created_at"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert (await mini.visitor().login("alice@example.com")).status_code == 200


async def test_an_address_is_taken_in_every_spelling(mini):
    await mini.visitor().register("alice@bücher.example")
    for email in ("alice@bücher.example", "ALICE@BÜCHER.example", "alice@xn--bcher-kva.example"):
        refused(await mini.visitor().register(email), 409, "email_taken")


async def test_a_username_is_taken_in_every_spelling(mini):
    await mini.visitor().register("alice@example.com", username="Alice")
    for username in ("Alice", "alice", "ALICE"):
        refused(await mini.visitor().register("bob@example.com", username=username), 409, "username_taken")


async def test_which_name_is_taken_is_not_decided_by_how_it_is_spelt(mini):
    await mini.visitor().register("username_canonical@example.com", username="email_canonical")
    again = await mini.visitor().register("username_canonical@example.com")
    refused(again, 409, "email_taken")
    again = await mini.visitor().register("other@example.com", username="email_canonical")
    refused(again, 409, "username_taken")


async def test_what_is_no_address_is_refused(mini):
    visitor = mini.visitor()
    for email in (
        "",
        "alice",
        "@example.com",
        "alice@",
        "alice@@example.com",
        "a b@example.com",
        " alice@example.com",
        "alice@example.com\n",
        "alice\x00@example.com",
        "alice@exa mple.com",
        "\u00e4lice@example.com",  # a local part beyond ASCII: two eyes could read it as another's
        "\uff41lice@example.com",
        "alice@-example.com",
        "alice@example..com",
        ".alice@example.com",
        '"alice"@example.com',
        "alice@[127.0.0.1]",
        "Alice <alice@example.com>",
        f"{'a' * 65}@example.com",
        f"alice@{'a' * 250}.com",
    ):
        body = refused(await visitor.register(email), 422, "validation_error")
        assert named_fields(body) == {"email"}, email


async def test_what_is_no_username_is_refused(mini):
    visitor = mini.visitor()
    for username in ("", " ", "a b", "alice@example.com", "-alice", "alice-", "\u00e4lice", "a\x00b", "a" * 65, "a\n"):
        body = refused(await visitor.register(username=username), 422, "validation_error")
        assert named_fields(body) == {"username"}, username


async def test_a_weak_password_is_refused_with_its_reasons(mini):
    for password, reasons in (
        ("short", {"too_short", "common"}),
        ("", {"too_short"}),
        ("password123", {"common"}),
        ("alice@example.com", {"context"}),
        ("x" * 4097, {"too_long"}),
    ):
        answer = await mini.visitor().register(password=password)
        body = refused(answer, 422, "weak_password")
        assert {error["type"] for error in body["errors"]} == reasons
        assert named_fields(body) == {"password"}
        assert all(error["msg"] for error in body["errors"])


async def test_nobody_gives_themselves_what_the_body_does_not_have(mini):
    visitor = mini.visitor()
    for field, value in {
        "is_active": True,
        "is_verified": True,
        "is_superuser": True,
        "roles": ["admin"],
        "permissions": ["*"],
        "id": "00000000-0000-4000-8000-000000000000",
        "rights_epoch": 9,
        "email_canonical": "other@example.com",
        "created_at": "2020-01-01T00:00:00Z",
        "\u00e4": 1,
        "\x00": 1,
    }.items():
        body = refused(await visitor.register(**{field: value}), 422, "validation_error")
        assert named_fields(body) == {field}
    assert await mini.auth.kernel.users.find_by_identifier("alice@example.com") is None


async def test_a_body_that_is_not_what_was_asked_for_is_refused_without_quoting_it(mini):
    visitor = mini.visitor()
    for content in (
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"email": null, "password": null}',
        b'{"email": 1, "password": ["a secret"]}',
        b'{"email": {}, "password": {"a secret": 1}}',
        b'{"email": "\\ud800@example.com", "password": "a good long sentence"}',
        b'{"email": "alice@example.com", "password": "a good long \\udc00 sentence"}',
        b'{"email": "alice@example.com", "password": "a good long sentence", "\\ud800": 1}',
        b'{"email": NaN, "password": Infinity}',
        b'{"email": 1e999, "password": ' + b"9" * 5000 + b"}",
    ):
        answer = await visitor.post("/auth/register", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), (content, answer.text)
        refused(answer, answer.status_code, "validation_error" if answer.status_code == 422 else "invalid_request")
        assert "a secret" not in answer.text


async def test_a_body_that_cannot_be_read_is_refused(mini):
    visitor = mini.visitor()
    for content in (
        b"{",
        b"\xff",
        b'{"email": "\xff"}',
        b"{" * 30_000,
        b"[" * 30_000,
        b'{"a":' * 10_000,
        b"\x00",
        b"{}{}",
    ):
        answer = await visitor.post("/auth/register", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), answer.text
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_form_is_no_json(mini):
    answer = await mini.visitor().post("/auth/register", data={"email": "alice@example.com", "password": PASSWORD})
    refused(answer, 422, "validation_error")


async def test_a_registration_is_heard_of(mini):
    answer = await mini.visitor().register()
    (event,) = mini.heard(Registered)
    assert (event.subject, event.client.ip) == (answer.json()["id"], "203.0.113.7")


async def test_two_who_want_one_name_at_once_do_not_both_get_it(mini):
    import asyncio

    answers = await asyncio.gather(*(mini.visitor().register(username="alice") for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]


async def test_nothing_of_the_password_lies_in_the_database_but_its_argon2id_digest(mini):
    await mini.visitor().register()
    rows = [
        str(tuple(row)) for table in mini.auth.tables() for row in await mini.auth.kernel.database.read(table.select())
    ]
    assert not any(PASSWORD in row for row in rows)
    assert sum("$argon2id$" in row for row in rows) == 1
