"""What the hidden proofs of pages use."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from limen import Accounts, Auth, Roles
from limen.testing import create_tables

PASSWORD = "a long walk by the sea"


@contextmanager
def visiting(app: FastAPI, auth: Auth[Any]) -> Iterator[TestClient]:
    """A client of the app, which runs on an empty database with its tables made."""

    async def make_tables() -> None:
        await create_tables(auth)
        await auth.kernel.database.dispose()

    for path in Path().glob("limen.db*"):
        path.unlink()
    asyncio.run(make_tables())
    with TestClient(app, base_url="http://localhost:8000", raise_server_exceptions=True) as client:
        yield client


def sign_in(client: TestClient, email: str = "ada@example.com", **fields: Any) -> dict[str, str]:
    """Register someone and sign them in; the headers that say so."""
    registered = client.post("/auth/register", json={"email": email, "password": PASSWORD, **fields})
    assert registered.status_code == 201, registered.text
    answer = client.post("/auth/login", data={"username": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def grant(client: TestClient, auth: Auth[Any], email: str, *roles: str) -> None:
    """Give someone roles, as an operator does, in the app's own event loop."""

    async def assign() -> None:
        account = await auth[Accounts].find(email)
        await auth[Roles].assign_as_operator(account.id, roles=roles)

    assert client.portal is not None
    client.portal.call(assign)
