"""A user's rights are that user's, whoever else is in the table."""

from collections.abc import AsyncIterator

import pytest

from limen import Accounts, Auth, AuthSettings, Passwords, Role, Roles, Sessions, Tokens
from limen.db.database import Database
from limen.testing import PASSWORD, as_user, create_tables, fast_hasher

pytestmark = pytest.mark.anyio


@pytest.fixture
async def auth(database_url: str) -> AsyncIterator[Auth]:
    settings = AuthSettings(
        secret_key="a secret of more than thirty-two bytes, for tests only", database_url=database_url
    )
    features = [Passwords(hasher=fast_hasher()), Tokens(), Sessions(), Accounts(), Roles()]
    auth = Auth(settings=settings, features=features, roles=[Role("reader", ["items:read"]), Role("admin", ["*"])])
    await create_tables(auth)
    async with auth:
        yield auth


async def test_each_of_several_users_has_their_own_rights_and_state(auth: Auth) -> None:
    first = await auth[Accounts].register(email="first@example.com", password=PASSWORD, roles=["admin"])
    second = await auth[Accounts].register(email="second@example.com", password=PASSWORD, roles=["reader"])
    await disable(auth, second.id)
    held = [(await auth.kernel.users.find(account.id)).held for account in (first, second)]  # type: ignore[union-attr]
    assert [sorted(each.roles) for each in held] == [["admin"], ["reader"]]
    assert [each.is_active for each in held] == [True, False]


async def disable(auth: Auth, user_id: object) -> None:
    database: Database = auth.kernel.database
    async with database.transaction() as connection:
        await auth.kernel.users.change_within(connection, user_id, {"is_active": False})


async def test_a_refresh_brings_the_rights_of_its_own_user(auth: Auth) -> None:
    admin = await as_user(auth, roles=["admin"])
    reader = await as_user(auth, roles=["reader"])
    for signed_in, scope in ((reader, "items:read"), (admin, "*"), (await as_user(auth, roles=[]), "")):
        assert (await auth[Tokens].refresh(signed_in.refresh_token)).body["scope"] == scope
