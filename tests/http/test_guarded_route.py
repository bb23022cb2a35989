"""The fast path and FastAPI's own answer alike, whatever the guard, the endpoint and the credential."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Security
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.responses import StreamingResponse
from tests.features.mini_app import open_app, settings_of

from limen import Auth, Principal, User, role
from limen.http import guards
from limen.http.guarded_route import GuardedRoute
from limen.http.installation import settle

pytestmark = pytest.mark.anyio


class Body(BaseModel):
    size: int


def add_routes(router: APIRouter, auth: Auth[Any]) -> None:
    """Every shape in which people declare guards."""
    reader, nobody = Depends(auth.require("items:read")), Depends(auth.require("users:delete"))

    async def asynchronous_rule(principal: Principal) -> bool:
        return "member" in principal.roles

    def sub(principal: Annotated[Principal, Depends(auth.current_principal)]) -> str:
        return principal.subject

    @router.get("/principal")
    async def principal(p: Annotated[Principal, Depends(auth.current_principal)]) -> str:
        return p.subject

    @router.get("/default")
    async def default(p: Principal = Depends(auth.current_principal)) -> list[str]:
        return sorted(p.permissions)

    @router.get("/thread")
    def thread(p: Annotated[Principal, Depends(auth.current_principal)], q: int = 1) -> int:
        return q

    @router.get("/user/{number}")
    async def user(user: Annotated[User, Depends(auth.current_user)], number: int) -> str:
        return f"{user.email} {number}"

    @router.get("/optional")
    async def optional(user: Annotated[User | None, Depends(auth.optional_user)]) -> str | None:
        return user.email if user else None

    @router.get("/required", dependencies=[reader])
    async def required() -> str:
        return "in"

    @router.get("/refused", dependencies=[nobody])
    async def refused() -> str:
        return "in"

    @router.get("/scoped")
    async def scoped(user: Annotated[User, Security(auth.current_user, scopes=["items:write"])]) -> str:
        return user.email

    @router.get("/two", dependencies=[reader, Depends(auth.require(role("member")))])
    async def two(request: Request, p: Annotated[Principal, Depends(auth.current_principal)]) -> str:
        return f"{request.url.path} {p.subject}"

    @router.get("/rule", dependencies=[Depends(auth.require(asynchronous_rule))])
    async def rule() -> str:
        return "in"

    @router.get("/deep", dependencies=[reader])
    async def deep(subject: Annotated[str, Depends(sub)]) -> str:
        return subject

    @router.post("/body", dependencies=[reader])
    async def body(body: Body, p: Annotated[Principal, Depends(auth.current_principal)]) -> int:
        return body.size

    @router.get("/stream")
    async def stream(p: Annotated[Principal, Depends(auth.current_principal)]) -> StreamingResponse:
        return StreamingResponse(iter(["one", "two"]))

    @router.get("/items")
    async def items(p: Annotated[Principal, Depends(auth.current_principal)]):
        yield {"subject": p.subject}
        yield {"subject": p.subject}


PATHS = (
    *("/principal", "/default", "/thread?q=7", "/thread?q=x", "/user/1", "/user/x", "/optional", "/required"),
    *("/refused", "/scoped", "/two", "/rule", "/deep", "/stream", "/items"),
)


def both(app: FastAPI, auth: Auth[Any]) -> None:
    for prefix, route_class in (("/quick", GuardedRoute), ("/plain", APIRoute)):
        router = APIRouter(route_class=route_class)
        add_routes(router, auth)
        app.include_router(router, prefix=prefix)


async def answers(client: Any, path: str, **options: Any) -> list[Any]:
    method = "POST" if "json" in options else "GET"
    found = [await client.request(method, f"{prefix}{path}", **options) for prefix in ("/quick", "/plain")]
    return [
        (each.status_code, each.text.replace("/quick", "").replace("/plain", ""), sorted(each.headers.items()))
        for each in found
    ]


@pytest.fixture
async def mini(tmp_path):
    async with open_app(f"sqlite+aiosqlite:///{tmp_path}/limen.db", routes=both) as mini:
        yield mini


@pytest.mark.parametrize("path", PATHS)
async def test_both_paths_answer_alike(mini, path):
    alice = await mini.signed_in()
    narrowed = await mini.signed_in("bob@example.com", scope="items:read", roles=["editor"])
    gone = await mini.signed_in("carol@example.com")
    token = dict(gone.credentials())
    await gone.logout()
    people = [mini.visitor().client, mini.visitor(Authorization="Bearer a.b.c").client, mini.visitor(**token).client]
    people += [mini.visitor(**each.credentials()).client for each in (alice, narrowed)]
    people.append(mini.visitor(Authorization="Bearer a.b.c", **{"X-API-Key": "x"}).client)
    seen = set()
    for client in people:
        for _ in range(2):  # unknown at first, then remembered
            fast, plain = await answers(client, path)
            assert fast == plain
            seen.add(fast[0])
    assert len(seen) > 1, "every kind of person got one answer"


@pytest.mark.parametrize("json", [{"size": 1}, {"size": "x"}, {}])
async def test_bodies_are_answered_alike(mini, json):
    alice = await mini.signed_in()
    for client in (mini.visitor().client, mini.visitor(**alice.credentials()).client):
        fast, plain = await answers(client, "/body", json=json)
        assert fast == plain


async def test_overrides_win_on_both_paths(mini):
    mini.app.dependency_overrides[mini.auth.current_principal] = lambda: Principal(
        subject="someone", issuer="tests", credential="none"
    )
    fast, plain = await answers(mini.visitor().client, "/principal")
    assert fast == plain
    assert fast[1] == '"someone"'


async def test_the_fast_path_is_the_fast_path(mini, monkeypatch):
    """That the two are not the same code by accident: FastAPI calls the guard, the route does not need to."""
    alice = mini.visitor(**(await mini.signed_in()).credentials()).client
    await answers(alice, "/principal")
    calls = []
    ask = guards.PrincipalGuard.__call__
    monkeypatch.setattr(
        guards.PrincipalGuard, "__call__", lambda *args, **named: calls.append(1) or ask(*args, **named)
    )
    for prefix, expected in (("/quick", 0), ("/plain", 1)):
        calls.clear()
        assert (await alice.get(f"{prefix}/principal")).status_code == 200
        assert len(calls) == expected


@pytest.mark.parametrize("prefix", ["/quick", "/plain"])
async def test_a_response_keeps_its_class_and_is_sent_whole(mini, prefix):
    alice = mini.visitor(**(await mini.signed_in()).credentials()).client
    answer = await alice.get(f"{prefix}/stream")
    assert answer.text == "onetwo"


def test_only_where_fastapi_solves_a_guard_is_every_request_watched():
    for route_class, expected in ((GuardedRoute, False), (APIRoute, True)):
        auth: Auth[Any] = Auth(settings=settings_of("sqlite+aiosqlite://"))
        app, router = FastAPI(), APIRouter(route_class=route_class)
        auth.install(app)
        router.get("/", dependencies=[Depends(auth.current_principal)])(lambda: "in")
        app.include_router(router)
        settle(app, auth.kernel.authenticator)
        assert auth.kernel.authenticator.connections.watches_http is expected
