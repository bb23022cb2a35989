"""Whatever is good once succeeds exactly once, however many use it at the same time, in two apps on one database."""

import asyncio
from datetime import timedelta

import pytest
from tests.features.mailing import open_mailing

from limen import Accounts, Passwords
from limen.db.one_time import CODE_TRIES
from limen.features import MagicLinks, Mail
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

AT_ONCE = 50
FEW = 12  # where each brings a letter
EMAIL, NEW = "alice@example.com", "alice@new.example"


@pytest.fixture
async def apps(opened):
    """Two apps on one database, and the mailbox of the first."""
    mini, box = await open_mailing(opened, MagicLinks(), accounts={"deletion_grace_days": 30}, verification="required")
    other, _ = await open_mailing(opened, MagicLinks(), accounts={"deletion_grace_days": 30}, verification="required")
    await other.auth[Mail].delivery.stop()  # the first delivers what both post
    return mini, other, box


async def statuses(apps, path, body, *, at_once=AT_ONCE):
    """How often each status was answered to this request, sent so often at once."""
    clients = [app.visitor().client for app in apps[:2]]
    answers = await asyncio.gather(*(clients[number % 2].post(path, json=body) for number in range(at_once)))
    found = {}
    for answer in answers:
        found[answer.status_code] = found.get(answer.status_code, 0) + 1
    return found


ONCE = {200: 1, 400: AT_ONCE - 1}
ONCE_EMPTY = {204: 1, 400: AT_ONCE - 1}


async def test_whatever_a_mail_brings_is_good_once(apps):
    """Of the right codes five are looked at, right or wrong, and one of those succeeds."""
    mini, _, box = apps
    visitor = mini.visitor()

    await visitor.register()
    assert await statuses(apps, "/auth/email/verify", {"token": (await box.latest()).token}) == ONCE
    await visitor.register("bob@example.com")
    body = {"email": "bob@example.com", "code": (await box.latest()).code}
    assert await statuses(apps, "/auth/email/verify", body) == ONCE

    await visitor.client.post("/auth/magic-link", json={"email": EMAIL})
    assert await statuses(apps, "/auth/magic-link/verify", {"token": (await box.latest(to=EMAIL)).token}) == ONCE
    await visitor.client.post("/auth/magic-link", json={"email": EMAIL})
    body = {"email": EMAIL, "code": (await box.latest(template="magic_link")).code}
    assert await statuses(apps, "/auth/magic-link/verify", body) == ONCE

    await visitor.client.post("/auth/password/forgot", json={"email": EMAIL})
    body = {"token": (await box.latest(template="reset_password")).token, "new_password": PASSWORD}
    assert await statuses(apps, "/auth/password/reset", body) == ONCE_EMPTY

    alice = mini.visitor()
    await alice.login()
    await alice.post("/auth/email/change", json={"new_email": NEW, "password": PASSWORD})
    assert await statuses(apps, "/auth/email/verify", {"token": (await box.latest(to=NEW)).token}) == ONCE
    stop, undo = [(await box.latest(template=name)).token for name in ("email_change_notice", "email_changed")]
    assert await statuses(apps, "/auth/email/change/undo", {"token": undo}) == ONCE_EMPTY
    assert await statuses(apps, "/auth/email/change/undo", {"token": stop}) == {400: AT_ONCE}

    bob = mini.visitor()
    await bob.login("bob@example.com")
    await bob.request("DELETE", "/users/me", json={"password": PASSWORD})
    token = (await box.latest(template="deletion_scheduled")).token
    assert await statuses(apps, "/auth/account/restore", {"token": token}) == ONCE_EMPTY


async def test_tries_of_a_code_are_counted_exactly(apps):
    mini, other, _ = apps
    stores = [app.auth.kernel.one_time for app in (mini, other)]
    async with mini.auth.kernel.database.transaction() as connection:
        issued = await stores[0].issue_with_code_within(
            connection, "test", subject="alice", payload={}, lifetime=timedelta(minutes=5)
        )
    found = await asyncio.gather(
        *(stores[number % 2].find_by_code("test", issued.code, subject="alice") for number in range(AT_ONCE))
    )
    assert sum(each is not None for each in found) == CODE_TRIES


async def test_a_registration(apps):
    """Of so many with one address, one makes the account; all are answered alike, each by a mail to the owner."""
    mini, _, box = apps
    body = {"email": EMAIL, "password": PASSWORD}
    assert await statuses(apps, "/auth/register", body, at_once=FEW) == {202: FEW}
    kinds = [each.template for each in await box.letters()]
    assert (kinds.count("verify_email"), kinds.count("account_exists")) == (1, FEW - 1)
    assert len(await mini.auth[Accounts].list()) == 1


async def test_of_the_links_that_are_asked_for_at_once_the_last_is_good(apps):
    """And only that: otherwise each would bring its own tries of a code."""
    mini, _, box = apps
    await mini.account(is_verified=True)
    asked = await statuses(apps, "/auth/magic-link", {"email": EMAIL}, at_once=FEW)
    assert asked == {202: FEW}
    tokens = [each.token for each in await box.letters()]
    answers = [await mini.visitor().client.post("/auth/magic-link/verify", json={"token": token}) for token in tokens]
    assert sorted(answer.status_code for answer in answers) == [200, *[400] * (FEW - 1)]


async def test_every_purpose_is_refused_at_every_others_route(apps):
    mini, _, box = apps
    alice = await mini.signed_in(is_verified=True)
    await mini.visitor().register("bob@example.com")
    await mini.visitor().client.post("/auth/password/forgot", json={"email": EMAIL})
    await mini.visitor().client.post("/auth/magic-link", json={"email": EMAIL})
    await alice.post("/auth/email/change", json={"new_email": NEW, "password": PASSWORD})
    held = await mini.visitor().login("bob@example.com")
    tokens = {
        "verify": (await box.latest(template="verify_email")).token,
        "confirm": (await box.latest(template="confirm_new_email")).token,
        "stop": (await box.latest(template="email_change_notice")).token,
        "reset": (await box.latest(template="reset_password")).token,
        "link": (await box.latest(template="magic_link")).token,
        "ticket": held.json()["ticket"],
        "refresh": (await mini.auth[Passwords].login(EMAIL, PASSWORD)).body["refresh_token"],
    }
    routes = {
        "/auth/email/verify": ({"verify", "confirm"}, {}),
        "/auth/email/change/undo": ({"stop"}, {}),
        "/auth/password/reset": ({"reset"}, {"new_password": "some other long sentence"}),
        "/auth/magic-link/verify": ({"link"}, {}),
        "/auth/account/restore": (set(), {}),
    }
    for path, (good, more) in routes.items():
        for purpose, token in tokens.items():
            if purpose not in good:
                answer = await mini.visitor().client.post(path, json={"token": token, **more})
                assert answer.status_code == 400, (path, purpose, answer.text)
