"""A name without an account costs the same statements as one with: their time, too, tells nothing."""

from contextlib import contextmanager

import pytest
from sqlalchemy import event
from tests.features.mailing import open_mailing

from limen.features import MagicLinks, Mail
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

REQUESTS = ("/auth/register", "/auth/password/forgot", "/auth/email/verification", "/auth/magic-link")


@contextmanager
def statements_on(database):
    """What is executed meanwhile, without its values."""
    said = []

    def note(connection, cursor, statement, *rest):
        said.append(" ".join(statement.split()))

    for engine in database.engines:
        event.listen(engine, "before_cursor_execute", note)
    yield said
    for engine in database.engines:
        event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("path", REQUESTS)
async def test_whoever_is_asked_for_the_same_statements_are_executed(opened, path):
    mini, _ = await open_mailing(opened, MagicLinks(), verification="required")
    await mini.account("known@example.com")
    await mini.auth[Mail].delivery.stop()
    done = {}
    for email in ("known@example.com", "unknown@example.com"):
        body = {"email": email, **({"password": PASSWORD} if path == "/auth/register" else {})}
        with statements_on(mini.auth.kernel.database) as said:
            assert (await mini.visitor().client.post(path, json=body)).status_code == 202
        done[email] = sorted(said)
    assert done["known@example.com"] == done["unknown@example.com"]
    assert len(done["known@example.com"]) >= 3
