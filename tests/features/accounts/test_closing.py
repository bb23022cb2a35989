"""Closing an account with a grace, and taking along what limen holds."""

import asyncio
import json

import pytest
from sqlalchemy import Column, ForeignKey, MetaData, Table
from tests.features.answers import refused
from tests.features.mailing import open_mailing
from tests.features.mini_app import both_carriers

from limen import Accounts, ApiKeys, Roles
from limen.core.admission import placeholder_of
from limen.errors import InvalidCredential
from limen.events import AccountDeleted, AccountDeletionScheduled, AccountExported, AccountRestored
from limen.features import Audit, MagicLinks
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

GRACE = {"deletion_grace_days": 30}


async def close(browser):
    return await browser.request("DELETE", "/users/me", json={"password": PASSWORD})


async def restore(mini, token):
    return await mini.visitor().client.post("/auth/account/restore", json={"token": token})


@both_carriers
async def test_a_closed_account_is_shut_at_once_and_restored_by_the_link_of_the_mail(opened):
    mini, box = await open_mailing(opened, accounts=GRACE)
    alice, elsewhere = await mini.signed_in(), mini.visitor()
    await elsewhere.login()
    assert (await close(alice)).status_code == 204
    for browser in (alice, elsewhere):
        refused(await browser.me(), 401, "invalid_token")
    refused(await mini.visitor().login(), 401, "invalid_credentials")
    letter = await box.latest(to="alice@example.com")
    assert letter.link.startswith("http://localhost:8000/auth/account/restore#token=")
    mini.clock.advance(days=29)
    await mini.auth[Accounts].remove_due()
    assert (await restore(mini, letter.token)).status_code == 204
    refused(await alice.me(), 401, "invalid_token")
    back = mini.visitor()
    assert (await back.login()).status_code == 200
    assert (await back.me()).json()["id"] == alice.account.subject
    refused(await restore(mini, letter.token), 400, "invalid_token")
    mini.clock.advance(days=2)
    await mini.auth[Accounts].remove_due()
    assert (await mini.auth[Accounts].get(alice.account.id)).email == "alice@example.com"
    assert [len(mini.heard(kind)) for kind in (AccountDeletionScheduled, AccountRestored, AccountDeleted)] == [1, 1, 0]


async def test_after_the_grace_it_is_gone_once_whoever_looks(opened):
    mini, box = await open_mailing(opened, accounts=GRACE)
    alice = await mini.signed_in()
    await close(alice)
    token = (await box.latest()).token
    mini.clock.advance(days=30)
    for _ in range(2):
        await mini.auth[Accounts].remove_due()
    (event,) = mini.heard(AccountDeleted)
    assert event.subject == alice.account.subject
    refused(await restore(mini, token), 400, "invalid_token")
    assert (await mini.visitor().register()).status_code == 201
    assert "account_deleted" in [each.template for each in await box.letters()]


async def test_an_account_that_the_apps_own_rows_hold_keeps_no_other_from_its_deletion(opened, caplog):
    mini, _ = await open_mailing(opened, accounts=GRACE)
    kernel, accounts = mini.auth.kernel, mini.auth[Accounts]
    invoices = Table("invoices", MetaData(), Column("user_id", ForeignKey(kernel.tables.user_key)))
    held, other = await mini.signed_in(), await mini.signed_in("bob@example.com")
    async with kernel.database.transaction() as connection:
        await connection.run_sync(invoices.create)
        await connection.execute(invoices.insert().values(user_id=held.account.id))
    for browser in (held, other):
        assert (await close(browser)).status_code == 204
    mini.clock.advance(days=31)
    assert await accounts.remove_due() == 1
    assert [event.subject for event in mini.heard(AccountDeleted)] == [other.account.subject]
    assert f"account {held.account.subject} is due and cannot be deleted" in caplog.text
    caplog.clear()
    assert (await accounts.remove_due(), caplog.text) == (0, "")
    async with kernel.database.transaction() as connection:
        await connection.execute(invoices.delete())
    mini.clock.advance(hours=7)
    assert await accounts.remove_due() == 1


