"""What `current_user` hands to the app: an instance as a session would have left it."""

import pytest
from sqlalchemy import ForeignKey, String, bindparam, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from limen import UserMixin
from limen.db.database import Database
from limen.db.engine import create_engine
from limen.db.instances import InstanceLoader

pytestmark = pytest.mark.anyio


class Base(DeclarativeBase):
    pass


class Team(Base):
    __tablename__ = "teams"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))


class Plain(UserMixin, Base):
    __tablename__ = "plain"
    id: Mapped[int] = mapped_column(primary_key=True)
    nick: Mapped[str] = mapped_column("nick_name", String(50))
    team_id: Mapped[int | None] = mapped_column(ForeignKey("teams.id"))
    team: Mapped[Team | None] = relationship()

    def __init__(self, must_be_given: str) -> None:
        self.nick = must_be_given


class WithTeam(UserMixin, Base):
    __tablename__ = "with_team"
    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int | None] = mapped_column(ForeignKey("teams.id"))
    team: Mapped[Team | None] = relationship(lazy="selectin")


@pytest.fixture
async def database(database_url):
    database = Database(create_engine(database_url))
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield database
    await database.dispose()


def loader(database, model):
    return InstanceLoader(database, model, model.id == bindparam("key"))


async def stored(database, instance):
    instance.email = instance.email_canonical = "alice@example.com"
    async with AsyncSession(database.engine, expire_on_commit=False) as session, session.begin():
        session.add_all([Team(id=1, name="red"), instance])
        instance.team_id = 1
    return instance.id


async def test_a_plain_user_is_built_from_one_row_and_can_join_a_session(database):
    key = await stored(database, Plain("ali"))
    user = await loader(database, Plain).load(key=key)
    assert (user.id, user.nick, user.email, user.is_active) == (key, "ali", "alice@example.com", True)
    assert user.created_at.tzinfo is not None
    assert inspect(user).detached
    assert not inspect(user).modified
    async with AsyncSession(database.engine) as session, session.begin():
        mine = await session.merge(user)
        mine.nick = "al"
        assert (await session.run_sync(lambda _: mine.team)).name == "red"
    assert (await loader(database, Plain).load(key=key)).nick == "al"


async def test_what_the_mapping_loads_along_is_loaded_along(database):
    key = await stored(database, WithTeam())
    user = await loader(database, WithTeam).load(key=key)
    assert user.team.name == "red"


async def test_nobody_is_none(database):
    for model in (Plain, WithTeam):
        assert await loader(database, model).load(key=404) is None
