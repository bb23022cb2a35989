"""Whatever happens is on record: who, about whom, what, when, from where, how, with what result."""

import dataclasses
import inspect
import json
import typing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import Depends
from tests.features.audit.conftest import entries, names, sql
from tests.features.mailing import open_mailing

from limen import Accounts, ApiKeys, Passwords, Principal, Roles, authenticated, events
from limen.core.audit_entries import name_of
from limen.core.cause import Operator, caused_by
from limen.events import Event, LoggedIn, SigningKeysChanged
from limen.features import Audit
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

CLASSES = [
    each
    for each in vars(events).values()
    if inspect.isclass(each) and issubclass(each, Event) and each is not Event and each.__module__ == events.__name__
]
WALKED = {
    "registered",
    "logged_in",
    "login_failed",
    "tokens_refreshed",
    "refresh_reused",
    "sessions_ended",
    "password_changed",
    "account_updated",
    "account_deleted",
    "rights_changed",
    "api_key_created",
    "api_key_rotated",
    "api_key_revoked",
    "api_key_leaked",
    "service_created",
    "service_credential_added",
    "service_credentials_ended",
    "client_token_issued",
    "token_revoked",
    "request_refused",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MoonLanded(Event):
    """Of an app's own: nobody here knows it."""

    where: str
    crew: tuple[str, ...]
    launch_code: str = dataclasses.field(repr=False)


async def walk(mini):
    """What people, administrators and programs do all day; whoever was an administrator, and Ann's last browser."""
    admin = await mini.signed_in("root@example.com", roles=["admin"])
    ann = await mini.signed_in("ann@example.com")
    subject = ann.account.subject
    await mini.visitor().login("ann@example.com", "wrong")
    await mini.visitor().get("/users/me", headers={"Authorization": "Bearer no.such.token"})
    stale = ann.refresh_token
    await ann.refresh()
    await ann.patch("/users/me", json={"username": "ann"})
    made = (await ann.post("/auth/api-keys", json={"name": "ci"})).json()
    newer = (await ann.post(f"/auth/api-keys/{made['id']}/rotate", json={})).json()
    await ann.delete(f"/auth/api-keys/{newer['id']}")
    await mini.auth[ApiKeys].report_leak(made["key"])
    await ann.post("/auth/password/change", json={"current_password": PASSWORD, "new_password": "another long phrase"})
    mini.clock.advance(seconds=60)
    await ann.refresh(stale)
    bot = (await admin.post("/auth/services", json={"name": "bot"})).json()["id"]
    secret = (await admin.post(f"/auth/services/{bot}/secrets", json={})).json()
    form, who = {"grant_type": "client_credentials"}, (bot, secret["client_secret"])
    token = (await mini.visitor().client.post("/auth/token", data=form, auth=who)).json()["access_token"]
    await mini.visitor().client.post("/auth/revoke", data={"token": token}, auth=who)
    await admin.delete(f"/auth/services/{bot}/credentials/{secret['id']}")
    await admin.client.put(f"/users/{subject}/roles", json={"roles": ["editor"]}, headers=admin.credentials())
    await admin.patch(f"/users/{subject}", json={"is_active": False})
    await admin.delete(f"/users/{subject}")
    return admin, subject


async def test_every_flow_leaves_its_entry(mini):
    await walk(mini)
    assert set(await names(mini)) >= WALKED
    report = await mini.auth[Audit].verify()
    assert report.is_intact, report.flaws
    assert report.checked == report.last_seq >= len(WALKED)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_of_events_is_walked_or_recorded_by_its_fields(kind):
    from limen.core.audit_entries import entry_of
    from limen.core.client import NOWHERE

    entry = entry_of(some(kind), client=NOWHERE, digest_keys=[bytes(32)])
    assert entry.event == name_of(kind.__name__)
    assert entry.result == kind.result
    own = {each.name for each in dataclasses.fields(Event)}
    shown = {each.name for each in dataclasses.fields(kind) if each.repr}
    assert set(json.loads(entry.details)) == shown - own


def some(kind) -> Event:
    """An event of this class with something in every field."""
    hints = typing.get_type_hints(kind)
    values: dict[Any, Any] = {str: "something", int: 7, bool: True, datetime: datetime.now(UTC)}
    own = {each.name for each in dataclasses.fields(Event)}
    filled = {}
    for each in dataclasses.fields(kind):
        if each.name not in own:
            wanted = hints[each.name]
            wanted = next((one for one in typing.get_args(wanted) if one in values), wanted)
            filled[each.name] = ("a", "b") if typing.get_origin(hints[each.name]) is tuple else values.get(wanted, "x")
    return kind(at=datetime.now(UTC), **filled)


async def test_an_event_that_nobody_here_knows_is_recorded_without_what_does_not_print(mini):
    said = {"where": "mare\ntranquillitatis", "crew": ("a", "b"), "launch_code": "c0de"}
    await mini.auth.kernel.events.publish(MoonLanded(at=mini.clock.now(), subject="7", **said))
    (entry,) = await entries(mini, event="moon_landed")
    assert json.loads(entry.details) == {"where": "mare\ufffdtranquillitatis", "crew": ["a", "b"]}
    assert (entry.subject, entry.actor_kind, entry.result) == ("7", "app", "success")


async def test_a_sign_in_says_who_when_from_where_and_how(mini):
    before = mini.clock.now()
    account = await mini.account()
    assert (await mini.visitor(**{"user-agent": "Firefox"}).login()).status_code == 200
    (entry,) = await entries(mini, event="logged_in")
    assert (entry.subject, entry.actor_kind, entry.actor) == (account.subject, "user", account.subject)
    assert (entry.ip, entry.user_agent, entry.method) == ("203.0.113.7", "Firefox", "pwd")
    assert before - timedelta(seconds=1) < entry.at < mini.clock.now() + timedelta(seconds=1)
    assert entry.at.tzinfo is not None


async def test_an_administrator_is_named_beside_whom_they_act_on(mini):
    admin, subject = await walk(mini)
    done = [entry for entry in await entries(mini, user=subject) if entry.actor == admin.account.subject]
    said = {entry.event: json.loads(entry.details) for entry in done}
    assert list(said) == ["rights_changed", "account_updated", "account_deleted"]
    assert said["rights_changed"]["roles"] == ["editor"]
    assert said["account_updated"]["is_active"] is False
    assert {(entry.subject, entry.method, entry.ip) for entry in done} == {(subject, "access_token", "203.0.113.7")}
    assert all(json.loads(entry.details)["by"]["session_id"] for entry in done)


async def test_what_is_left_of_who_is_deleted_is_an_id(mini):
    _, subject = await walk(mini)
    found = await entries(mini, user=subject)
    assert "account_deleted" in [entry.event for entry in found]
    assert "ann" not in repr(found)


async def test_an_apps_own_code_is_attributed_without_its_help(open_audited):
    def routes(app, auth):
        @app.post("/promote/{subject}", dependencies=[Depends(auth.require("users:write"))])
        async def promote(subject: str) -> None:
            await auth[Roles].assign_as_operator(subject, roles=["editor"])

        @app.post("/demote/{subject}", dependencies=[Depends(auth.require("users:write"))])
        async def demote(subject: str, by: Principal = Depends(auth.require(authenticated()))) -> None:
            await auth[Roles].assign(subject, by=by, roles=[])

    mini = await open_audited(routes=routes)
    admin, ann = await mini.signed_in("root@example.com", roles=["admin"]), await mini.account("ann@example.com")
    for path in ("promote", "demote"):
        assert (await admin.post(f"/{path}/{ann.subject}")).status_code == 200
    found = await entries(mini, event="rights_changed")
    assert [(each.actor, each.subject, each.ip) for each in found] == [
        (admin.account.subject, ann.subject, "203.0.113.7")
    ] * 2


async def test_a_key_that_acts_is_named(mini):
    account = await mini.account("ci@example.com", roles=["admin"])
    key = await mini.auth[ApiKeys].create(account, name="ci")
    ann = await mini.account("ann@example.com")
    shown = {"X-API-Key": key.text}
    answer = await mini.visitor().patch(f"/users/{ann.subject}", json={"is_active": False}, headers=shown)
    assert answer.status_code == 200
    (entry,) = await entries(mini, event="account_updated")
    assert (entry.actor, entry.method, entry.credential_id) == (account.subject, "api_key", key.key.id)


async def test_an_operator_is_named(mini):
    account = await mini.account()
    with caused_by(Operator("grace")):
        await mini.auth[Passwords].set(account.id, "another long phrase")
        await mini.auth.kernel.events.publish(SigningKeysChanged(at=mini.clock.now(), change="rotated"))
    found = [entry for entry in await entries(mini) if entry.actor_kind == "operator"]
    assert {entry.event for entry in found} == {"password_changed", "sessions_ended", "signing_keys_changed"}
    assert {entry.actor for entry in found} == {"grace"}


async def test_refused_admin_actions_are_recorded_once_and_counted(mini):
    ann, bob = await mini.signed_in("ann@example.com"), await mini.account("bob@example.com")
    for _ in range(30):
        assert (await ann.delete(f"/users/{bob.subject}")).status_code == 403
    (first,) = await entries(mini, event="request_refused")
    said = json.loads(first.details)
    assert (first.actor, first.count, first.result) == (ann.account.subject, 1, "refused")
    assert (said["code"], said["needed"], said["target"]) == ("insufficient_scope", "users:delete", bob.subject)
    assert said["route"] == "DELETE /users/{user_id}"
    await mini.auth[Audit].end()
    again = (await entries(mini, event="request_refused"))[-1]
    assert (again.count, again.details) == (29, first.details)


async def test_a_flood_of_refusals_fills_no_disk(mini):
    """Every one from another address, under another name, with another token."""
    visitor, audit = mini.visitor(), mini.auth[Audit]
    await sql(mini, "DELETE FROM limen_audit")
    for number in range(150):
        await visitor.client.post("/auth/login", data={"username": f"user{number}", "password": "x"})
        await visitor.get("/users/me", headers={"Authorization": f"Bearer a.b.c{number}"})
    await audit.end()
    (rows,) = await sql(mini, "SELECT count(*), sum(count) FROM limen_audit")
    assert rows[0] <= 2 * 61 + 2
    assert rows[1] == 300


async def test_a_failed_sign_in_can_be_looked_up_by_a_name_that_is_nowhere(mini):
    await mini.visitor().login("Ann@Example.com", "a wrong password")
    await mini.visitor().login("someone else", "a wrong password")
    (entry,) = await entries(mini, name="ann@example.COM")
    assert (entry.event, entry.subject) == ("login_failed", None)
    whole = repr(await sql(mini, "SELECT * FROM limen_audit")).lower()
    assert "ann" not in whole
    assert "someone" not in whole


async def test_a_failed_sign_in_is_one_entry_and_not_a_refusal_beside_it(mini):
    await mini.visitor().login("ann@example.com", "wrong")
    assert await names(mini) == ["login_failed"]


async def test_guarded_requests_cost_no_statement(mini):
    from tests.features.api_keys.conftest import counted

    ann = await mini.signed_in("ann@example.com")
    await ann.me()
    await mini.auth[Audit].write()
    await mini.auth[Audit].seal()
    with counted(mini) as statements:
        for _ in range(5):
            assert (await ann.get("/auth/audit")).status_code == 403
    assert [each for each in statements if "limen_audit" in each and "INSERT" in each] == []


async def test_a_change_and_its_entry_are_one_transaction(mini, monkeypatch):
    admin, ann = await mini.account("root@example.com", roles=["admin"]), await mini.account("ann@example.com")
    assert admin

    async def broken(*_):
        raise RuntimeError("the record cannot be written")

    with monkeypatch.context() as patch:
        patch.setattr(mini.auth[Audit].store, "add_within", broken)
        with pytest.raises(RuntimeError):
            await mini.auth[Roles].assign_as_operator(ann.id, roles=["admin"])
    assert (await mini.auth.kernel.users.find(ann.id)).held.roles == {"member"}
    assert "rights_changed" not in await names(mini)


async def test_what_a_worker_committed_and_did_not_live_to_tell_is_recorded(opened, monkeypatch):
    mini, box = await open_mailing(opened, Audit(), accounts={"deletion_grace_days": 30}, verification="optional")
    ann, kernel = mini.visitor(), mini.auth.kernel

    async def dies(_):
        return None

    monkeypatch.setattr(kernel.events, "publish", dies)
    await ann.register("ann@example.com")
    verify = (await box.latest(to="ann@example.com", template="verify_email")).token
    await ann.post("/auth/email/verify", json={"token": verify})
    await ann.login("ann@example.com")
    await ann.post("/auth/email/change", json={"new_email": "mean@new.example", "password": PASSWORD})
    await ann.request("DELETE", "/users/me", json={"password": PASSWORD})
    undo = (await box.latest(to="ann@example.com", template="email_change_notice")).token
    assert (await ann.post("/auth/email/change/undo", json={"token": undo})).status_code == 204
    account = await mini.auth[Accounts].find("ann@example.com")
    await kernel.newcomers.link(account, provider="idp", issuer="https://idp.example", subject="a1")
    assert set(await names(mini)) >= {
        "registered",
        "email_verified",
        "email_change_requested",
        "account_deletion_scheduled",
        "account_restored",
        "account_disowned",
        "email_change_undone",
        "identity_linked",
    }


async def test_an_outage_loses_nothing_that_fits_into_memory(mini, monkeypatch):
    from limen.errors import Unavailable

    audit = mini.auth[Audit]

    async def down(*_):
        raise Unavailable("database: gone")

    with monkeypatch.context() as patch:
        patch.setattr(audit.store, "add", down)
        for number in range(3):
            await mini.auth.kernel.events.publish(LoggedIn(at=mini.clock.now(), session_id=str(number), amr=("pwd",)))
        patch.setattr("limen.features.audit.service.MAX_WAITING", 3)
        await mini.auth.kernel.events.publish(LoggedIn(at=mini.clock.now(), session_id="4", amr=("pwd",)))
    assert await names(mini) == ["logged_in"] * 3 + ["audit_entries_lost"]
