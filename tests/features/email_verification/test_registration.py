"""Proving the address that one registers with."""

import pytest
from pydantic import BaseModel
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tests.features.answers import refused
from tests.features.mailing import open_mailing
from tests.features.mini_app import both_carriers

from limen import Accounts, UserMixin
from limen.core.opaque import digest
from limen.events import EmailVerified, LoggedIn, Registered, RegisteredAgain
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio


async def post(mini, path, **body):
    return await mini.visitor().client.post(path, json=body)


async def test_a_registration_is_answered_alike_whether_the_address_is_known_or_not(opened):
    mini, box = await open_mailing(opened, verification="required")
    first = await mini.visitor().register("Alice@Example.com")
    again = await mini.visitor().register("alice@example.com", "another long sentence")
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.content == again.content
    assert first.headers.keys() == again.headers.keys()
    assert [(each.template, each.to) for each in await box.letters()] == [
        ("verify_email", "Alice@example.com"),
        ("account_exists", "Alice@example.com"),
    ]
    assert (len(mini.heard(Registered)), len(mini.heard(RegisteredAgain))) == (1, 1)
    account = await mini.auth.kernel.users.find_by_identifier("alice@example.com")
    assert not account.columns["is_verified"]


async def test_a_taken_username_tells_nothing_and_goes_to_who_proves_their_address_first(opened):
    mini, box = await open_mailing(opened, verification="required")
    await mini.account("carol@example.com", username="ada", is_verified=True)
    answers = [
        await mini.visitor().register("alice@example.com", username="ada"),
        await mini.visitor().register("alice@example.com", username="bee"),
        await mini.visitor().register("bob@example.com", username="bee"),
        await mini.visitor().register("dora@example.com", username="bee"),
    ]
    assert [answer.status_code for answer in answers] == [202] * 4
    names = {}
    for email in ("alice@example.com", "dora@example.com", "bob@example.com"):
        token = (await box.latest(to=email, template="verify_email")).token
        answer = await post(mini, "/auth/email/verify", token=token)
        assert answer.status_code == 200
        names[email] = answer.json()["username"]
    assert names == {"alice@example.com": None, "dora@example.com": "bee", "bob@example.com": None}


@both_carriers
async def test_nobody_signs_in_before_the_address_is_proved_and_the_ticket_goes_on_from_there(opened):
    mini, box = await open_mailing(opened, verification="required")
    await mini.visitor().register()
    alice = mini.visitor()
    held = await alice.login()
    assert held.json().keys() == {"status", "step", "ticket"}
    assert (held.json()["status"], held.json()["step"]) == ("pending", "verify_email")
    refused(await alice.login(password="wrong"), 401, "invalid_credentials")
    letter = await box.latest()
    body = {"email": "alice@example.com", "code": letter.code, "ticket": held.json()["ticket"]}
    done = alice.keep(await alice.client.post("/auth/email/verify", json=body))
    assert (done.status_code, done.json()["status"]) == (200, "complete")
    assert done.headers["cache-control"] == "no-store"
    assert (await alice.me()).json()["is_verified"] is True
    assert mini.heard(LoggedIn)[-1].amr == ("pwd",)
    assert (await mini.visitor().login()).json()["status"] == "complete"
    refused(await post(mini, "/auth/email/verify", token=letter.token), 400, "invalid_token")


async def test_a_ticket_of_another_account_signs_nobody_in(opened):
    mini, box = await open_mailing(opened, verification="required")
    await mini.visitor().register()
    await mini.visitor().register("mallory@example.com")
    ticket = (await mini.visitor().login("mallory@example.com")).json()["ticket"]
    token = (await box.latest(to="alice@example.com")).token
    answer = await post(mini, "/auth/email/verify", token=token, ticket=ticket)
    assert (answer.status_code, answer.json().get("status")) == (200, None)
    assert answer.json()["email"] == "alice@example.com"
    assert not mini.heard(LoggedIn)


async def test_a_foreign_page_signs_nobody_in_by_a_ticket(opened):
    mini, _ = await open_mailing(opened, verification="required")
    body = {"token": "x", "ticket": "y"}
    visitor = mini.visitor(**{"Sec-Fetch-Site": "cross-site"})
    refused(await visitor.client.post("/auth/email/verify", json=body), 403, "cross_origin")


async def test_who_proves_the_address_is_verified_and_heard_of(opened):
    mini, box = await open_mailing(opened, verification="optional")
    answer = await mini.visitor().register(username="alice")
    assert (answer.status_code, answer.json()["username"]) == (201, "alice")
    assert (await mini.visitor().login()).json()["status"] == "complete"
    letter = await box.latest()
    assert letter.link.startswith("http://localhost:8000/auth/email/verify#token=")
    answer = await post(mini, "/auth/email/verify", token=letter.token)
    assert (answer.status_code, answer.json()["is_verified"]) == (200, True)
    (event,) = mini.heard(EmailVerified)
    assert event.subject == answer.json()["id"]
    refused(await mini.visitor().register(), 409, "email_taken")


async def test_without_verification_registration_is_as_ever_and_posts_nothing(opened):
    mini, box = await open_mailing(opened)
    assert (await mini.visitor().register()).status_code == 201
    assert not await box.letters()


