"""What users write, under `mypy --strict` and without an ignore. mypy reads this file; nothing runs it."""

import uuid
from collections.abc import Mapping
from typing import Annotated, assert_type

from fastapi import APIRouter, Depends, FastAPI, Security, WebSocket
from sqlalchemy import MetaData, String
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from limen import (
    Accounts,
    Auth,
    AuthError,
    Event,
    Feature,
    Passwords,
    Policy,
    Principal,
    Role,
    Roles,
    Sessions,
    Tokens,
    User,
    UserMixin,
    authenticated,
    fresh,
    method,
    permission,
    role,
    rule,
)
from limen.db.accounts import Account
from limen.testing import AuthClient, SignedIn, as_user, call_matrix, outbox

# --- limen's own User: design §2

auth = Auth(roles=[Role("member", ["items:read"]), Role("editor", ["items"]), Role("admin", ["*"])])
assert_type(auth, Auth[User])
CurrentUser = Annotated[User, Depends(auth.current_user)]

app = FastAPI()
auth.install(app)


@app.get("/hello")
async def hello(user: CurrentUser) -> str:
    return user.email


@app.post("/items", dependencies=[Depends(auth.require("items:write"))])
async def create_item() -> None: ...


@app.get("/mine")
async def mine(user: Annotated[User, Security(auth.current_user, scopes=["items:read"])]) -> str:
    return str(user.id)


@app.get("/perhaps")
def perhaps(user: Annotated[User | None, Depends(auth.optional_user)]) -> str | None:
    return user.username if user else None


@app.get("/who")
async def who(principal: Annotated[Principal, Depends(auth.current_principal)]) -> bool:
    return principal.can("items:write")


@app.get("/classic")
async def classic(user: User = Depends(auth.current_user)) -> bool:
    return user.is_active


@app.websocket("/ws")
async def ws(websocket: WebSocket, principal: Annotated[Principal, Depends(auth.require(authenticated()))]) -> None:
    await websocket.accept()


router = APIRouter(dependencies=[Depends(auth.require(role("admin") & fresh(minutes=10) | ~method("api_key")))])


async def works_for_us(principal: Principal) -> bool:
    return principal.subject != ""


policy: Policy = rule(works_for_us) & permission("items:read")
auth.require(policy)
auth.require(lambda principal: principal.can("items:read"))
assert_type(auth[Passwords], Passwords)
assert_type(auth[Tokens], Tokens)
assert_type(auth[Sessions], Sessions)
assert_type(auth[Accounts], Accounts)
assert_type(auth[Roles], Roles)


async def a_script() -> None:
    async with auth as running:
        assert_type(running, Auth[User])
        account = await running[Accounts].register(email="a@example.com", password="a long enough sentence")
        await running[Passwords].set(account.id, "another long sentence")


def hear(event: Event) -> None: ...


async def hear_later(event: Event) -> None: ...


class Greeting(Feature):
    name = "greeting"


try:
    heard = Auth(listeners=[hear, hear_later], features=[Passwords(), Greeting()])
except AuthError as error:
    assert_type(error.status, int)
assert_type(heard[Greeting], Greeting)

# --- an app's own user with an integer key, its own metadata and columns


class Base(DeclarativeBase):
    metadata = MetaData()


class Person(UserMixin, Base):
    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)
    city: Mapped[str] = mapped_column(String(80), default="")


people = Auth(user=Person, engine=create_async_engine("sqlite+aiosqlite://"))
assert_type(people, Auth[Person])
CurrentPerson = Annotated[Person, Depends(people.current_user)]


@app.get("/city")
async def city(person: CurrentPerson) -> tuple[int, str]:
    return person.id, person.city


# --- and with a UUID key


class Member(UserMixin, Base):
    __tablename__ = "members"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)


members: Auth[Member] = Auth(user=Member)


@app.get("/member")
async def member(me: Annotated[Member | None, Depends(members.optional_user)]) -> uuid.UUID | None:
    return me.id if me else None


# --- what the guards answer


async def guards() -> None:
    from fastapi.security import SecurityScopes
    from starlette.requests import HTTPConnection

    connection, scopes = HTTPConnection({"type": "http"}), SecurityScopes()
    assert_type(await auth.current_user(connection, scopes), User)
    assert_type(await auth.optional_user(connection, scopes), User | None)
    assert_type(await auth.current_principal(connection, scopes), Principal)
    assert_type(await people.current_user(connection, scopes), Person)
    assert_type(await people.optional_user(connection, scopes), Person | None)
    assert_type(await members.current_user(connection, scopes), Member)


# --- and its tests


async def tests(client: AuthClient) -> None:
    ada = await as_user(people, roles=["member"], carrier="cookie")
    assert_type(ada.headers, Mapping[str, str])
    await call_matrix(auth, app)
    outbox(people)
    assert_type(client.as_user(scopes=["items:read"]).user, SignedIn)
    assert_type(client.run(people[Accounts].find, "ada@example.com"), Account)
    assert_type(client.outbox.latest().token, str)
