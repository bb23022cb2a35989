"""`limen sessions end-all` and `limen purge`."""

import asyncio
import importlib
import json

import pytest

from limen import Accounts, Sessions
from limen.core.client import NOWHERE
from limen.core.login import Proof

PASSWORD = "a pass phrase of the tests"


@pytest.fixture
def auth(limen, app_file, app_name):
    limen("migrate", "--app", app_name)
    made = limen("users", "create", "--email", "ann@example.com", "--password", PASSWORD, "--app", app_name)
    assert made.exit_code == 0, made.output
    return importlib.import_module(app_file).auth


def test_everybody_is_signed_out_once_it_is_meant(limen, auth, app_name):
    async def sign_in():
        async with auth:
            account = await auth[Accounts].find("ann@example.com")
            for _ in range(2):
                await auth[Sessions].issue(Proof(subject=account.subject, amr=("pwd",)), NOWHERE)

    asyncio.run(sign_in())
    asked = limen("sessions", "end-all", "--app", app_name, stdin="n\n")
    assert asked.exit_code == 1
    answer = limen("sessions", "end-all", "--yes", "--app", app_name)
    assert (answer.exit_code, answer.output) == (0, "Ended 2 sessions.\n")
    assert limen("sessions", "end-all", "--yes", "--app", app_name).output == "Ended 0 sessions.\n"


def test_what_has_expired_is_deleted_and_counted(limen, auth, app_name):
    async def let_expire():
        async with auth:
            over = -auth.kernel.sessions.lifetimes.idle
            for number in range(2):
                await auth.kernel.one_time.issue("some", subject=str(number), payload={}, lifetime=over)

    asyncio.run(let_expire())
    answer = limen("purge", "--json", "--app", app_name)
    assert answer.exit_code == 0, answer.output
    said = json.loads(answer.output)
    assert said["one-time secrets"] == 2
    assert {"revocations", "sessions", "signing keys", "accounts"} <= said.keys()
    lines = limen("purge", "--app", app_name).output.splitlines()
    assert lines[0].split() == ["WHAT", "DELETED"]
    assert "one-time secrets" in lines[2]


def test_what_could_not_be_deleted_is_said(limen, auth, app_name, monkeypatch):
    async def broken():
        raise RuntimeError("no")

    monkeypatch.setitem(auth.kernel.follower._purges, "sessions", broken)
    answer = limen("purge", "--json", "--app", app_name)
    assert answer.exit_code == 1
    said = json.loads(answer.output)
    assert said["sessions"] is None
    assert said["accounts"] == 0
