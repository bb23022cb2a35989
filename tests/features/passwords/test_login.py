"""Signing in with an e-mail address or username and a password.

How a form is read does not depend on the carrier, and an access token has no like among cookies: these run once.
"""

import jwt as pyjwt
import pytest
from sqlalchemy import select, update
from tests.features.answers import NOTHING_PRESENTED, named_fields, refused
from tests.features.mini_app import SECRET, both_carriers

from limen import Accounts, Passwords
from limen.events import LoggedIn, LoginFailed
from limen.features.passwords.tables import password_table
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_a_login_answers_a_pair_of_tokens_that_nobody_stores(mini):
    await mini.account()
    answer = await mini.visitor().login()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body.keys() == {"access_token", "refresh_token", "token_type", "expires_in", "scope", "status"}
    assert (body["token_type"], body["expires_in"], body["status"]) == ("bearer", 900, "complete")
    assert body["scope"] == "items:read items:write"
    assert body["refresh_token"].startswith("lmr_")


async def test_the_access_token_is_what_rfc_9068_says(mini):
    alice = await mini.signed_in()
    header = pyjwt.get_unverified_header(alice.access_token)
    assert (header["typ"], header["alg"]) == ("at+jwt", "HS256")
    assert header["kid"]
    claims = pyjwt.decode(alice.access_token, SECRET, ["HS256"], audience="http://localhost:8000/auth")
    assert claims["iss"] == "http://localhost:8000/auth"
    assert claims["sub"] == alice.account.subject
    assert claims["exp"] - claims["iat"] == 900
    assert claims["scope"] == "items:read items:write"
    assert claims["roles"] == ["member"]
    assert claims["amr"] == ["pwd"]
    assert abs(claims["auth_time"] - claims["iat"]) <= 1
    assert claims["jti"]
    assert claims["sid"]


@both_carriers
async def test_one_person_signs_in_under_every_spelling_of_a_name(mini):
    await mini.account("Alice.Smith@Bücher.example", username="ASmith")
    for typed in (
        "Alice.Smith@BÜCHER.example",
        "alice.smith@bücher.example",
        "alice.smith@xn--bcher-kva.example",
        "ASmith",
        "asmith",
        " alice.smith@bücher.example ",
        "\tasmith\n",
    ):
        assert (await mini.visitor().login(typed)).status_code == 200, typed


@both_carriers
async def test_a_look_alike_of_a_name_is_somebody_else(mini):
    await mini.account("alice@example.com", username="alice")
    for typed in ("\u00e1lice@example.com", "\uff41lice@example.com", "alice@ex\u0430mple.com", "al\u0131ce"):
        refused(await mini.visitor().login(typed), 401, "invalid_credentials")


@both_carriers
async def test_every_failing_login_answers_the_same(mini):
    await mini.account()
    disabled = await mini.account("disabled@example.com")
    await mini.auth[Accounts].set_active(disabled.id, False)
    first = await mini.visitor().login("alice@example.com", "wrong")
    assert refused(first, 401, "invalid_credentials")["detail"] == "Incorrect email or password"
    assert first.headers["www-authenticate"] == NOTHING_PRESENTED
    tries = [
        ("nobody@example.com", PASSWORD),
        ("nobody", PASSWORD),
        ("disabled@example.com", PASSWORD),
        ("disabled@example.com", "wrong"),
        ("alice@example.com", ""),
        ("alice@example.com", " "),
        ("alice@example.com", "\x00"),
        ("alice@example.com", PASSWORD + "\x00"),
        ("alice@example.com", "p" * 4097),
        ("alice@example.com", "ü" * 2049),
        ("", PASSWORD),
        ("", ""),
        ("\x00", "\x00"),
        ("alice@example.com\x00", PASSWORD),
        ("@", PASSWORD),
        ("a@", PASSWORD),
        ("not an address@example.com", PASSWORD),
        ("ünicode@example.com", PASSWORD),
        ("a" * 5000 + "@example.com", PASSWORD),
        ("'; DROP TABLE limen_users; --", PASSWORD),
    ]
    for username, password in tries:
        answer = await mini.visitor().login(username, password)
        assert (answer.status_code, answer.content) == (401, first.content), (username, password)
        assert answer.headers == first.headers, (username, password)
    assert (await mini.visitor().login()).status_code == 200


@both_carriers
async def test_an_account_without_a_password_is_refused_like_any_other(mini):
    account = await mini.account()
    table = password_table(mini.auth.kernel.tables)
    await mini.auth.kernel.database.write(table.delete().where(table.c.user_id == account.id))
    refused(await mini.visitor().login(), 401, "invalid_credentials")


@both_carriers
async def test_composed_and_decomposed_letters_are_one_password(mini):
    await mini.auth[Accounts].register(email="zoe@example.com", password="café crème brûlée")
    assert (
        await mini.visitor().login("zoe@example.com", "cafe\u0301 cre\u0300me bru\u0302le\u0301e")
    ).status_code == 200


