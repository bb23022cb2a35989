"""Whatever has expired is deleted, and counted, so many rows at a time."""

from datetime import timedelta

import pytest
from tests.features.accounts.test_closing import GRACE, close
from tests.features.mailing import open_mailing

from limen import Accounts, ApiKeys
from limen.features import Audit
from limen.features.limits import Limits, LimitSettings

pytestmark = pytest.mark.anyio


async def test_each_kind_of_what_has_expired_is_deleted_and_counted(opened, monkeypatch):
    limits = Limits(settings=LimitSettings(_env_file=None))
    mini, _ = await open_mailing(opened, limits, Audit(retention=timedelta(days=30)), accounts=GRACE)
    monkeypatch.setattr("limen.db.expired.AT_ONCE", 2)
    leaving, kernel = await mini.signed_in(), mini.auth.kernel
    people = [await mini.signed_in(f"ann{number}@example.com") for number in range(5)]
    for browser in people:
        await browser.post("/auth/password/forgot", json={"email": browser.account.email})
        await browser.logout()
    key = await mini.auth[ApiKeys].create(people[0].account, name="ci")
    await mini.auth[ApiKeys].revoke(key.key.id)
    await close(leaving)
    early = dict(await kernel.follower.purge())
    assert early.pop("limits") == 7, "tries that were given back say nothing"
    assert set(early.values()) == {0}
    await mini.auth[Audit].write()
    await mini.auth[Audit].seal()  # what has no place in the chain yet is not purged
    mini.clock.advance(days=100)
    purged = dict(await kernel.follower.purge())
    assert purged.pop("audit entries") > 10
    assert purged.pop("limits") > 3
    assert purged.pop("revocations") == 8
    assert purged == {
        "one-time secrets": 6,
        "changes of address": 0,
        "signing keys": 0,
        "sessions": 6,
        "API keys": 1,
        "letters": 0,
        "accounts": 1,
    }
    assert len(await mini.auth[Accounts].list()) == 5
    mini.clock.advance(hours=1)
    assert sum(filter(None, (await kernel.follower.purge()).values())) <= 2, "what the deletion itself left"
