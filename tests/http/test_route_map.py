"""The route map: every route, and who comes in; an app that must decide does not start undecided."""

from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security, WebSocket
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles
from tests.features.mini_app import features_of, settings_of

from limen import Auth, Principal, Role, User, fresh, role
from limen.errors import ConfigurationError
from limen.testing import create_tables

pytestmark = pytest.mark.anyio


@pytest.fixture
def auth(tmp_path) -> Auth:
    return Auth(
        settings=settings_of(f"sqlite+aiosqlite:///{tmp_path}/limen.db"),
        features=features_of(),
        roles=[Role("member", ["items:read"]), Role("admin", ["*"])],
        permissions={"items:write": "Write items"},
    )


def lines(auth: Auth) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The app's own routes: who comes in, and what its guards ask."""
    return {
        str(route): (route.access, route.guards)
        for route in auth.routes()
        if route.because not in ("docs", "limen") and not route.path.startswith(("/auth", "/users"))
    }


async def hello() -> str:
    return "hello"


async def greet(websocket: WebSocket) -> None:
    await websocket.accept()


async def plain(request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def test_guards_of_app_router_inclusion_route_and_parameters_are_found(auth) -> None:
    app = FastAPI(dependencies=[Depends(auth.current_principal)])
    outer = APIRouter(prefix="/outer", dependencies=[Depends(auth.require("items:read"))])
    inner = APIRouter(prefix="/inner")

    def nested(principal: Annotated[Principal, Depends(auth.require(fresh(minutes=5)))]) -> Principal:
        return principal

    @inner.get("/{item}", dependencies=[Depends(auth.require(role("admin")))])
    async def read(
        item: int,
        user: Annotated[User, Security(auth.current_user, scopes=["items:write"])],
        principal: Annotated[Principal, Depends(nested)],
    ) -> None: ...

    outer.include_router(inner, dependencies=[Depends(auth.optional_user)])
    app.include_router(outer, prefix="/v1")
    app.websocket("/ws")(greet)
    auth.install(app)
    assert lines(auth) == {
        "GET /v1/outer/inner/{item}": (
            "guarded",
            (
                "authenticated",
                "items:read",
                "optional authenticated",
                "role admin",
                "authenticated & items:write",
                "fresh 5 min",
            ),
        ),
        "WEBSOCKET /ws": ("guarded", ("authenticated",)),
    }
    (found,) = (route for route in auth.routes() if route.path.startswith("/v1"))
    assert (found.scopes, found.roles) == (("items:read", "items:write"), ("admin",))
    assert set(found.schemes) == {scheme.name for scheme in auth.kernel.authenticator.schemes}


async def test_every_kind_of_route_is_listed(auth, tmp_path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("hello")
    app, sub, router = FastAPI(), FastAPI(docs_url=None, redoc_url=None), APIRouter()
    sub.get("/guarded", dependencies=[Depends(auth.require("items:read"))])(hello)
    sub.get("/open")(hello)
    sub.mount("/deeper", Starlette(routes=[Route("/plain", plain), WebSocketRoute("/ws", greet)]))
    app.get("/hello")(hello)
    app.websocket("/ws")(greet)
    app.add_route("/plain", plain, methods=["GET", "POST"])
    app.router.routes.append(WebSocketRoute("/plain-ws", greet))
    router.add_route("/plain", plain)
    router.mount("/static", StaticFiles(directory=tmp_path / "site"))
    router.frontend("/site", directory=tmp_path / "site")
    app.include_router(router, prefix="/included", dependencies=[Depends(auth.require("items:read"))])
    app.mount("/sub", sub)
    app.mount("/router", Router(routes=[Mount("/in", routes=[Route("/any", plain, methods=None)])]))
    app.router.routes.append(Host("api.example.com", Starlette(routes=[Route("/plain", plain)])))
    app.frontend("/", directory=tmp_path / "site")
    auth.install(app)
    assert {line: access for line, (access, _) in lines(auth).items()} == {
        "GET /hello": "unguarded",
        "WEBSOCKET /ws": "unguarded",
        "GET,HEAD,POST /plain": "unguarded",
        "WEBSOCKET /plain-ws": "unguarded",
        "GET,HEAD /included/plain": "unguarded",  # FastAPI solves no dependencies for Starlette's routes
        "* /included/static/{path:path}": "unguarded",
        "GET /sub/guarded": "guarded",
        "GET /sub/open": "unguarded",
        "GET,HEAD /sub/deeper/plain": "unguarded",
        "WEBSOCKET /sub/deeper/ws": "unguarded",
        "GET,HEAD /router/in/any": "unguarded",
        "GET,HEAD //api.example.com/plain": "unguarded",
        "* /included/site": "guarded",
        "* /": "unguarded",
    }


async def test_public_is_said_of_endpoints_and_mounted_apps(auth, tmp_path) -> None:
    app = FastAPI()

    @app.get("/a")
    @auth.public
    async def above() -> None: ...

    @auth.public
    @app.get("/b")
    async def below() -> None: ...

    @app.get("/guarded", dependencies=[Depends(auth.current_principal)])
    @auth.public
    async def both() -> None: ...

    app.mount("/static", auth.public(StaticFiles(directory=tmp_path)))
    app.mount("/sub", auth.public(Starlette(routes=[Route("/plain", plain)])))
    auth.install(app, default="deny")
    assert {line: access for line, (access, _) in lines(auth).items()} == {
        "GET /a": "public",
        "GET /b": "public",
        "GET /guarded": "guarded",
        "* /static/{path:path}": "public",
        "GET,HEAD /sub/plain": "public",
    }
    with pytest.raises(ConfigurationError, match="cannot mark"):
        auth.public([].append)


async def test_documents_and_limens_own_routes_say_why_they_are_open(auth) -> None:
    app = FastAPI()
    auth.install(app, default="deny")
    because = {route.path: route.because for route in auth.routes() if route.access == "public"}
    assert because["/docs"] == because["/openapi.json"] == because["/redoc"] == "docs"
    assert because["/auth/login"] == because["/.well-known/jwks.json"] == "limen"
    assert all(route.access in ("guarded", "public") for route in auth.routes())


async def test_what_only_looks_like_a_document_is_open(auth) -> None:
    app = FastAPI(docs_url=None)
    app.get("/docs")(hello)
    app.get("/auth/own")(hello)
    auth.install(app)
    assert [route.access for route in auth.routes() if route.path in ("/docs", "/auth/own")] == ["unguarded"] * 2


async def test_an_optional_guard_is_no_guard(auth) -> None:
    app = FastAPI(dependencies=[Depends(auth.optional_user)])
    app.get("/hello")(hello)
    auth.install(app)
    assert lines(auth) == {"GET /hello": ("unguarded", ("optional authenticated",))}


async def test_a_guard_of_the_whole_app_does_not_keep_people_from_signing_in(auth) -> None:
    app = FastAPI(dependencies=[Depends(auth.current_principal), Depends(hello)])
    auth.install(app, default="deny")
    app.get("/hello")(hello)
    access = {route.path: route.access for route in auth.routes()}
    assert (access["/auth/login"], access["/hello"]) == ("public", "guarded")
    (login,) = (route for route in auth.routes() if route.path == "/auth/login")
    assert [sub.call for sub in login.declared.route.dependant.dependencies[:1]] == [hello]


async def test_an_undecided_route_is_refused_at_once_or_at_the_start(auth) -> None:
    app = FastAPI()
    app.get("/hello")(hello)
    app.add_route("/plain", plain)
    with pytest.raises(ConfigurationError, match=r"GET /hello; GET,HEAD /plain"):
        auth.install(app, default="deny")


@pytest.mark.parametrize("add", ["route", "websocket", "mount", "plain"])
async def test_a_route_that_comes_later_is_refused_at_the_start(auth, add) -> None:
    await create_tables(auth)
    app = FastAPI()
    auth.install(app, default="deny")
    {
        "route": lambda: app.get("/late")(hello),
        "websocket": lambda: app.websocket("/late")(greet),
        "mount": lambda: app.mount("/late", Starlette(routes=[Route("/plain", plain)])),
        "plain": lambda: app.add_route("/late", plain),
    }[add]()
    with pytest.raises(ConfigurationError, match="/late"):
        async with app.router.lifespan_context(app):
            pass


async def test_a_decided_app_starts(auth) -> None:
    await create_tables(auth)
    app = FastAPI()
    auth.install(app, default="deny")
    app.get("/hello", dependencies=[Depends(auth.current_principal)])(hello)
    async with app.router.lifespan_context(app):
        assert lines(auth) == {"GET /hello": ("guarded", ("authenticated",))}


async def test_names_that_nobody_declared_do_not_start(auth) -> None:
    for declare in (
        lambda: auth.require("items:raed"),
        lambda: auth.require(~role("admn")),
        lambda: auth.require("items:read", on=hello, visible_to="items:reed"),
    ):
        with pytest.raises(ConfigurationError, match="did you mean"):
            declare()
    app = FastAPI()
    app.get("/hello", dependencies=[Security(auth.current_user, scopes=["items:wirte"])])(hello)
    with pytest.raises(ConfigurationError, match="did you mean 'items:write'"):
        auth.install(app)


async def test_the_map_needs_an_app(auth) -> None:
    with pytest.raises(ConfigurationError, match="install"):
        auth.routes()
