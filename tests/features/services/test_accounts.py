"""Service accounts over HTTP: made by administrators, who hand out nothing that they do not hold."""

import re

import pytest
from tests.features.answers import named_fields, oauth_refused, refused
from tests.features.services.conftest import make_machine, new_key, public

from limen import Roles, Services
from limen.core.revocations import Revoked
from limen.errors import TooManyKeys
from limen.events import ServiceCreated, ServiceCredentialAdded, ServiceCredentialsEnded

pytestmark = pytest.mark.anyio


@pytest.fixture
async def admin(mini):
    return await mini.signed_in("root@example.com", roles=["admin"])


async def test_an_administrator_makes_a_service_and_gives_it_rights_and_a_secret(mini, admin):
    answer = await admin.post("/auth/services", json={"name": "ci-bot"})
    assert answer.status_code == 201
    service = answer.json()
    assert service.keys() == {"id", "name", "is_active", "roles", "permissions", "created_at"}
    assert (service["name"], service["roles"], service["permissions"]) == ("ci-bot", [], [])
    answer = await admin.request("PUT", f"/users/{service['id']}/permissions", json={"permissions": ["items:read"]})
    assert answer.status_code == 200
    answer = await admin.post(f"/auth/services/{service['id']}/secrets", json={})
    assert answer.status_code == 201
    secret = answer.json()
    assert re.fullmatch(r"lmc_[0-9A-Za-z]{54}", secret["client_secret"])
    assert secret["client_id"] == service["id"]
    form = {"grant_type": "client_credentials"}
    tokens = await mini.visitor().client.post("/auth/token", data=form, auth=(service["id"], secret["client_secret"]))
    assert tokens.json()["scope"] == "items:read"
    assert [each["name"] for each in (await admin.get("/auth/services")).json()] == ["ci-bot"]
    listed = await admin.get(f"/auth/services/{service['id']}/credentials")
    assert [each["id"] for each in listed.json()] == [secret["id"]]
    assert secret["client_secret"] not in listed.text
    assert (len(mini.heard(ServiceCreated)), len(mini.heard(ServiceCredentialAdded))) == (1, 1)


async def test_names_are_unique_among_all_who_have_one(mini, admin):
    await mini.account("bob@example.com", username="bob")
    for name in ("ci", "CI", "bob"):
        answer = await admin.post("/auth/services", json={"name": name})
        assert answer.status_code == (201 if name == "ci" else 409)
    for name in ("", "a b", "x" * 65, "ä", "a\x00"):
        body = refused(await admin.post("/auth/services", json={"name": name}), 422, "validation_error")
        assert named_fields(body) <= {"name", "username"}


async def test_secrets_rotate_with_an_overlap(mini, admin):
    machine = await make_machine(mini)
    path = f"/auth/services/{machine.id}/secrets"
    new = (await admin.post(path, json={"overlap_seconds": 60})).json()["client_secret"]
    for secret in (machine.secret, new):
        assert (await machine.ask(auth=(machine.id, secret))).status_code == 200
    mini.clock.advance(seconds=61)
    oauth_refused(await machine.by_basic(), 401, "invalid_client")
    assert (await machine.ask(auth=(machine.id, new))).status_code == 200
    (event,) = mini.heard(ServiceCredentialsEnded)
    assert (event.credential_ids, event.reason) == ((machine.credential_id,), "rotated")


async def test_a_secret_expires(mini, admin):
    machine = await make_machine(mini)
    answer = await admin.post(f"/auth/services/{machine.id}/secrets", json={"expires_in_days": 1})
    secret = answer.json()["client_secret"]
    mini.clock.advance(hours=23)
    assert (await machine.ask(auth=(machine.id, secret))).status_code == 200
    mini.clock.advance(hours=2)
    oauth_refused(await machine.ask(auth=(machine.id, secret)), 401, "invalid_client")


async def test_nobody_hands_out_what_they_do_not_hold(mini, admin):
    """Else a secret of a mightier service would be a way to its rights."""
    machine = await make_machine(mini, "mighty", roles=["admin"])
    clerk = await mini.signed_in("clerk@example.com", roles=[])
    await mini.auth[Roles].assign_as_operator(clerk.account.id, permissions=["users:write", "users:read"])
    await clerk.login("clerk@example.com")
    for path, body in (
        (f"/auth/services/{machine.id}/secrets", {}),
        (f"/auth/services/{machine.id}/keys", {"public_key": public(new_key("ES256"))}),
        (f"/users/{machine.id}/api-keys", {"name": "x"}),
    ):
        refused(await clerk.post(path, json=body), 403, "insufficient_scope")
        assert (await admin.post(path, json=body)).status_code == 201
    weak = await make_machine(mini, "weak", permissions=["users:read"])
    assert (await clerk.post(f"/auth/services/{weak.id}/secrets", json={})).status_code == 201


async def test_services_are_for_those_who_may_change_users(mini, admin):
    machine, alice = await make_machine(mini), await mini.signed_in()
    path = f"/auth/services/{machine.id}"
    for method, target in (
        ("POST", "/auth/services"),
        ("GET", "/auth/services"),
        ("GET", f"{path}/credentials"),
        ("POST", f"{path}/secrets"),
        ("POST", f"{path}/keys"),
        ("DELETE", f"{path}/credentials/{machine.credential_id}"),
    ):
        body = None if method != "POST" else {"name": "x", "public_key": "x"}
        refused(await alice.request(method, target, json=body), 403, "insufficient_scope")
        refused(await mini.visitor().client.request(method, target, json=body), 401, "not_authenticated")


async def test_what_is_no_service_is_not_found(mini, admin):
    alice = await mini.signed_in()
    for subject in (alice.account.subject, "nobody", "0" * 36):
        refused(await admin.post(f"/auth/services/{subject}/secrets", json={}), 404, "not_found")
        refused(await admin.get(f"/auth/services/{subject}/credentials"), 404, "not_found")
    machine = await make_machine(mini)
    for odd in ("x", "0" * 16, "a" * 5000):
        refused(await admin.delete(f"/auth/services/{machine.id}/credentials/{odd}"), 404, "not_found")


async def test_credentials_of_a_service_are_bounded(mini):
    machine = await make_machine(mini)
    services = mini.auth[Services]
    for _ in range(9):
        await services.add_secret(machine.account)
    with pytest.raises(TooManyKeys):
        await services.add_secret(machine.account)
    await services.revoke_credential(machine.account, machine.credential_id)
    await services.add_secret(machine.account)


async def test_a_service_is_no_last_administrator(mini, admin):
    """One that cannot sign in cannot let people in again."""
    await make_machine(mini, "mighty", roles=["admin"])
    answer = await admin.request("PUT", f"/users/{admin.account.subject}/roles", json={"roles": []})
    refused(answer, 409, "last_admin")


async def test_revoking_a_credential_is_told_to_all_workers(mini, admin):
    machine = await make_machine(mini)
    heard = []
    mini.auth.kernel.revocations.subscribe(heard.append)
    path = f"/auth/services/{machine.id}/credentials/{machine.credential_id}"
    assert (await admin.delete(path)).status_code == 204
    assert [(entry.kind, entry.target) for entry in heard] == [(Revoked.SUBJECT, machine.id)]


async def test_ended_credentials_are_purged_after_a_month(mini):
    machine = await make_machine(mini)
    services = mini.auth[Services]
    await services.revoke_credential(machine.account, machine.credential_id)
    mini.clock.advance(days=31)
    await services.purge()
    assert await services.store.find(machine.credential_id) is None
