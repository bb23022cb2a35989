"""An app's own `class User(UserMixin, Base)`: any key, any columns, any table name, in the app's own metadata."""

from typing import Annotated
from uuid import UUID, uuid4

import pytest
from fastapi import Depends
from pydantic import BaseModel
from sqlalchemy import ForeignKey, MetaData, String, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from tests.features.answers import refused
from tests.features.mini_app import both_carriers, features_of, settings_of

from limen import Auth, UserMixin
from limen.errors import ConfigurationError
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Team(Base):
    __tablename__ = "teams"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Person(UserMixin, Base):
    """An integer key under another name, a column called otherwise than its attribute, a relationship."""

    __tablename__ = "people"

    number: Mapped[int] = mapped_column(primary_key=True)
    nick: Mapped[str | None] = mapped_column("nick_name", String(20))
    team_id: Mapped[int | None] = mapped_column(ForeignKey("teams.id"))
    team: Mapped[Team | None] = relationship()


class Text(DeclarativeBase):
    pass


class Handle(UserMixin, Text):
    """A text key that the app makes."""

    __tablename__ = "handles"

    handle: Mapped[str] = mapped_column(String(40), primary_key=True, default=lambda: f"user/{uuid4().hex[:8]}")


class Unique(DeclarativeBase):
    pass


class Owner(UserMixin, Unique):
    __tablename__ = "owners"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)


MODELS = [Person, Handle, Owner]


def routes(app, auth):
    @app.get("/whoami")
    async def whoami(user: Annotated[object, Depends(auth.current_user)]) -> str:
        return type(user).__name__


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@both_carriers
async def test_a_whole_life_on_an_own_model(opened, model):
    mini = await opened(user=model, routes=routes)
    answer = await mini.visitor().register(username="alice")
    assert answer.status_code == 201, answer.text
    key = answer.json()["id"]
    assert isinstance(key, int) == (model is Person)
    alice, elsewhere = mini.visitor(), mini.visitor()
    await alice.login("alice")
    await elsewhere.login()
    assert (await alice.me()).json()["id"] == key
    assert (await alice.get("/whoami")).json() == model.__name__
    refused(await mini.visitor().register(), 409, "email_taken")
    refused(await mini.visitor().register("bob@example.com", username="ALICE"), 409, "username_taken")
    assert len((await alice.get("/auth/sessions")).json()) == 2
    assert (await alice.delete("/auth/sessions")).status_code == 204
    refused(await elsewhere.me(), 401, "invalid_token")
    assert (await alice.request("DELETE", "/users/me", json={"password": PASSWORD})).status_code == 204
    refused(await alice.me(), 401, "invalid_token")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
async def test_a_refresh_works_on_an_own_model(opened, model):
    mini = await opened(user=model)
    alice = await mini.signed_in()
    assert (await alice.refresh()).status_code == 200
    assert (await alice.me()).status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
async def test_limens_tables_stand_in_the_apps_metadata_beside_its_own(opened, model):
    mini = await opened(user=model)
    tables = mini.auth.tables()
    assert model.__table__ in tables
    assert all(table.metadata is model.metadata for table in tables)
    assert all(table.name.startswith("limen_") for table in tables if table is not model.__table__)


@both_carriers
async def test_the_endpoint_gets_the_apps_own_row(opened):
    def own_routes(app, auth):
        @app.get("/nick")
        async def nick(user: Annotated[Person, Depends(auth.current_user)]) -> str | None:
            return user.nick

    mini = await opened(user=Person, routes=own_routes)
    alice = await mini.signed_in(values={"nick_name": "al"})
    assert (await alice.get("/nick")).json() == "al"


@both_carriers
async def test_the_apps_own_session_writes_what_limen_then_reads(opened):
    mini = await opened(user=Person)
    alice = await mini.signed_in()
    async with async_sessionmaker(mini.auth.kernel.database.engine)() as session, session.begin():
        person = (await session.execute(select(Person))).scalar_one()
        person.team = Team(name="blue")
        person.username, person.username_canonical = "Al", "al"
    assert (await alice.me()).json()["username"] == "Al"


async def test_who_takes_a_deleted_users_key_is_somebody_new(opened):
    mini = await opened(user=Person)
    alice = await mini.signed_in(roles=["editor"])
    old = alice.tokens
    assert (await alice.request("DELETE", "/users/me", json={"password": PASSWORD})).status_code == 204
    await mini.account("bob@example.com")
    bob = mini.visitor()
    assert (await bob.login("bob@example.com")).json()["scope"] == "items:read items:write"
    assert (await bob.me()).status_code == 200
    alice.tokens = old
    refused(await alice.me(), 401, "invalid_token")


@pytest.fixture
async def own_engine(new_database):
    engine = create_async_engine(new_database(with_tables=False))
    yield engine
    await engine.dispose()


async def test_on_the_apps_own_engine_nothing_of_a_closed_account_is_left(own_engine, opened):
    mini = await opened(user=Owner, engine=own_engine)
    alice = await mini.signed_in()
    assert (await alice.request("DELETE", "/users/me", json={"password": PASSWORD})).status_code == 204
    for table in mini.auth.tables():
        if table.name.startswith("limen_") and "user_id" in table.c:
            assert not await mini.auth.kernel.database.read(table.select()), table.name


def test_a_model_that_cannot_be_a_user_is_refused_at_start():
    from tests.features.mini_app import features_of, settings_of

    from limen import Auth

    class Two(DeclarativeBase):
        pass

    class Pair(UserMixin, Two):
        __tablename__ = "pairs"

        left: Mapped[int] = mapped_column(primary_key=True)
        right: Mapped[int] = mapped_column(primary_key=True)

    class Unmapped(UserMixin):
        pass

    for model in (Pair, Unmapped):
        with pytest.raises(ConfigurationError, match=model.__name__):
            Auth(user=model, settings=settings_of("sqlite+aiosqlite://"), features=features_of())


class Named(DeclarativeBase):
    metadata = MetaData(naming_convention={"pk": "pk_%(table_name)s"})


class NamedUser(UserMixin, Named):
    __tablename__ = "people"
    id: Mapped[int] = mapped_column(primary_key=True)


async def test_an_apps_naming_convention_may_lack_indexes(opened):
    mini = await opened(user=NamedUser)
    assert (await (await mini.signed_in()).me()).status_code == 200


class Everything(BaseModel):
    is_active: bool


class Nothing(BaseModel):
    shoe_size: int


@pytest.mark.parametrize("profile", [Everything, Nothing])
def test_a_profile_names_columns_of_the_apps_own(profile):
    with pytest.raises(ConfigurationError, match=next(iter(profile.model_fields))):
        Auth(settings=settings_of("sqlite+aiosqlite://"), features=features_of(profile=profile))
