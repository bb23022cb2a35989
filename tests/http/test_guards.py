"""Guards as FastAPI users declare them: `Depends`, `Security`, on routes, routers and apps, over HTTP and WebSocket."""

from typing import Annotated

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Request, Security, WebSocket
from fastapi.responses import JSONResponse
from tests.features.answers import INVALID_TOKEN, NOTHING_PRESENTED, refused
from tests.features.mini_app import features_of, settings_of

from limen import Auth, Principal, User, authenticated, fresh, role, rule
from limen.errors import ConfigurationError, InvalidCredential
from limen.testing import PASSWORD, FakeClock

pytestmark = pytest.mark.anyio


def routes(app: FastAPI, auth: Auth) -> None:
    @app.get("/async")
    async def get_async(user: Annotated[User, Depends(auth.current_user)]) -> str:
        return user.email

    @app.get("/sync")
    def get_sync(user: Annotated[User, Depends(auth.current_user)]) -> str:
        return user.email

    @app.get("/optional")
    async def optional(user: Annotated[User | None, Depends(auth.optional_user)]) -> str | None:
        return user and user.email

    @app.get("/principal")
    async def principal(who: Annotated[Principal, Depends(auth.current_principal)]) -> str:
        return who.subject

    @app.get("/both/{number}")
    async def both(
        number: int,
        request: Request,
        user: Annotated[User, Depends(auth.current_user)],
        who: Annotated[Principal, Depends(auth.require("items:read"))],
        q: str = "",
    ) -> list[str]:
        return [user.email, who.subject, str(number), q, request.method]

    @app.get("/read", dependencies=[Depends(auth.require("items:read"))])
    async def read() -> str:
        return "read"

    @app.get("/delete", dependencies=[Depends(auth.require("items:delete"))])
    async def delete() -> str:
        return "delete"

    @app.get("/security")
    async def security(user: Annotated[User, Security(auth.current_user, scopes=["items:read"])]) -> str:
        return user.email

    @app.get("/security/delete")
    async def security_delete(
        user: Annotated[User, Security(auth.current_user, scopes=["items:read", "items:delete"])],
    ) -> str:
        return user.email

    async def nested(who: Annotated[Principal, Depends(auth.current_principal)]) -> str:
        return who.subject

    @app.get("/nested")
    async def get_nested(subject: Annotated[str, Depends(nested)]) -> str:
        return subject

    @app.get("/nested/delete")
    async def nested_delete(subject: Annotated[str, Security(nested, scopes=["items:delete"])]) -> str:
        return subject

    @app.post("/body")
    async def body(
        who: Annotated[Principal, Depends(auth.current_principal)], number: Annotated[int, Body(embed=True)]
    ) -> int:
        return number

    @app.get("/admin", dependencies=[Depends(auth.require(role("admin") & fresh(minutes=5)))])
    async def admin() -> str:
        return "admin"

    async def works_for_us(who: Principal) -> bool:
        return who.can("items:read")

    @app.get("/rule", dependencies=[Depends(auth.require(rule(works_for_us, name="works for us")))])
    async def own_rule() -> str:
        return "rule"

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, who: Annotated[Principal, Depends(auth.require("items:read"))]) -> None:
        await websocket.accept()
        await websocket.send_json({"sub": who.subject})
        await websocket.close()

    @app.websocket("/ws/delete")
    async def ws_delete(websocket: WebSocket, who: Annotated[Principal, Depends(auth.require("items:delete"))]) -> None:
        await websocket.accept()


GUARDED = ("/async", "/sync", "/principal", "/both/1", "/read", "/security", "/nested", "/admin", "/rule", "/users/me")


@pytest.fixture
async def mini(opened):
    return await opened(routes=routes)


@pytest.fixture(params=["quick path", "FastAPI's path"])
async def either(opened, request):
    """The same app, with and without an override somewhere in it, which switches limen's quick path off."""
    mini = await opened(routes=routes)
    if request.param == "FastAPI's path":
        mini.app.dependency_overrides[lambda: None] = lambda: None
    return mini


async def test_who_is_signed_in_comes_in(either):
    alice = await either.signed_in()
    for path in ("/async", "/sync", "/optional", "/security"):
        answer = await alice.get(path)
        assert (answer.status_code, answer.json()) == (200, "alice@example.com"), path
    for path in ("/principal", "/nested"):
        assert (await alice.get(path)).json() == alice.account.subject
    assert (await alice.get("/both/7?q=x")).json() == ["alice@example.com", alice.account.subject, "7", "x", "GET"]
    assert (await alice.get("/read")).json() == "read"
    assert (await alice.get("/rule")).json() == "rule"


async def test_who_presents_nothing_is_asked_to_sign_in(either):
    for path in GUARDED:
        answer = await either.visitor().get(path)
        refused(answer, 401, "not_authenticated")
        assert answer.headers["www-authenticate"] == NOTHING_PRESENTED, path