@both_carriers
async def test_a_password_of_4_kb_signs_in(mini):
    longest = "0123456789abcdef" * 256
    assert (await mini.visitor().register(password=longest)).status_code == 201
    assert (await mini.visitor().login(password=longest)).status_code == 200
    refused(await mini.visitor().login(password=longest + "x"), 401, "invalid_credentials")


@both_carriers
async def test_a_bcrypt_digest_is_replaced_when_its_owner_signs_in(mini):
    import bcrypt

    account = await mini.account()
    table, database = password_table(mini.auth.kernel.tables), mini.auth.kernel.database
    old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    await database.write(update(table).values(digest=old).where(table.c.user_id == account.id))
    refused(await mini.visitor().login(password="wrong"), 401, "invalid_credentials")
    assert (await mini.visitor().login()).status_code == 200
    (row,) = await database.read(select(table.c.digest))
    assert row.digest.startswith("$argon2id$")
    assert (await mini.visitor().login()).status_code == 200


# --- the form


@pytest.mark.parametrize("missing", ["username", "password"])
async def test_a_form_without_a_field_says_which(mini, missing):
    form = {"username": "alice", "password": PASSWORD}
    del form[missing]
    body = refused(await mini.visitor().post("/auth/login", data=form), 422, "validation_error")
    assert named_fields(body) == {missing}


async def test_a_form_that_cannot_be_read_is_refused(mini):
    visitor = mini.visitor()
    for body in (
        b"username=%ff&password=x",
        b"username=\xff&password=x",
        b"username=%ED%A0%80&password=x",  # a lone surrogate
        b"username=a&password=%zz",
        b"username=a&password=%",
        b"username=a&username=b&password=x",
        b"username=a&password=x&password=",
        b"&".join(b"f%d=" % n for n in range(40)),
    ):
        refused(await visitor.post("/auth/login", content=body, headers=FORM), 400, "invalid_request")


async def test_fields_that_oauth_clients_add_are_ignored(mini):
    await mini.account()
    form = {"username": "alice@example.com", "password": PASSWORD, "grant_type": "password", "client_id": "", "x": "y"}
    assert (await mini.visitor().post("/auth/login", data=form)).status_code == 200


async def test_a_login_that_is_no_form_is_another_media_type(mini):
    visitor, body = mini.visitor(), f"username=alice&password={PASSWORD}".encode()
    refused(await visitor.post("/auth/login", content=body), 415, "unsupported_media_type")
    for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x", "", "x"):
        answer = await visitor.post("/auth/login", content=body, headers={"Content-Type": kind})
        refused(answer, 415, "unsupported_media_type")


async def test_parameters_and_case_of_the_media_type_do_not_matter(mini):
    headers = {"Content-Type": "Application/X-WWW-Form-Urlencoded; charset=utf-8"}
    answer = await mini.visitor().post("/auth/login", content=b"username=a&password=b", headers=headers)
    refused(answer, 401, "invalid_credentials")


async def test_credentials_in_the_query_sign_nobody_in(mini):
    await mini.account()
    answer = await mini.visitor().post(f"/auth/login?username=alice@example.com&password={PASSWORD}", data={"x": "y"})
    refused(answer, 422, "validation_error")


async def test_a_delivery_that_nothing_brings_is_refused(mini):
    await mini.account()
    form = {"username": "alice@example.com", "password": PASSWORD}
    refused(await mini.visitor().post("/auth/login?deliver=pigeon", data=form), 400, "invalid_request")


# --- what is heard of it


@both_carriers
async def test_a_login_is_heard_of_with_its_session_and_client(mini):
    account = await mini.account()
    await mini.visitor(**{"User-Agent": "a browser"}).login()
    (event,) = mini.heard(LoggedIn)
    assert (event.subject, event.amr) == (account.subject, ("pwd",))
    assert (event.client.ip, event.client.user_agent) == ("203.0.113.7", "a browser")
    assert event.session_id


@both_carriers
async def test_a_failed_login_is_heard_of_with_its_reason_and_without_the_password(mini):
    account = await mini.account()
    await mini.visitor().login(password="not the password")
    await mini.visitor().login("nobody@example.com")
    wrong, unknown = mini.heard(LoginFailed)
    assert (wrong.subject, wrong.reason) == (account.subject, "wrong password")
    assert (unknown.subject, unknown.identifier) == (None, "nobody@example.com")
    assert "not the password" not in repr(wrong)


@both_carriers
async def test_listeners_that_fail_change_nothing_and_the_others_still_hear(opened, caplog):
    def fails(event):
        raise RuntimeError("the listener is broken")

    async def fails_later(event):
        raise RuntimeError("this one too")

    mini = await opened(listeners=[fails, fails_later])
    alice = await mini.signed_in()
    assert (await alice.me()).status_code == 200
    assert mini.heard(LoggedIn)
    assert "a listener failed on LoggedIn" in caplog.text


async def test_the_feature_signs_in_outside_a_request_as_well(mini):
    account = await mini.account()
    outcome = await mini.auth[Passwords].login("alice@example.com", PASSWORD)
    answer = await mini.visitor().get("/users/me", headers={"Authorization": f"Bearer {outcome.body['access_token']}"})
    assert answer.json()["id"] == account.subject