async def test_what_was_done_past_limen_holds_up_neither_a_closing_nor_the_deletions(opened):
    mini, _ = await open_mailing(opened, accounts=GRACE)
    kernel, accounts = mini.auth.kernel, mini.auth[Accounts]
    alice, bob = await mini.signed_in(), await mini.signed_in("bob@example.com")
    await close(alice)
    async with kernel.database.transaction() as connection:
        await kernel.users.change_within(connection, alice.account.id, {"is_active": True})
    await alice.login()
    assert (await close(alice)).status_code == 204
    await close(bob)
    mini.clock.advance(days=31)
    find = kernel.users.find

    async def gone(user_id):
        return None if user_id == bob.account.id else await find(user_id)

    kernel.users.find = gone
    assert (await accounts.remove_due(), await accounts.remove_due()) == (1, 0)
    kernel.users.find = find


async def test_who_is_banned_meanwhile_does_not_restore_the_account(opened):
    mini, box = await open_mailing(opened, accounts=GRACE)
    alice = await mini.signed_in()
    await close(alice)
    await mini.auth[Accounts].set_active(alice.account.id, False)
    refused(await restore(mini, (await box.latest()).token), 400, "invalid_token")
    await mini.auth[Accounts].set_active(alice.account.id, True)
    mini.clock.advance(days=31)
    await mini.auth[Accounts].remove_due()
    assert (await mini.visitor().login()).status_code == 200


