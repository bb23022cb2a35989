"""People of other issuers get a row here: found by `(iss, sub)`, made at first sight, never somebody else's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tests.features.answers import refused
from tests.features.conftest import NewDatabase
from tests.features.hostile import lies
from tests.features.mini_app import Browser, MiniApp, features_of, open_app
from tests.features.trusted_issuers.key_server import KeyServer

from limen import Accounts, Auth, ConfigurationError, Principal, Role, Roles, TrustedIssuer, UserMixin
from limen.core.admission import PLACEHOLDER_DOMAIN
from limen.db.database import Database
from limen.events import IdentityLinked, Registered
from limen.features.trusted_issuers import TrustedIssuers

pytestmark = pytest.mark.anyio


def routes(app: FastAPI, auth: Auth[Any]) -> None:
    @app.get("/me")
    async def me(user: Annotated[Any, Depends(auth.current_user)]) -> dict[str, Any]:
        return {"id": str(user.id), "email": user.email, "is_verified": user.is_verified}

    @app.get("/who")
    async def who(principal: Annotated[Principal, Depends(auth.current_principal)]) -> dict[str, Any]:
        said = {"iss": principal.issuer, "sub": principal.subject, "account": principal.account}
        said["user_id"] = principal.user_id
        return {**said, "permissions": sorted(principal.permissions), "roles": sorted(principal.roles)}

    @app.get("/things", dependencies=[Depends(auth.require("items:read"))])
    async def things() -> list[str]:
        return []


class Trusting:
    """An app that trusts one issuer, and visitors with tokens of it."""

    def __init__(self, mini: MiniApp, issuer: KeyServer) -> None:
        self.mini = mini
        self.issuer = issuer

    def bearer(self, **claims: Any) -> Browser:
        browser = self.mini.visitor()
        browser.tokens = {"access_token": self.issuer.token(**claims)}
        return browser

    async def users(self) -> list[str]:
        return [account.email for account in await self.mini.auth[Accounts].list()]


Open = Any


@pytest.fixture
def issuer() -> Any:
    with KeyServer() as server:
        yield server


@pytest.fixture
async def trusting(new_database: NewDatabase, database_url: str, issuer: KeyServer) -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        async def open_one(**options: Any) -> Trusting:
            app_options = {name: options.pop(name) for name in ("user", "roles") if name in options}
            url = new_database(with_tables=False) if "user" in app_options else database_url
            trusted = TrustedIssuers([TrustedIssuer(issuer.issuer, **{"users": "make", **options})])
            has_tables = "user" not in app_options
            opening = open_app(url, features=features_of(trusted), routes=routes, has_tables=has_tables, **app_options)
            return Trusting(await stack.enter_async_context(opening), issuer)

        yield open_one


ALICE = {"sub": "alice", "email": "Alice@Example.com", "email_verified": True}


async def test_a_row_is_made_at_first_sight_and_found_again(trusting: Open) -> None:
    app = await trusting()
    first = (await app.bearer(**ALICE).get("/me")).json()
    assert (first["email"], first["is_verified"]) == ("Alice@Example.com", True)
    assert (await app.bearer(**ALICE, scope="items:read other").get("/me")).json() == first
    assert (await app.bearer(sub="bob").get("/me")).json()["id"] != first["id"]
    assert app.mini.heard(Registered)[0].subject == first["id"]
    assert len(app.mini.heard(Registered)) == 2


async def test_one_guard_takes_the_apps_own_people_and_others_alike(trusting: Open) -> None:
    app = await trusting()
    own = await app.mini.signed_in("own@example.com")
    said = (await own.get("/who")).json()
    assert (said["iss"], said["account"]) == (app.mini.auth.settings.issuer, None)
    assert (await own.get("/me")).json()["email"] == "own@example.com"
    said = (await app.bearer(**ALICE).get("/who")).json()
    assert (said["iss"], said["sub"]) == (app.issuer.issuer, "alice")
    assert said["account"] == (await app.bearer(**ALICE).get("/me")).json()["id"]
    assert (await app.bearer(**ALICE).me()).json()["email"] == "Alice@Example.com"


async def test_twenty_first_requests_at_once_make_one_row(trusting: Open) -> None:
    app = await trusting()
    visitors = [app.bearer(**ALICE, jti=str(number)) for number in range(20)]
    answers = await asyncio.gather(*(visitor.get("/me") for visitor in visitors))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await app.users() == ["Alice@Example.com"]
    assert len(app.mini.heard(Registered)) == 1


async def test_in_steady_state_the_row_costs_one_read_and_a_principal_none(
    trusting: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await trusting()
    alice, own = app.bearer(**ALICE), await app.mini.signed_in("own@example.com")
    asked: list[str] = []
    for name in ("read", "write", "run_hot"):
        run = getattr(Database, name)

        def counted(self: Database, statement: Any, *values: Any, run: Any = run) -> Any:
            asked.append(str(getattr(statement, "statement", statement)))
            return run(self, statement, *values)

        monkeypatch.setattr(Database, name, counted)
    costs = {}
    for browser in (own, alice):
        for path in ("/me", "/who"):
            await browser.get(path)
            asked.clear()
            assert (await browser.get(path)).status_code == 200
            costs[browser, path] = [text for text in asked if "limen_users" in text or "limen_identities" in text]
    assert costs[alice, "/me"] == costs[own, "/me"] != []
    assert costs[alice, "/who"] == costs[own, "/who"] == []
    assert not [text for text in costs[alice, "/me"] if "limen_identities" in text]


async def test_a_disabled_row_ends_access_at_every_guard(trusting: Open) -> None:
    app = await trusting()
    alice = app.bearer(**ALICE)
    row = (await alice.get("/me")).json()["id"]
    key = app.mini.auth.kernel.users.parse_key(row)
    await app.mini.auth[Accounts].set_active(key, False)
    for path in ("/me", "/who", "/users/me"):
        refused(await alice.get(path), 401, "invalid_token")
    refused(await app.bearer(**ALICE, jti="another").get("/who"), 401, "invalid_token")
    app.mini.clock.advance(minutes=30)  # what was taken back is forgotten, and what was remembered too
    refused(await app.bearer(**ALICE, exp=2**33).get("/who"), 401, "invalid_token")
    await app.mini.auth[Accounts].set_active(key, True)
    assert (await alice.get("/me")).json()["id"] == row


async def test_what_was_remembered_does_not_outlive_the_revocation(trusting: Open) -> None:
    """The log forgets an entry after what limen's own tokens live; another issuer's may live for hours."""
    app = await trusting()
    alice = app.bearer(**ALICE, exp=2**33)
    row = (await alice.get("/me")).json()["id"]
    await app.mini.auth[Accounts].set_active(app.mini.auth.kernel.users.parse_key(row), False)
    app.mini.clock.advance(hours=1)
    await app.mini.auth.kernel.revocation_log.purge()
    app.mini.auth.kernel.revocations.hear(now=app.mini.clock.time(), tick=app.mini.clock.monotonic())
    assert len(app.mini.auth.kernel.revocations) == 0
    refused(await alice.get("/who"), 401, "invalid_token")


async def test_a_deleted_account_does_not_come_back_by_itself(trusting: Open) -> None:
    app = await trusting()
    alice = app.bearer(**ALICE)
    row = (await alice.get("/me")).json()["id"]
    await app.mini.auth[Accounts].remove(app.mini.auth.kernel.users.parse_key(row))
    refused(await alice.get("/who"), 401, "invalid_token")
    refused(await app.bearer(**ALICE, jti="later").get("/me"), 401, "invalid_token")
    assert await app.users() == []
    people = app.mini.auth[TrustedIssuers]
    assert await people.readmit(issuer=app.issuer.issuer, subject="alice")
    assert not await people.readmit(issuer=app.issuer.issuer, subject="alice")
    assert (await alice.get("/me")).json()["id"] != row


@pytest.mark.parametrize("verified", [True, False, "true", 1, None])
async def test_an_address_never_makes_somebody_another(trusting: Open, verified: object) -> None:
    app = await trusting()
    own = await app.mini.signed_in("alice@example.com", is_verified=True)
    said = (await app.bearer(**{**ALICE, "email_verified": verified}).get("/me")).json()
    assert said["id"] != own.account.subject
    assert said["email"].endswith(f"@{PLACEHOLDER_DOMAIN}")
    assert said["is_verified"] is False
    assert (await own.get("/me")).json()["id"] == own.account.subject


@pytest.mark.parametrize(
    ("here", "there", "linked"),
    [(True, True, True), (False, True, False), (True, False, False), (True, "true", False)],
)
async def test_where_it_is_allowed_an_address_that_both_verified_links(
    trusting: Open, here: bool, there: object, linked: bool
) -> None:
    app = await trusting(links="verified")
    account = await app.mini.account("alice@example.com", is_verified=here)
    said = (await app.bearer(**{**ALICE, "email_verified": there}).get("/me")).json()
    assert (said["id"] == account.subject) is linked
    assert len(app.mini.heard(IdentityLinked)) == linked


async def test_many_identities_of_one_verified_address_at_once_are_one_account(trusting: Open) -> None:
    app = await trusting(links="verified")
    visitors = [app.bearer(**{**ALICE, "sub": f"alice-{number}"}) for number in range(10)]
    answers = await asyncio.gather(*(visitor.get("/me") for visitor in visitors))
    assert {answer.json()["email"] for answer in answers} == {"Alice@Example.com"}
    assert (len(app.mini.heard(Registered)), len(app.mini.heard(IdentityLinked))) == (1, 9)


@pytest.mark.parametrize("change", ["unverified", "another address"])
async def test_an_account_that_gives_its_address_up_just_then_is_not_linked(
    trusting: Open, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    app = await trusting(links="verified")
    account = await app.mini.account("alice@example.com", is_verified=True)
    users, accounts = app.mini.auth.kernel.users, app.mini.auth[Accounts]
    find = users.find_by_identifier

    async def found_a_moment_too_early(canonical: str) -> Any:
        found = await find(canonical)
        if change == "unverified":
            await accounts.set_verified(account.id, False)
        else:
            await users.change(account.id, {"email": "a@new.example", "email_canonical": "a@new.example"})
        return found

    monkeypatch.setattr(users, "find_by_identifier", found_a_moment_too_early)
    assert (await app.bearer(**ALICE).get("/me")).json()["id"] != account.subject
    assert app.mini.heard(IdentityLinked) == []


async def test_rights_come_from_the_token_unless_the_setting_says_the_row(trusting: Open) -> None:
    for rights, permissions, roles in (
        ("token", ["other"], ["guest"]),
        ("account", ["items:read", "items:write"], ["member"]),
        ("both", ["items:read", "items:write", "other"], ["guest", "member"]),
    ):
        app = await trusting(rights=rights)
        said = (await app.bearer(**ALICE, scope="other", roles=["guest"]).get("/who")).json()
        assert (said["permissions"], said["roles"]) == (permissions, roles), rights


async def test_rights_of_the_row_that_change_are_felt_at_once(trusting: Open) -> None:
    app = await trusting(rights="account", roles=[Role("member", [], default=True), Role("reader", ["items:read"])])
    alice = app.bearer(**ALICE)
    refused(await alice.get("/things"), 403, "insufficient_scope")
    key = app.mini.auth.kernel.users.parse_key((await alice.get("/me")).json()["id"])
    await app.mini.auth[Roles].assign_as_operator(key, roles=["reader"])
    assert (await alice.get("/things")).status_code == 200
    await app.mini.auth[Roles].assign_as_operator(key, roles=[])
    refused(await alice.get("/things"), 403, "insufficient_scope")


async def test_only_the_known_come_in_where_rows_are_not_made(trusting: Open) -> None:
    app = await trusting(users="known")
    account = await app.mini.account("alice@example.com")
    assert (await app.bearer(**ALICE).get("/who")).json()["account"] is None
    refused(await app.bearer(**ALICE).get("/me"), 401, "invalid_token")
    await app.mini.auth[TrustedIssuers].link(account, issuer=app.issuer.issuer, subject="alice")
    assert (await app.bearer(**ALICE, jti="2").get("/me")).json()["id"] == account.subject
    refused(await app.bearer(sub="bob").get("/me"), 401, "invalid_token")


async def test_a_namesake_elsewhere_is_nobody_here(trusting: Open) -> None:
    """What belongs to somebody is kept by `user_id`: another issuer may call somebody what a user is called here."""
    app = await trusting(users="known")
    own = await app.mini.signed_in("own@example.com")
    assert (await own.get("/who")).json()["user_id"] == own.account.subject
    namesake = app.bearer(sub=own.account.subject)
    said = (await namesake.get("/who")).json()
    assert (said["sub"], said["user_id"]) == (own.account.subject, None)
    await app.mini.auth[TrustedIssuers].link(own.account, issuer=app.issuer.issuer, subject="own-there")
    assert (await app.bearer(sub="own-there").get("/who")).json()["user_id"] == own.account.subject


async def test_an_administrator_elsewhere_administers_nothing_here(trusting: Open) -> None:
    app = await trusting()
    mean = app.bearer(**ALICE, scope="*", roles=["admin"])
    for path in ("/users", "/auth/sessions"):
        refused(await mean.get(path), 403, "forbidden")
    refused(await mean.post("/auth/logout"), 403, "forbidden")  # it is signed in there, and signs out there
    assert (await mean.patch("/users/me", json={"username": "alice"})).json()["username"] == "alice"


async def test_whatever_an_issuer_says_of_a_person_is_no_error_of_ours(trusting: Open) -> None:
    app = await trusting(links="verified")
    for said in lies():
        try:
            alice = app.bearer(**said)
        except UnicodeEncodeError:  # no token can say it
            continue
        answer = await alice.get("/me")
        assert answer.status_code in (200, 401), said
        if answer.status_code == 200 and answer.json()["email"] != said["email"]:
            assert answer.json()["email"].endswith(f"@{PLACEHOLDER_DOMAIN}"), said


class Base(DeclarativeBase):
    pass


class Person(UserMixin, Base):
    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))


async def test_an_own_model_gets_its_columns_from_the_claims(trusting: Open) -> None:
    app = await trusting(user=Person, values=lambda claims: {"name": str(claims["name"])})
    assert (await app.bearer(**ALICE, name="Alice A.").get("/me")).json()["id"] == "1"
    account = await app.mini.auth[Accounts].find("alice@example.com")
    assert account.columns["name"] == "Alice A."


async def test_an_own_model_without_its_columns_is_refused_and_never_a_500(trusting: Open) -> None:
    for options in ({}, {"values": lambda claims: {"name": claims["name"]}}, {"values": lambda claims: {"id": 1}}):
        app = await trusting(user=Person, **options)
        refused(await app.bearer(**ALICE).get("/me"), 401, "invalid_token")


def test_settings_about_rows_need_rows() -> None:
    with pytest.raises(ConfigurationError, match="users"):
        TrustedIssuer("https://id.example.com", rights="account")
