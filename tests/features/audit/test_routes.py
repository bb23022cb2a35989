"""`GET /auth/audit`: who may read, what of it, page by page."""

import pytest
from tests.features.answers import NOTHING_PRESENTED, named_fields, refused
from tests.features.mini_app import both_carriers

from limen.events import LoggedIn

pytestmark = pytest.mark.anyio


async def publish(mini, number, subject="7"):
    for each in range(number):
        event = LoggedIn(at=mini.clock.now(), subject=subject, session_id=str(each), amr=("pwd",))
        await mini.auth.kernel.events.publish(event)


@both_carriers
async def test_only_who_holds_audit_read_reads(mini, carrier):
    answer = await mini.visitor().get("/auth/audit")
    assert refused(answer, 401, "not_authenticated")
    assert answer.headers["www-authenticate"] == NOTHING_PRESENTED
    ann = await mini.signed_in("ann@example.com")
    assert refused(await ann.get("/auth/audit"), 403, "insufficient_scope")["scope"] == "audit:read"
    admin = await mini.signed_in("root@example.com", roles=["admin"])
    assert (await admin.get("/auth/audit")).status_code == 200


async def test_an_entry_as_it_is_shown(mini):
    admin = await mini.signed_in("root@example.com", roles=["admin"])
    answer = await admin.get("/auth/audit?event=logged_in")
    (entry,) = answer.json()
    subject = admin.account.subject
    assert entry["actor"] == {"kind": "user", "subject": subject, "credential_id": None}
    assert (entry["event"], entry["result"], entry["subject"], entry["method"]) == (
        "logged_in",
        "success",
        subject,
        "pwd",
    )
    assert (entry["ip"], entry["count"]) == ("203.0.113.7", 1)
    assert entry["at"].endswith("Z")
    assert set(entry["details"]) == {"amr", "session_id"}
    assert answer.headers["cache-control"] == "no-store"


async def test_pages_follow_each_other_by_the_link_header(mini):
    admin = await mini.signed_in("root@example.com", roles=["admin"])
    await publish(mini, 11)
    seen, path = [], "/auth/audit?limit=4&user=7&event=logged_in"
    while path:
        answer = await admin.get(path)
        assert answer.status_code == 200, answer.text
        seen += [entry["details"]["session_id"] for entry in answer.json()]
        path = answer.headers.get("link", "").partition(">")[0].replace("<?", "/auth/audit?")
        await publish(mini, 1)  # what comes meanwhile moves no page
    assert seen == [str(each) for each in reversed(range(11))]


async def test_a_users_entries_are_those_about_and_those_by_them(mini):
    admin = await mini.signed_in("root@example.com", roles=["admin"])
    ann = await mini.account("ann@example.com")
    await admin.patch(f"/users/{ann.subject}", json={"is_active": False})
    by_admin = (await admin.get(f"/auth/audit?user={admin.account.subject}")).json()
    assert {"logged_in", "registered", "account_updated"} == {entry["event"] for entry in by_admin}
    about_ann = (await admin.get(f"/auth/audit?user={ann.subject}")).json()
    assert {"registered", "account_updated"} == {entry["event"] for entry in about_ann}


async def test_a_parameter_that_is_not_of_the_form_is_refused(mini):
    admin = await mini.signed_in("root@example.com", roles=["admin"])
    for query, field in (
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=-1", "cursor"),
        ("cursor=99999999999999999999", "cursor"),
        ("event=Logged-In", "event"),
        ("event=" + "x" * 65, "event"),
        ("user=" + "x" * 256, "user"),
        ("user=%00", "user"),
        ("name=" + "x" * 321, "name"),
        ("since=1", "since"),
    ):
        answer = await admin.get(f"/auth/audit?{query}")
        assert named_fields(refused(answer, 422, "validation_error")) == {field}, query


async def test_failed_sign_ins_are_found_by_name(mini):
    admin = await mini.signed_in("root@example.com", roles=["admin"])
    await mini.visitor().login("Ann@example.com", "wrong")
    found = (await admin.get("/auth/audit?name=ann@example.com")).json()
    assert [entry["event"] for entry in found] == ["login_failed"]
    assert (await admin.get("/auth/audit?name=eve@example.com")).json() == []