async def test_who_presents_something_bad_is_refused_even_where_nothing_is_needed(either):
    visitor = either.visitor()
    for path in (*GUARDED, "/optional"):
        for bad in ("Bearer nonsense", "Bearer a.b.c", "Bearer", "bearer \xff", "Bearer lmr_x.0.y"):
            answer = await visitor.get(path, headers={"Authorization": bad.encode("latin-1")})
            refused(answer, 401, "invalid_token")
            assert answer.headers["www-authenticate"] == INVALID_TOKEN, (path, bad)


async def test_optional_lets_nobody_in_as_nobody(either):
    answer = await either.visitor().get("/optional")
    assert (answer.status_code, answer.json()) == (200, None)


async def test_a_missing_permission_is_named(either):
    alice = await either.signed_in()
    for path in ("/delete", "/security/delete", "/nested/delete"):
        answer = await alice.get(path)
        assert refused(answer, 403, "insufficient_scope")["scope"] == "items:delete", path
        assert answer.headers["www-authenticate"].endswith('scope="items:delete"')
    refused(await alice.get("/admin"), 403, "forbidden")


async def test_a_wider_permission_is_enough(either):
    editor = await either.signed_in(roles=["editor"])
    for path in ("/delete", "/security/delete", "/nested/delete"):
        assert (await editor.get(path)).status_code == 200


async def test_an_old_sign_in_is_asked_for_again(either):
    admin = await either.signed_in(roles=["admin"])
    assert (await admin.get("/admin")).status_code == 200
    either.clock.advance(minutes=6)
    answer = await admin.get("/admin")
    assert refused(answer, 401, "insufficient_user_authentication")["max_age"] == 300
    await admin.refresh()
    refused(await admin.get("/admin"), 401, "insufficient_user_authentication")
    await admin.login()
    assert (await admin.get("/admin")).status_code == 200


async def test_the_guard_speaks_before_the_body_is_looked_at(mini):
    kind = {"Content-Type": "application/json"}
    refused(await mini.visitor().post("/body", content=b"{", headers=kind), 401, "not_authenticated")


async def test_what_the_guard_let_in_is_still_looked_at(either):
    refused(await either.visitor().post("/body", json={"number": 7}), 401, "not_authenticated")
    refused(await either.visitor().post("/body", json={"number": "x"}), 401, "not_authenticated")
    alice = await either.signed_in()
    assert (await alice.post("/body", json={"number": 7})).json() == 7
    assert (await alice.post("/body", json={"number": "x"})).status_code == 422


async def test_two_credentials_are_an_invalid_request(either):
    alice = await either.signed_in()
    answer = await alice.get("/async", headers={"X-API-Key": "lmk_x"})
    refused(answer, 400, "invalid_request")
    both = [("Authorization", f"Bearer {alice.access_token}")] * 2
    for path in ("/async", "/optional", "/users/me", "/auth/sessions"):
        refused(await alice.client.get(path, headers=both), 400, "invalid_request")


async def test_a_token_of_another_app_is_refused(opened):
    ours = await opened(routes=routes)
    for setting in ({"base_url": "https://other.example.com"}, {"audience": "other"}, {"secret_key": "x" * 40}):
        other = await opened(routes=routes, settings=setting)
        stranger = await other.signed_in()
        answer = await ours.visitor().get("/principal", headers={"Authorization": f"Bearer {stranger.access_token}"})
        refused(answer, 401, "invalid_token")


async def test_a_request_is_verified_once_however_many_guards_it_meets(opened, monkeypatch):
    def many(app, auth):
        router = APIRouter(dependencies=[Depends(auth.current_principal)])
        items = Annotated[Principal, Depends(auth.require("items:read"))]

        async def nested(who: items, user: Annotated[User, Security(auth.current_user, scopes=["items:write"])]) -> str:
            return user.email

        @router.get("/many", dependencies=[Security(auth.current_principal, scopes=["items"])])
        async def get_many(
            who: items,
            email: Annotated[str, Depends(nested)],
            other: Annotated[User | None, Depends(auth.optional_user)],
        ) -> str:
            return email

        app.include_router(router, dependencies=[Depends(auth.require(authenticated()))])

    mini = await opened(routes=many)
    editor = await mini.signed_in(roles=["editor"])
    authenticator = mini.auth.kernel.authenticator
    asked, prove = [], authenticator.prove

    async def counted(presented):
        asked.append(presented)
        return await prove(presented)

    monkeypatch.setattr(authenticator, "prove", counted)
    assert (await editor.get("/many")).json() == "alice@example.com"
    assert len(asked) <= 1
    bad = mini.visitor()
    asked.clear()
    refused(await bad.get("/many", headers={"Authorization": "Bearer a.b.c"}), 401, "invalid_token")
    assert len(asked) == 1


