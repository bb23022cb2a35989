"""One rule over objects decides a loaded object and filters a list, and says the same in Python and in SQL."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import ForeignKey, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

from limen import Auth, AuthSettings, Principal, Role
from limen.errors import ConfigurationError, Forbidden, InsufficientScope, NotFound
from limen.testing import assert_filter_agrees

pytestmark = pytest.mark.anyio


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[str | None]
    editor_id: Mapped[str | None]
    team_id: Mapped[int | None]
    is_open: Mapped[bool] = mapped_column(default=False)
    level: Mapped[int] = mapped_column(default=0)
    key: Mapped[UUID] = mapped_column(default=uuid4)
    members: Mapped[list["Member"]] = relationship()


class Member(Base):
    __tablename__ = "members"
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"), primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)


def new_auth() -> Auth:
    settings = AuthSettings(_env_file=None, secret_key="s" * 40, database_url="sqlite+aiosqlite://")
    return Auth(settings=settings, roles=[Role("member", ["items:read", "items:delete"]), Role("moderator", ["items"])])


@pytest.fixture
def auth() -> Auth:
    return new_auth()


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield engine
    await engine.dispose()


def someone(*permissions: str, subject: str = "alice") -> Principal:
    return Principal(subject=subject, issuer="i", credential="access_token", permissions=frozenset(permissions))


PEOPLE = st.sampled_from([None, "alice", "bob", "Alice", "", "alice "])
ITEMS = st.lists(
    st.fixed_dictionaries(
        {
            "owner_id": PEOPLE,
            "editor_id": PEOPLE,
            "team_id": st.sampled_from([None, 1, 2]),
            "is_open": st.booleans(),
            "level": st.integers(-2, 2),
        }
    ),
    min_size=1,
    max_size=8,
)

RULES = {
    "one's own": lambda p, item: item.owner_id == p.subject,
    "not one's own": lambda p, item: item.owner_id != p.subject,
    "nobody's": lambda p, item: item.owner_id == None,  # noqa: E711
    "somebody's": lambda p, item: item.owner_id != None,  # noqa: E711
    "owner is editor": lambda p, item: item.owner_id == item.editor_id,
    "owner is not editor": lambda p, item: item.owner_id != item.editor_id,
    "open or own": lambda p, item: (item.is_open == True) | (item.owner_id == p.subject),  # noqa: E712
    "open, as it is": lambda p, item: item.is_open | (item.owner_id == p.subject),
    "the value first": lambda p, item: (p.subject == item.owner_id) & (0 <= item.level),  # noqa: SIM300
    "with what the principal is": lambda p, item: (p.subject == "alice") & (item.level > 0),
    "either, from the left": lambda p, item: (p.subject == "nobody") | (item.level < 0),
    "for all": lambda p, item: True,
    "for none": lambda p, item: False,
    "by level": lambda p, item: (item.level >= 1) | ((item.team_id == 1) & (item.level <= -1)),
}


def declare(auth: Auth, function: object, **options: object) -> None:
    function.__annotations__ = {"item": Item}  # type: ignore[attr-defined]
    auth.policy("items:read", **options)(function)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", RULES)
async def test_what_python_says_is_what_sql_finds(engine: AsyncEngine, name: str) -> None:
    auth = new_auth()
    declare(auth, RULES[name])
    loop = asyncio.get_running_loop()

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(rows=ITEMS, subject=st.sampled_from(["alice", "bob", ""]))
    def agrees(rows: list[dict[str, object]], subject: str) -> None:
        asyncio.run_coroutine_threadsafe(compare(auth, engine, rows, subject), loop).result(30)

    await asyncio.to_thread(agrees)


async def compare(auth: Auth, engine: AsyncEngine, rows: list[dict[str, object]], subject: str) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(insert(Item), [{**row, "key": uuid4()} for row in rows])
        await assert_filter_agrees(auth, session, someone("items:read", subject=subject), "items:read", Item)
        await session.rollback()


async def test_a_wider_permission_is_not_narrowed(engine: AsyncEngine, auth: Auth) -> None:
    declare(auth, RULES["one's own"])
    async with AsyncSession(engine) as session:
        session.add_all([Item(id=1, owner_id="alice"), Item(id=2, owner_id="bob")])
        await session.flush()
        for permissions, visible in (
            (["items:read"], [1]),
            (["items"], [1, 2]),
            (["items:*"], [1, 2]),
            (["*"], [1, 2]),
            (["items:read", "items:delete"], [1]),
            (["items:delete"], []),
            (["items:read:own"], []),
            ([], []),
        ):
            principal = someone(*permissions)
            found = select(Item.id).where(auth.filter(principal, "items:read", Item)).order_by(Item.id)
            assert list(await session.scalars(found)) == visible, permissions
            await assert_filter_agrees(auth, session, principal, "items:read", Item)


async def test_a_rule_of_a_wider_permission_narrows_what_it_covers(auth: Auth) -> None:
    @auth.policy("items")
    def same_team(principal: Principal, item: Item) -> bool:
        return item.team_id == 1

    @auth.policy("items:delete")
    def owner(principal: Principal, item: Item) -> bool:
        return item.owner_id == principal.subject

    ours, theirs = Item(team_id=1, owner_id="bob"), Item(team_id=2, owner_id="alice")
    for permission, needed, target, allowed in (
        ("items", "items:read", ours, True),
        ("items", "items:read", theirs, False),
        ("items:read", "items:read", ours, True),
        ("items:read", "items:read", theirs, False),
        ("items", "items:delete", ours, True),
        ("items:delete", "items:delete", ours, False),
        ("items:delete", "items:delete", theirs, True),
        ("items:delete:old", "items:delete:old", theirs, True),
        ("*", "items:delete", theirs, True),
    ):
        assert await auth.object_rules.allows(someone(permission), needed, target) is allowed, (permission, needed)


async def test_what_may_not_be_known_is_not_found(auth: Auth) -> None:
    auth.policy("items:delete")(owner_of)

    @auth.policy("items:read")
    def open_or_own(principal: Principal, item: Item) -> bool:
        return item.is_open | (item.owner_id == principal.subject)

    hidden, shown, own = Item(owner_id="bob", is_open=False), Item(owner_id="bob", is_open=True), Item(owner_id="alice")
    own.is_open = False
    member = someone("items:read", "items:delete")
    await auth.check(member, "items:delete", own)
    with pytest.raises(Forbidden):
        await auth.check(member, "items:delete", shown)
    for target in (hidden, None):
        with pytest.raises(NotFound):
            await auth.check(member, "items:delete", target)
    with pytest.raises(NotFound):
        await auth.check(member, "items:read", hidden)
    with pytest.raises(NotFound):
        await auth.check(someone("items:delete"), "items:delete", shown)
    with pytest.raises(Forbidden):
        await auth.check(member, "items:delete", hidden, visible_to="items:read")
    for target in (hidden, shown, own, None):
        with pytest.raises(InsufficientScope):
            await auth.check(someone("items:read"), "items:delete", target)


def owner_of(principal: Principal, item: Item) -> bool:
    return item.owner_id == principal.subject


async def member_of(principal: Principal, item: Item) -> bool:
    return any(member.subject == principal.subject for member in item.members)


def members_items(principal: Principal):
    return Item.members.any(Member.subject == principal.subject)


async def test_what_is_no_one_condition_gives_both_sides(engine: AsyncEngine, auth: Auth) -> None:
    auth.policy("items:read", where=members_items)(member_of)
    async with AsyncSession(engine) as session:
        rows = [("alice",), ("bob",), ("alice", "bob"), ()]
        session.add_all(Item(members=[Member(subject=each) for each in row]) for row in rows)
        await session.flush()
        counted = await assert_filter_agrees(
            auth, session, someone("items:read"), "items:read", Item, selectinload(Item.members)
        )
        assert counted == 2


async def test_sides_that_disagree_are_found(engine: AsyncEngine, auth: Auth) -> None:
    auth.policy("items:read", where=lambda principal: Item.owner_id != principal.subject)(owner_of)
    async with AsyncSession(engine) as session:
        session.add(Item(owner_id="alice"))
        await session.flush()
        with pytest.raises(AssertionError, match="rule owner_of over Item allows"):
            await assert_filter_agrees(auth, session, someone("items:read"), "items:read", Item)


@pytest.mark.parametrize(
    "function",
    [
        lambda p, item: item.owner_id == p.subject and item.is_open,
        lambda p, item: item.owner_id == p.subject or item.is_open,
        lambda p, item: not item.is_open,
        lambda p, item: ~item.is_open,
        lambda p, item: item.owner_id in ("alice", "bob"),
        lambda p, item: item.owner_id in {"alice", "bob"},
        lambda p, item: "a" in item.owner_id,
        lambda p, item: item.owner_id.startswith("a"),
        lambda p, item: item.owner_id.like("a%"),
        lambda p, item: item.owner_id + "x" == p.subject,
        lambda p, item: bool(item.owner_id),
        lambda p, item: item.owner_id is not None,
        lambda p, item: item.owner_id is None,
        lambda p, item: True if item.owner_id is None else item.is_open,
        lambda p, item: not isinstance(item, Item),
        lambda p, item: item.level,
        lambda p, item: len(item.members) == 1,
        lambda p, item: item.nothing_of_the_kind == 1,
        lambda p, item: item.key == p.subject,
        lambda p, item: item.team_id == "1",
        lambda p, item: item.owner_id == 7,
        lambda p, item: item.owner_id,
        lambda p, item: None,
        lambda p, item: p.subject,
        member_of,
    ],
)
async def test_what_sql_would_understand_differently_is_refused(auth: Auth, function) -> None:
    if function is not member_of:
        function.__annotations__ = {"item": Item}
    auth.policy("items:read")(function)
    with pytest.raises(ConfigurationError, match=r"rule|where="):
        auth.filter(someone("items:read"), "items:read", Item)


async def test_only_true_and_false_decide_about_an_object(auth: Auth) -> None:
    declare(auth, lambda p, item: or_(item.owner_id == p.subject, item.is_open))
    with pytest.raises(TypeError, match="not True or False"):
        await auth.check(someone("items:read"), "items:read", Item(owner_id="alice", is_open=True))


async def test_a_check_without_a_rule_is_a_mistake(auth: Auth) -> None:
    for permission in ("items:read", "*"):
        with pytest.raises(ConfigurationError, match="no rule for items:read over Item"):
            await auth.check(someone(permission), "items:read", Item())
        with pytest.raises(ConfigurationError, match="no rule for items:read over Item"):
            auth.filter(someone(permission), "items:read", Item)


async def test_a_rule_is_declared_well_or_not_at_all(auth: Auth) -> None:
    auth.policy("items:read")(owner_of)
    with pytest.raises(ConfigurationError, match="Two rules for items:read"):
        declare(auth, RULES["for all"])
    with pytest.raises(ConfigurationError, match="did you mean 'items:delete'"):
        auth.policy("items:delet")
    with pytest.raises(ConfigurationError, match="needs the permission"):
        auth.policy()
    for function in (lambda p, item: True, lambda p: True, lambda p, item, more: True):
        with pytest.raises(ConfigurationError, match="must be of the form"):
            auth.policy("items:delete")(function)
    with pytest.raises(ConfigurationError, match="asked by a permission"):
        auth.require(owner_of, on=lambda: None)  # type: ignore[call-overload]


async def test_subclasses_obey_the_rules_of_what_they_are(auth: Auth) -> None:
    class Note:
        owner_id = "alice"

    class Draft(Note):
        pass

    def own(principal: Principal, note: Note) -> bool:
        return note.owner_id == principal.subject

    own.__annotations__ = {"note": Note}
    auth.policy("items:read")(own)
    await auth.check(someone("items:read"), "items:read", Draft())
    with pytest.raises(ConfigurationError, match="not mapped"):
        auth.filter(someone("items:read"), "items:read", Draft)