@pytest.mark.parametrize("accounts", [GRACE, {}])
async def test_of_twenty_closings_at_once_one_closes_the_account(opened, accounts):
    mini, box = await open_mailing(opened, accounts=accounts)
    alice = await mini.signed_in()
    answers = await asyncio.gather(*(close(alice) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [204] + [401] * 19
    assert len(mini.heard(AccountDeletionScheduled if accounts else AccountDeleted)) == 1
    assert [each.template for each in await box.letters()] == ["deletion_scheduled" if accounts else "account_deleted"]


async def test_who_is_banned_while_closing_the_account_neither_closes_nor_restores_it(opened):
    mini, box = await open_mailing(opened, accounts=GRACE)
    accounts = mini.auth[Accounts]
    account = await mini.account()
    await accounts.set_active(account.id, False)
    with pytest.raises(InvalidCredential):
        await accounts.schedule_removal(account)
    assert await box.letters() == []
    mini.clock.advance(days=31)
    await accounts.remove_due()
    assert (await accounts.get(account.id)).held.is_active is False


async def test_a_ban_at_the_moment_of_restoring_stays(opened):
    mini, box = await open_mailing(opened, accounts=GRACE)
    for number in range(5):
        alice = await mini.signed_in(f"alice{number}@example.com")
        await close(alice)
        token = (await box.latest(to=f"alice{number}@example.com")).token
        await asyncio.gather(mini.auth[Accounts].set_active(alice.account.id, False), restore(mini, token))
        assert (await mini.auth[Accounts].get(alice.account.id)).held.is_active is False, number


async def test_who_has_no_address_gets_no_mail_and_is_closed_all_the_same(opened):
    mini, box = await open_mailing(opened, MagicLinks(), accounts=GRACE)
    nobody = await mini.account()
    kernel, placeholder = mini.auth.kernel, placeholder_of("https://idp.example", "a1")
    names = {"email": placeholder, "email_canonical": placeholder}
    async with kernel.database.transaction() as connection:
        assert await mini.auth[MagicLinks].has_way_in(connection, nobody.id)
        await kernel.users.change_within(connection, nobody.id, names)
        assert not await mini.auth[MagicLinks].has_way_in(connection, nobody.id)
    await mini.auth[Accounts].schedule_removal(await mini.auth[Accounts].get(nobody.id))
    assert await box.letters() == []
    mini.clock.advance(days=31)
    assert await mini.auth[Accounts].remove_due() == 1


async def test_the_last_administrator_does_not_close_the_account(opened):
    mini, _ = await open_mailing(opened, accounts=GRACE)
    root = await mini.signed_in(roles=["admin"])
    refused(await close(root), 409, "last_admin")
    assert (await root.me()).status_code == 200


async def test_a_thief_who_closes_the_account_does_not_keep_its_owner_out(opened):
    mini, box = await open_mailing(opened, accounts=GRACE)
    thief = await mini.signed_in()
    await thief.post("/auth/email/change", json={"new_email": "thief@new.example", "password": PASSWORD})
    confirm = (await box.latest(to="thief@new.example")).token
    await mini.visitor().client.post("/auth/email/verify", json={"token": confirm})
    assert (await close(thief)).status_code == 204
    undo = (await box.latest(to="alice@example.com", template="email_changed")).token
    answer = await mini.visitor().client.post("/auth/email/change/undo", json={"token": undo})
    assert answer.status_code == 204
    assert [event.subject for event in mini.heard(AccountRestored)] == [thief.account.subject]
    reset = (await box.latest(to="alice@example.com", template="reset_password")).token
    body = {"token": reset, "new_password": "mine again, for good"}
    assert (await mini.visitor().client.post("/auth/password/reset", json=body)).status_code == 204
    assert (await mini.visitor().login(password="mine again, for good")).status_code == 200


async def test_without_a_grace_there_is_nothing_to_restore(opened):
    mini, box = await open_mailing(opened)
    await close(await mini.signed_in())
    assert (await restore(mini, "x")).status_code == 404
    assert [each.template for each in await box.letters()] == ["account_deleted"]


@both_carriers
async def test_i_take_along_what_is_held_of_me_and_no_secret(opened):
    mini, box = await open_mailing(opened)
    alice = await mini.signed_in(username="alice")
    await mini.account("bob@example.com")
    key = await mini.auth[ApiKeys].create(alice.account, name="ci", scopes=["items:read"])
    async with mini.auth.kernel.database.transaction() as connection:
        await mini.auth.kernel.identities.link(
            connection,
            alice.account.id,
            provider="idp",
            issuer="https://idp.example",
            subject="a1",
            email="a@idp.example",
        )
    await mini.visitor().client.post("/auth/password/forgot", json={"email": "alice@example.com"})
    answer = await alice.get("/users/me/export")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    body = answer.json()
    assert body["account"] == (await alice.me()).json()
    assert [session["ip"] for session in body["sessions"]] == ["203.0.113.7"]
    assert [(each["issuer"], each["subject"]) for each in body["identities"]] == [("https://idp.example", "a1")]
    assert [(each["name"], each["scopes"]) for each in body["api_keys"]["keys"]] == [("ci", ["items:read"])]
    assert body["passwords"].keys() == {"changed_at"}
    secrets = [key.text, key.text.rpartition("_")[2], PASSWORD, (await box.latest(template="reset_password")).token]
    secrets += [alice.tokens["refresh_token"]] if alice.tokens else [*alice.client.cookies.values()]
    for secret in (*secrets, "argon2", "digest", "bob@example.com"):
        assert secret not in answer.text, secret
    assert len(mini.heard(AccountExported)) == 1
    refused(await mini.visitor().get("/users/me/export"), 401, "not_authenticated")
    refused(await mini.visitor(**{"X-API-Key": key.text}).get("/users/me/export"), 403, "forbidden")


async def test_what_rights_an_export_shows_are_those_of_the_account(opened):
    mini, _ = await open_mailing(opened)
    alice = await mini.account(roles=["editor"])
    exported = await mini.auth[Accounts].export(alice.id)
    assert exported["account"]["roles"] == ["editor"]
    assert Roles.name not in exported
    assert json.dumps(exported, default=str)


async def test_an_export_holds_ones_own_entries_of_the_audit_and_nobody_elses_whereabouts(opened):
    mini, _ = await open_mailing(opened, Audit())
    alice = await mini.signed_in()
    await mini.visitor().login(password="wrong")
    await mini.auth[Accounts].set_active(alice.account.id, True)
    await mini.auth[Audit].write()
    entries = (await alice.get("/users/me/export")).json()["audit"]["entries"]
    assert {"registered", "logged_in", "account_updated"} <= {entry["event"] for entry in entries}
    (signed_in,) = (entry for entry in entries if entry["event"] == "logged_in")
    assert signed_in["ip"] == "203.0.113.7"
    assert all("ip" not in entry for entry in entries if entry["event"] == "account_updated")