async def test_guards_of_app_router_and_inclusion_all_hold(tmp_path):
    auth = Auth(settings=settings_of(f"sqlite+aiosqlite:///{tmp_path}/x.db"), features=features_of(), clock=FakeClock())
    for place in ("app", "router", "include"):
        guard = [Depends(auth.current_principal)]
        app = FastAPI(dependencies=guard if place == "app" else [])
        router = APIRouter(dependencies=guard if place == "router" else [])

        @router.get("/inside")
        async def inside() -> str:
            return "inside"

        app.include_router(router, prefix="/a", dependencies=guard if place == "include" else [])
        auth.kernel.authenticator.is_installed = True
        app.add_exception_handler(InvalidCredential, lambda *_: JSONResponse({}, 401))
        from limen.errors import AuthError
        from limen.http.responses import answer

        app.add_exception_handler(AuthError, answer)
        import httpx2

        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://x") as client:
            refused(await client.get("/a/inside"), 401, "not_authenticated")


async def test_one_router_behind_two_guards_keeps_them_apart(opened):
    def twice(app, auth):
        router = APIRouter(route_class=auth.route_class)

        @router.get("/thing")
        async def thing() -> str:
            return "thing"

        app.include_router(router, prefix="/open")
        app.include_router(router, prefix="/members", dependencies=[Depends(auth.require("items:read"))])
        app.include_router(router, prefix="/editors", dependencies=[Depends(auth.require("items:delete"))])

    mini = await opened(routes=twice)
    alice = await mini.signed_in()
    for who, statuses in ((mini.visitor(), (200, 401, 401)), (alice, (200, 200, 403))):
        for prefix, status in zip(("/open", "/members", "/editors"), statuses, strict=True):
            for _ in range(2):
                assert (await who.get(f"{prefix}/thing")).status_code == status, (prefix, status)


async def test_dependency_overrides_win(mini):
    someone = User(email="someone@example.com", email_canonical="someone@example.com")
    mini.app.dependency_overrides[mini.auth.current_user] = lambda: someone
    mini.app.dependency_overrides[mini.auth.current_principal] = lambda: Principal(
        subject="7", issuer="", credential="access_token"
    )
    visitor = mini.visitor()
    assert (await visitor.get("/async")).json() == "someone@example.com"
    assert (await visitor.get("/sync")).json() == "someone@example.com"
    assert (await visitor.get("/principal")).json() == "7"
    assert (await visitor.get("/nested")).json() == "7"
    refused(await visitor.get("/read"), 401, "not_authenticated")
    mini.app.dependency_overrides.clear()
    refused(await visitor.get("/async"), 401, "not_authenticated")


async def test_a_forgotten_install_is_a_clear_error_and_never_an_open_route(tmp_path):
    import httpx2

    auth = Auth(settings=settings_of(f"sqlite+aiosqlite:///{tmp_path}/x.db"), features=features_of())
    app = FastAPI()
    routes(app, auth)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://x") as client:
        for path in ("/async", "/principal", "/optional", "/read"):
            with pytest.raises(ConfigurationError, match=r"auth\.install\(app\) was not called"):
                await client.get(path)
            with pytest.raises(ConfigurationError, match=r"auth\.install\(app\) was not called"):
                await client.get(path, headers={"Authorization": "Bearer a.b.c"})


# --- WebSocket


async def handshake(mini, path, **headers):
    """What the server sends to whoever opens a WebSocket and then listens."""
    sent, told = [], [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]

    async def receive():
        return told.pop(0)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("203.0.113.7", 1),
        "server": ("localhost", 80),
        "scheme": "ws",
        "subprotocols": [],
        "state": {},
        "extensions": {"websocket.http.response": {}},
    }
    await mini.app(scope, receive, send)
    return sent


async def test_a_websocket_lets_in_whom_its_guard_allows(either):
    alice = await either.signed_in()
    accepted, said, *_ = await handshake(either, "/ws", **alice.credentials())
    assert accepted["type"] == "websocket.accept"
    assert alice.account.subject in said["text"]


@pytest.mark.parametrize(
    ("path", "authorization", "status", "challenge"),
    [
        ("/ws", None, 401, NOTHING_PRESENTED),
        ("/ws", "Bearer nonsense", 401, INVALID_TOKEN),
        ("/ws/delete", "alice's", 403, 'scope="items:delete"'),
    ],
)
async def test_a_websocket_is_refused_with_the_answer_that_http_gets(mini, path, authorization, status, challenge):
    alice = await mini.signed_in()
    headers = {"Authorization": authorization} if authorization else {}
    start, body = await handshake(mini, path, **(alice.credentials() if authorization == "alice's" else headers))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", status)
    named = dict(start["headers"])
    assert challenge in named[b"www-authenticate"].decode()
    assert named[b"content-type"] == b"application/problem+json"
    assert str(status).encode() in body["body"]


async def test_a_password_never_travels_where_a_token_belongs(mini):
    await mini.account()
    basic = {"Authorization": "Basic YWxpY2VAZXhhbXBsZS5jb206" + PASSWORD.encode().hex()}
    refused(await mini.visitor().get("/async", headers=basic), 401, "not_authenticated")
