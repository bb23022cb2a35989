"""Two services as people run them: the example's issuer and verifier, each a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from tests.servers.valkey import ValkeyServer
from tests.servers.workers import CHEAP_HASHING, NO_LIMITS, SECRET_KEY, Worker

EXAMPLE = Path(__file__).parents[3] / "examples/two_services"
PASSWORD = "correct horse battery staple"


@dataclass
class TwoServices:
    """Both, and someone who uses them."""

    issuer: Worker
    verifier: Worker
    client: httpx2.Client

    def sign_in(self) -> dict[str, str]:
        """The headers of someone who has just registered and signed in at the issuer."""
        email = f"{uuid4().hex}@example.com"
        made = self.client.post(f"{self.issuer.url}/auth/register", json={"email": email, "password": PASSWORD})
        assert made.status_code == 201, made.text
        form = {"username": email, "password": PASSWORD}
        tokens = self.client.post(f"{self.issuer.url}/auth/login", data=form).json()
        return {"Authorization": f"Bearer {tokens['access_token']}"}

    def at_verifier(self, path: str, headers: dict[str, str], *, method: str = "GET") -> httpx2.Response:
        return self.client.request(method, self.verifier.url + path, headers=headers)


@pytest.fixture(scope="module")
def services(valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoServices]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIMEN_")}
    environment = {
        **inherited,
        **CHEAP_HASHING,
        **NO_LIMITS,
        "LIMEN_SECRET_KEY": SECRET_KEY,
        "LIMEN_ALGORITHM": "ES256",
    }
    environment["LIMEN_DATABASE_URL"] = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('issuer')}/limen.db"
    environment["LIMEN_REDIS_URL"] = environment["REDIS_URL"] = valkey_server.url
    issuer = Worker("issuer:app", environment=environment, app_folder=EXAMPLE)
    verifier = Worker("verifier:app", environment=environment, app_folder=EXAMPLE)
    environment |= {"LIMEN_BASE_URL": issuer.url, "ISSUER": f"{issuer.url}/auth", "PYTHONPATH": str(EXAMPLE)}
    migrate = [sys.executable, "-m", "limen", "migrate", "--app", "issuer:app"]
    subprocess.run(migrate, env=environment, cwd="/", check=True, capture_output=True, timeout=60)
    try:
        verifier.start()  # before the issuer: it waits for nobody
        with httpx2.Client() as client:
            assert client.get(f"{verifier.url}/health").status_code == 200
            issuer.start()
            yield TwoServices(issuer, verifier, client)
    finally:
        verifier.close()
        issuer.close()


def test_a_token_of_the_issuer_opens_the_verifier(services: TwoServices) -> None:
    alice = services.sign_in()
    who = services.at_verifier("/whoami", alice)
    assert who.status_code == 200, who.text
    assert who.json()["issuer"] == f"{services.issuer.url}/auth"
    assert services.at_verifier("/items", alice).json() == ["lamp", "ladder"]


def test_the_verifier_asks_for_permissions_as_the_issuer_does(services: TwoServices) -> None:
    refused = services.at_verifier("/items", services.sign_in(), method="POST")
    assert refused.status_code == 403
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["scope"] == "items:write"
    assert services.at_verifier("/items", {}).status_code == 401


def test_what_the_issuer_takes_back_is_refused_by_the_verifier_at_once(services: TwoServices) -> None:
    seconds = [refused_after_logout(services) for _ in range(20)]
    assert median(seconds) < 0.2, seconds  # 100 ms is the promise; this machine has other work too
    assert max(seconds) < 1, seconds


def test_the_issuer_may_be_gone(services: TwoServices) -> None:
    """Keys that are known go on being good; nothing is asked per request."""
    alice = services.sign_in()
    assert services.at_verifier("/whoami", alice).status_code == 200  # whichever test comes first
    services.issuer.stop()
    try:
        for _ in range(20):
            assert services.at_verifier("/whoami", alice).status_code == 200
    finally:
        services.issuer.start()


def refused_after_logout(services: TwoServices) -> float:
    alice = services.sign_in()
    assert services.at_verifier("/whoami", alice).status_code == 200
    assert services.client.post(f"{services.issuer.url}/auth/logout", headers=alice).status_code == 204
    left = time.monotonic()
    answer: Any = None
    while time.monotonic() - left < 5:
        answer = services.at_verifier("/whoami", alice)
        if answer.status_code == 401:
            return time.monotonic() - left
    raise AssertionError(f"still let in: {answer.text}")
