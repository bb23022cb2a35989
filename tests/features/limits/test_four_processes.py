"""Two hundred wrong passwords at once over four processes: ten are looked at, whoever keeps the tries."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest
from tests.features.mini_app import features_of, open_app

from limen.features import Limits
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio

PROCESSES, TRIES = 4, 50
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def guessers():
    """Four processes that wait for an account to guess at."""
    command = [sys.executable, "-m", "tests.features.limits.guesser"]
    processes = [
        subprocess.Popen(
            [*command, str(number)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for number in range(PROCESSES)
    ]
    yield processes
    for process in processes:
        process.stdin.close()
        process.wait(timeout=20)
        process.stdout.close()


@pytest.fixture(params=["sqlite", "postgresql", "valkey"])
def stores(request, tmp_path):
    """The URLs of the database and of Valkey."""
    sqlite = f"sqlite+aiosqlite:///{tmp_path}/{uuid4().hex}.db"
    if request.param == "sqlite":
        yield sqlite, None
    elif request.param == "valkey":
        yield sqlite, request.getfixturevalue("valkey_server").url
    else:
        server = request.getfixturevalue("postgres_server")
        url = server.create_database()
        yield url, None
        server.drop_database(url)


def tell_all(guessers, what):
    for process in guessers:
        process.stdin.write(f"{json.dumps(what)}\n")


def heard_from_all(guessers):
    return [json.loads(process.stdout.readline()) for process in guessers]


async def test_ten_of_two_hundred_guesses_are_looked_at(guessers, stores):
    database_url, redis_url = stores
    async with open_app(database_url, features=features_of(Limits()), settings={"redis_url": redis_url}) as mini:
        await mini.account()
    tell_all(guessers, {"database_url": database_url, "redis_url": redis_url, "tries": TRIES})
    assert heard_from_all(guessers) == ["ready"] * PROCESSES
    tell_all(guessers, "go")
    answers = heard_from_all(guessers)
    statuses = sum((Counter(answer["statuses"]) for answer in answers), Counter())
    assert statuses == {"401": 10, "429": PROCESSES * TRIES - 10}
    assert sum(answer["looked_at"] for answer in answers) == 10
    assert PASSWORD not in json.dumps(answers)