async def test_asking_again_is_answered_alike_and_voids_what_was_mailed_before(opened):
    mini, box = await open_mailing(opened, verification="required")
    await mini.visitor().register(username="alice")
    await mini.account("bob@example.com", is_verified=True)
    old = await box.latest()
    asked = ("alice@example.com", "bob@example.com", "nobody@example.com", "no address", "")
    answers = [await post(mini, "/auth/email/verification", email=email) for email in asked]
    assert {(answer.status_code, answer.content) for answer in answers} == {(202, answers[0].content)}
    new = await box.latest(to="alice@example.com")
    assert [each.to for each in await box.letters()] == ["alice@example.com"] * 2
    refused(await post(mini, "/auth/email/verify", token=old.token), 400, "invalid_token")
    refused(await post(mini, "/auth/email/verify", email="alice@example.com", code=old.code), 400, "invalid_token")
    answer = await post(mini, "/auth/email/verify", email="ALICE@example.com", code=new.code)
    assert (answer.status_code, answer.json()["username"]) == (200, "alice")


async def test_a_code_is_good_for_five_tries_and_the_link_outlives_them(opened):
    mini, box = await open_mailing(opened, verification="required")
    await mini.visitor().register()
    letter = await box.latest()
    wrong = f"{(int(letter.code) + 1) % 10**6:06d}"
    for _ in range(5):
        answer = await post(mini, "/auth/email/verify", email="alice@example.com", code=wrong)
        refused(answer, 400, "invalid_token")
    answer = await post(mini, "/auth/email/verify", email="alice@example.com", code=letter.code)
    refused(answer, 400, "invalid_token")
    assert (await post(mini, "/auth/email/verify", token=letter.token)).status_code == 200


async def test_an_unknown_address_has_no_code(opened):
    mini, _ = await open_mailing(opened)
    for email in ("nobody@example.com", "no address"):
        refused(await post(mini, "/auth/email/verify", email=email, code="123456"), 400, "invalid_token")


async def test_what_was_mailed_is_good_for_a_day(opened):
    mini, box = await open_mailing(opened, verification="required")
    await mini.visitor().register()
    letter = await box.latest()
    mini.clock.advance(hours=24)
    refused(await post(mini, "/auth/email/verify", token=letter.token), 400, "invalid_token")
    refused(await post(mini, "/auth/email/verify", email="alice@example.com", code=letter.code), 400, "invalid_token")


async def test_either_a_token_or_a_code_with_its_address(opened):
    mini, _ = await open_mailing(opened)
    for body in (
        {},
        {"token": "x", "email": "a@b.example", "code": "123456"},
        {"email": "a@b.example"},
        {"code": "123456"},
        {"email": "a@b.example", "code": "12345"},
        {"email": "a@b.example", "code": "\u0661\u0661\u0661\u0661\u0661\u0661"},
        {"token": "x" * 257},
    ):
        refused(await post(mini, "/auth/email/verify", **body), 422, "validation_error")
    for token in ("", "nonsense", "\x00", "ünïcode"):
        refused(await post(mini, "/auth/email/verify", token=token), 400, "invalid_token")


async def test_who_is_no_longer_vouched_for_is_signed_out(opened):
    mini, _ = await open_mailing(opened, verification="required")
    admin = await mini.signed_in("root@example.com", roles=["admin"], is_verified=True)
    alice = await mini.signed_in(is_verified=True)
    answer = await admin.patch(f"/users/{alice.account.subject}", json={"is_verified": False})
    assert (answer.status_code, answer.json()["is_verified"]) == (200, False)
    refused(await alice.me(), 401, "invalid_token")
    assert (await mini.visitor().login()).json()["step"] == "verify_email"


async def test_links_lead_to_the_base_url_whatever_a_request_says(opened):
    mini, box = await open_mailing(opened, verification="required", settings={"base_url": "https://id.example.com/app"})
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
    headers |= {"Forwarded": "host=evil.example", "X-Original-Host": "evil.example", "Origin": "https://id.example.com"}
    visitor = mini.visitor(**headers)
    body = {"email": "alice@example.com", "password": PASSWORD}
    await visitor.client.post("/auth/register?base_url=https://evil.example", json=body)
    for path in ("/auth/email/verification", "/auth/password/forgot"):
        await visitor.client.post(path, json={"email": "alice@example.com"})
    await visitor.client.post("/auth/register", json=body)
    letters = await box.letters()
    assert {each.template for each in letters} == {"verify_email", "reset_password", "account_exists"}
    for letter in letters:
        assert letter.link.startswith("https://id.example.com/app"), letter.link
        assert "evil" not in letter.message.as_string()


async def test_nothing_that_was_mailed_lies_in_the_database(opened):
    mini, box = await open_mailing(opened, verification="required")
    await mini.visitor().register()
    letter = await box.latest()
    for table in mini.auth.tables():
        for row in await mini.auth.kernel.database.read(table.select()):
            assert letter.token not in str(tuple(row)), table.name
    (row,) = await mini.auth.kernel.database.read(mini.auth.kernel.tables.one_time_secrets.select())
    assert row.code_mac
    assert row.code_mac not in (digest(letter.code), digest(letter.token + letter.code))
    assert letter.code not in row.payload


class Base(DeclarativeBase):
    pass


class Member(UserMixin, Base):
    __tablename__ = "verified_members"

    id: Mapped[int] = mapped_column(primary_key=True)
    city: Mapped[str | None] = mapped_column(String(40))


class Profile(BaseModel):
    city: str | None = None


async def test_what_the_database_refuses_is_refused_whether_the_address_is_known_or_not(opened):
    mini, _ = await open_mailing(opened, verification="required", user=Member, accounts={"profile": Profile})
    await mini.account("alice@example.com")
    for city in ("Trier", "a\x00b", "x" * 41):
        known = await mini.visitor().register("alice@example.com", city=city)
        unknown = await mini.visitor().register(f"{len(city)}@example.com", city=city)
        assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    assert len(await mini.auth[Accounts].list()) == 2 + 2 * ("sqlite" in str(mini.auth.kernel.database.engine.url))
