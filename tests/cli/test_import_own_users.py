"""`limen import csv` into an app's own user table, with an integer key and columns of its own."""

import asyncio
import json
from importlib import import_module
from pathlib import Path

import pytest
from tests.cli.conftest import PASSWORD, Limen
from tests.cli.test_imports import reasons, write_csv

from limen import Accounts

OWN_USERS = """
from datetime import date
from limen import Accounts, Auth, Passwords, Roles, Sessions, Tokens, UserMixin
from limen.testing import fast_hasher
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase): ...

class Member(UserMixin, Base):
    __tablename__ = "members"
    id: Mapped[int] = mapped_column(primary_key=True)
    nickname: Mapped[str] = mapped_column(String(20))
    credit: Mapped[int] = mapped_column(default=0)
    birthday: Mapped[date | None] = mapped_column(default=None)

auth = Auth(user=Member, features=[Passwords(hasher=fast_hasher()), Tokens(), Sessions(), Accounts(), Roles()])
"""


def test_own_columns_are_mapped_converted_and_checked(
    limen: Limen, home: Path, app_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / f"{app_name}.py").write_text(OWN_USERS)
    monkeypatch.setenv("LIMEN_APP", app_name)
    monkeypatch.syspath_prepend(str(home))
    auth = import_module(app_name).auth

    async def make() -> None:
        async with auth.kernel.database.engine.begin() as connection:
            await connection.run_sync(import_module(app_name).Member.__table__.create)
        await auth.kernel.database.dispose()

    asyncio.run(make())
    assert limen("migrate").exit_code == 0
    rows = [
        {"id": 7, "email": "ada@example.com", "nick": "Ada", "points": "12", "born": "1815-12-10"},
        {"id": 9, "email": "bea@example.com", "nick": "Bea", "points": "", "born": ""},
        {"id": "x", "email": "cleo@example.com", "nick": "Cleo", "points": "1", "born": ""},
        {"id": 11, "email": "dora@example.com", "nick": "D" * 21, "points": "1", "born": ""},
        {"id": 12, "email": "emil@example.com", "nick": "Emil", "points": "many", "born": ""},
        {"id": 13, "email": "finn@example.com", "nick": "", "points": "1", "born": ""},
        {"id": 9, "email": "gil@example.com", "nick": "Gil", "points": "1", "born": ""},
    ]
    write_csv(home / "users.csv", rows)
    maps = ["--map", "nickname=nick", "--map", "credit=points", "--map", "birthday=born"]
    done = limen("import", "csv", "--from", "users.csv", "--keep-ids", "--json", *maps)
    report = json.loads(done.stdout)
    found = reasons(report)
    assert found[4] == "the id is no key of the user table"
    assert found[5] == "nickname is over 20 characters"
    assert found[6] == "credit is no int"
    assert "nickname" in found[7]
    assert found[8].startswith("the database refuses the row")
    listed = {user["email"]: user for user in json.loads(limen("users", "list", "--json").stdout)}
    assert sorted(listed) == ["ada@example.com", "bea@example.com"]
    assert listed["ada@example.com"]["id"] == 7
    again = json.loads(limen("import", "csv", "--from", "users.csv", "--keep-ids", "--json", *maps).stdout)
    assert again["already_there"] == 2
    assert reasons(again)[8] == "the id is another account's"

    async def register() -> int:
        new = await auth[Accounts].register(email="new@example.com", password=PASSWORD, values={"nickname": "New"})
        await auth.kernel.database.dispose()
        return int(new.subject)

    assert asyncio.run(register()) > 9, "the next key is a free one"
    refused = limen("import", "csv", "--from", "users.csv", "--map", "is_service=nick")
    assert refused.exit_code == 1
    assert "'is_service' is none of id, email" in refused.stderr
