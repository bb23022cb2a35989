"""Several workers on one database write one chain."""

import subprocess
import sys

import pytest
from tests.features.audit.conftest import sql

from limen.features import Audit

pytestmark = pytest.mark.anyio

WRITING = """
import asyncio, sys
from limen import Auth, AuthSettings
from limen.events import LoggedIn, PasswordChanged
from limen.features import Audit

async def main():
    secret, url, name = sys.argv[1:]
    settings = AuthSettings(_env_file=None, secret_key=secret, database_url=url)
    auth = Auth(settings=settings, features=[Audit()])
    async with auth:
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(50):
            now, subject = auth.kernel.clock.now(), f"{name}-{number}"
            await auth.kernel.events.publish(LoggedIn(at=now, subject=subject, session_id="s", amr=("pwd",)))
            await auth.kernel.events.publish(PasswordChanged(at=now, subject=subject))
            if number % 10 == 9:
                await auth[Audit].seal()
    await auth.kernel.database.dispose()

asyncio.run(main())
"""


async def test_two_processes_that_write_at_once_make_one_chain(mini, database_url):
    from tests.features.mini_app import SECRET

    pipe = subprocess.PIPE
    commands = [[sys.executable, "-c", WRITING, SECRET, database_url, name] for name in ("one", "other")]
    processes = [
        subprocess.Popen(each, stdin=pipe, stdout=pipe, stderr=pipe, text=True)  # noqa: ASYNC220 - nothing else runs
        for each in commands
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    report = await mini.auth[Audit].verify()
    assert (report.is_intact, report.checked, report.last_seq, report.waiting) == (True, 200, 200, 0), report
    rows = await sql(mini, "SELECT subject, event FROM limen_audit ORDER BY seq")
    assert len(set(rows)) == 200
    of_one = [number for number, (subject, _) in enumerate(rows) if subject.startswith("one")]
    assert of_one != list(range(100)), "they wrote by turns"
