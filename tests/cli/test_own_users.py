"""The commands on an app's own user table, with an integer key and columns of its own."""

import asyncio
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from tests.cli.conftest import PASSWORD, Limen

MEMBERS = """
from limen import Accounts, Auth, Passwords, Roles, Sessions, Tokens, UserMixin
from limen.testing import fast_hasher
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase): ...

class Member(UserMixin, Base):
    __tablename__ = "members"
    id: Mapped[int] = mapped_column(primary_key=True)
    nickname: Mapped[str] = mapped_column({default})

auth = Auth(user=Member, features=[Passwords(hasher=fast_hasher()), Tokens(), Sessions(), Accounts(), Roles()])
"""

WriteApp = Callable[..., None]


@pytest.fixture
def write_app(app_name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> WriteApp:
    """Write the app, and make its own table as its own migrations would."""
    monkeypatch.setenv("LIMEN_APP", app_name)

    def write(*, default: str, with_table: bool = True) -> None:
        (home / f"{app_name}.py").write_text(MEMBERS.format(default=default))
        if with_table:
            monkeypatch.syspath_prepend(str(home))
            asyncio.run(_make_table(import_module(app_name)))

    return write


async def _make_table(module: object) -> None:
    engine = module.auth.kernel.database.engine  # type: ignore[attr-defined]
    async with engine.begin() as connection:
        await connection.run_sync(module.Member.__table__.create)  # type: ignore[attr-defined]
    await engine.dispose()


def test_users_are_made_listed_and_disabled_by_their_integer_key(limen: Limen, write_app: WriteApp) -> None:
    write_app(default='default="Ada"')
    assert limen("migrate").exit_code == 0
    created = limen("users", "create", "--email", "ada@example.com", "--password", PASSWORD, "--json")
    user = json.loads(created.stdout)
    assert isinstance(user["id"], int)
    assert limen("users", "disable", str(user["id"])).stdout == "Disabled ada@example.com.\n"
    assert [each["is_active"] for each in json.loads(limen("users", "list", "--json").stdout)] == [False]


def test_migrate_names_the_own_table_that_is_not_there(limen: Limen, write_app: WriteApp) -> None:
    write_app(default="", with_table=False)
    done = limen("migrate")
    assert done.exit_code == 1
    assert done.stderr.startswith("limen: The app's own user table members does not exist: ")


def test_own_column_that_must_be_given_is_one_sentence(limen: Limen, write_app: WriteApp) -> None:
    write_app(default="")
    assert limen("migrate").exit_code == 0
    done = limen("users", "create", "--email", "ada@example.com", "--password", PASSWORD)
    assert done.exit_code == 1
    assert "nickname" in done.stderr
    assert done.stderr.count("\n") == 1
