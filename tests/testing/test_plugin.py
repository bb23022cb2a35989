"""The plugin in a project of a user's, which knows nothing but its documentation."""

import sys

import psycopg
import pytest

APP = """
from typing import Annotated
from fastapi import Depends, FastAPI, WebSocket
from limen import Auth, Principal, Role, User

auth = Auth(roles=[Role("member", ["items:read"], default=True), Role("editor", ["items"])])
app = FastAPI()
auth.install(app)
CurrentPrincipal = Annotated[Principal, Depends(auth.current_principal)]

@app.get("/items", dependencies=[Depends(auth.require("items:read"))])
async def items() -> list[str]:
    return ["lamp"]

@app.post("/items", status_code=201, dependencies=[Depends(auth.require("items:write"))])
async def add_item() -> None: ...

@app.get("/who")
async def who(principal: CurrentPrincipal) -> list[str]:
    return [principal.subject, principal.credential]

@app.websocket("/ws")
async def socket(websocket: WebSocket, principal: CurrentPrincipal) -> None:
    await websocket.accept()
    await websocket.send_text(principal.subject)
    await websocket.close()
"""

OWN_ENGINE = """
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from limen import Auth, AuthSettings, UserMixin

class Base(DeclarativeBase): ...

class Member(UserMixin, Base):
    __tablename__ = "members"
    id: Mapped[int] = mapped_column(primary_key=True)

auth = Auth(user=Member, engine=create_async_engine(AuthSettings.load().database_url))
app = FastAPI()
auth.install(app)
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An app, and a `.env` with the developer's own database, which no test may touch."""
    for name in ("LIMEN_SECRET_KEY", "LIMEN_DATABASE_URL", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    pytester.makepyfile(main=APP)
    pytester.path.joinpath(".env").write_text(
        "LIMEN_DATABASE_URL=sqlite+aiosqlite:///./precious.db\nLIMEN_REDIS_URL=redis://precious.example.com\n"
    )
    pytester.makepyprojecttoml("""
        [tool.pytest.ini_options]
        pythonpath = ["."]
        limen_app = "main:app"
        filterwarnings = ["error"]
        addopts = "-p no:cacheprovider -p no:schemathesis -p no:playwright -p no:valkey -p no:hypothesispytest"
    """)
    return pytester


def passes(project: pytest.Pytester, *arguments: str, **outcomes: int) -> pytest.RunResult:
    result = project.runpytest_subprocess(*arguments)
    result.assert_outcomes(**outcomes)
    assert not project.path.joinpath("precious.db").exists()
    return result


WHAT_A_PROJECT_MAY_DO = {
    "test_signed_in_by_every_carrier_with_roles_and_scopes": """
        import pytest
        from main import app  # as users do, before any fixture

        @pytest.mark.parametrize("carrier", ["bearer", "cookie", "api_key"])
        def test_carriers(auth_client, carrier):
            assert auth_client.get("/items").status_code == 401
            editor = auth_client.as_user(roles=["editor"], carrier=carrier)
            assert editor.get("/who").json() == [editor.user.subject, {
                "bearer": "access_token", "cookie": "session_cookie", "api_key": "api_key"}[carrier]]
            assert editor.post("/items").status_code == 201
            member = auth_client.as_user(carrier=carrier)
            assert [member.get("/items").status_code, member.post("/items").status_code] == [200, 403]
            narrow = auth_client.as_user(roles=["editor"], scopes=["items:read"], carrier=carrier)
            assert [narrow.get("/items").status_code, narrow.post("/items").status_code] == [200, 403]
            with editor.websocket_connect("/ws") as socket:
                assert socket.receive_text() == editor.user.subject
            assert auth_client.get("/items").status_code == 401

        def test_two_devices_of_one_person(auth_client):
            laptop = auth_client.as_user(email="ada@example.com", carrier="cookie")
            phone = auth_client.as_user(email="ada@example.com")
            assert laptop.user.subject == phone.user.subject
            assert laptop.post("/auth/logout").status_code == 204
            assert "limen" not in laptop.cookies
            assert [laptop.get("/who").status_code, phone.get("/who").status_code] == [401, 200]
            with pytest.raises(ValueError, match="registered already"):
                auth_client.as_user(email="ada@example.com", roles=["editor"])

        def test_nobody(auth_client):
            with pytest.raises(LookupError, match="nobody is signed in"):
                auth_client.user
    """,
    "test_awaiting_tests_have_the_same": """
        import pytest

        @pytest.mark.anyio
        @pytest.mark.parametrize("carrier", ["bearer", "cookie", "api_key"])
        async def test_carriers(async_auth_client, anyio_backend, carrier):
            async with async_auth_client as client:
                editor = await client.as_user(roles=["editor"], carrier=carrier)
                assert (await editor.post("/items")).status_code == 201
                assert (await client.post("/items")).status_code == 401
                assert {letter.to for letter in await client.outbox.letters()} <= {editor.user.email}

        @pytest.fixture
        def anyio_backend():
            return "asyncio"
    """,
    "test_time_is_turned_for_an_app_that_was_made_before": """
        def test_tokens_expire(auth_client, auth_clock):
            ada = auth_client.as_user()
            for _ in range(2):  # the second time it is remembered
                assert ada.get("/who").status_code == 200
            auth_clock.advance(minutes=16)
            assert ada.get("/who").status_code == 401
            tokens = ada.post("/auth/refresh", json={"refresh_token": ada.user.refresh_token},
                              headers={"Authorization": ""}).json()
            fresh = {"Authorization": f"Bearer {tokens['access_token']}"}
            assert auth_client.get("/who", headers=fresh).status_code == 200

        def test_the_next_test_begins_now(auth_client):
            ada = auth_client.as_user(carrier="cookie")
            auth_client.clock.advance(days=13)
            assert ada.get("/who").status_code == 200
            auth_client.clock.advance(days=15)
            assert ada.get("/who").status_code == 401

        def test_real_time_again():
            from datetime import UTC, datetime
            from main import auth
            assert abs((auth.kernel.clock.now() - datetime.now(UTC)).total_seconds()) < 5
            assert not vars(auth.kernel.clock)
    """,
    "test_letters_stay_and_are_read": """
        import pytest

        def test_reset(auth_client):
            ada = auth_client.as_user()
            assert auth_client.post("/auth/password/forgot", json={"email": ada.user.email}).status_code == 202
            letter = auth_client.outbox.latest(to=ada.user.email)
            new = {"token": letter.token, "new_password": "seven green bottles"}
            assert auth_client.post("/auth/password/reset", json=new).status_code == 204
            assert ada.get("/who").status_code == 401
            assert len(auth_client.outbox.letters(to="nobody@example.com")) == 0
            with pytest.raises(LookupError):
                auth_client.outbox.latest(to="nobody@example.com")
    """,
    "test_hashing_costs_nothing_unless_asked": """
        import pytest
        from main import auth
        from limen import Passwords

        OWN = auth[Passwords].hasher

        def test_cheap(auth_client):
            assert auth[Passwords].hasher is not OWN

        class TestReal:
            @pytest.fixture
            def limen_hasher(self):
                return None

            def test_dear(self, auth_client):
                assert auth[Passwords].hasher is OWN
    """,
}
"""Each in a file of its own; all in one run, because each run loads the app anew."""


def test_a_project_signs_in_turns_time_reads_letters_awaits_and_pays_for_no_hashing(project):
    project.makepyfile(**WHAT_A_PROJECT_MAY_DO)
    passes(project, passed=14)


def test_each_test_has_an_empty_database_also_with_keys_that_come_again(project):
    project.makepyfile(main=OWN_ENGINE)
    project.makepyfile("""
        import pytest

        @pytest.mark.parametrize("days", [30, 0, 30])
        def test_alone(auth_client, days):
            auth_client.clock.advance(days=days)  # what is taken back in the future is not news now
            ada = auth_client.as_user(email="ada@example.com")
            assert [ada.user.subject, ada.get("/users/me").status_code] == ["1", 200]
            assert ada.delete("/auth/sessions?all=true").status_code == 204
            auth = auth_client.rehearsal.auth
            from limen import Accounts
            account = auth_client.run(auth[Accounts].find, "ada@example.com")
            auth_client.run(auth[Accounts].set_active, account.id, False)
            assert ada.get("/users/me").status_code == 401

        def test_floods_are_forgotten(auth_client):
            flood(auth_client)

        def test_floods_are_forgotten_again(auth_client):
            flood(auth_client)

        def flood(client):
            client.as_user(email="ada@example.com")
            form = {"username": "ada@example.com", "password": "wrong"}
            statuses = [client.post("/auth/login", data=form).status_code for _ in range(11)]
            assert statuses == [401] * 10 + [429]
    """)
    passes(project, passed=5)


def test_postgresql_is_named_by_a_setting_and_each_test_has_an_event_loop_of_its_own(project, postgres_server):
    own = postgres_server.create_database()
    with psycopg.connect(own.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS app_test_main")
        connection.execute("CREATE DATABASE app_test_main")
    postgres_server.drop_database(own)
    url = own.replace("+psycopg", "+asyncpg").rpartition("/")[0] + "/app_test_{worker}"  # asyncpg minds the event loop
    project.makepyfile(main=OWN_ENGINE)
    project.makepyfile("""
        import pytest

        @pytest.mark.parametrize("turn", range(3))
        def test_alone(auth_client, turn):
            ada = auth_client.as_user(email="ada@example.com")
            assert ada.get("/users/me").json()["email"] == "ada@example.com"
            assert auth_client.rehearsal.auth.kernel.database.engine.url.database == "app_test_main"

        @pytest.mark.parametrize("turn", range(2))
        def test_awaiting(async_auth_client, turn):
            import asyncio

            async def story():
                async with async_auth_client as client:
                    ada = await client.as_user(email="ada@example.com")
                    assert (await ada.get("/users/me")).status_code == 200

            asyncio.run(story())
    """)
    passes(project, "-o", f"limen_database_url={url}", passed=5)


def test_somebodys_database_is_never_emptied(project):
    precious = project.path / "data.db"
    project.makeconftest(f"""
        import pytest
        from fastapi import FastAPI
        from limen import Auth, AuthSettings

        @pytest.fixture
        def limen_app(monkeypatch):
            app = FastAPI()
            monkeypatch.setattr("limen.testing.rehearsal.tempfile.gettempdir", lambda: "/nowhere")
            Auth(settings=AuthSettings(secret_key="s" * 40, database_url="sqlite:///{precious}")).install(app)
            return app
    """)
    project.makepyfile("def test_it(auth_client): ...")
    result = passes(project, errors=1)
    result.stdout.fnmatch_lines(["*RuntimeError: The test would empty *data.db, and nothing says*"])
    assert not precious.exists()


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("postgresql+psycopg://u:secret@h/app_test", False),
        ("postgresql+psycopg://u:secret@h/test", False),
        ("postgresql+psycopg://u:secret@h/tests-gw0", False),
        ("sqlite+aiosqlite://", False),
        ("postgresql+psycopg://test:secret@h/app", True),
        ("postgresql+psycopg://u:secret@h/contest", True),
        ("postgresql+psycopg://u:secret@h/latest", True),
        ("postgresql+psycopg://u:secret@h", True),
        ("sqlite+aiosqlite:////var/lib/app/limen.db", True),
        ("sqlite+aiosqlite:////home/test/app/limen.db", True),
    ],
)
def test_what_says_that_it_is_for_tests(name, refused):
    from sqlalchemy import make_url

    from limen.testing.rehearsal import check_is_for_tests

    if not refused:
        check_is_for_tests(make_url(name))
        return
    with pytest.raises(RuntimeError, match="LIMEN_DATABASE_URL") as error:
        check_is_for_tests(make_url(name))
    assert "secret" not in str(error.value)


def test_the_matrix_and_the_attacks_run_where_the_app_runs(project):
    project.makepyfile("""
        from main import app, auth

        def test_who_may_do_what(auth_client, authorization_matrix):
            only = lambda route: route.path == "/items"
            auth_client.run(authorization_matrix, auth, app, "authorization.txt", only=only)

        def test_attacks(auth_client, attack_app):
            auth_client.run(attack_app, auth, app)
    """)
    passes(project, "--update-matrix", passed=2)
    assert project.path.joinpath("authorization.txt").read_text().splitlines() == [
        "GET /items: nobody 401, editor 200, member 200",
        "POST /items: nobody 401, editor 201, member 403",
    ]
    snapshot = project.path / "authorization.txt"
    snapshot.write_text(snapshot.read_text().replace("member 403", "member 401"))
    passes(project, "-k", "what", failed=1, deselected=1).stdout.fnmatch_lines(["*+ POST /items: *member 403"])


def test_without_the_setting_the_fixture_says_what_is_missing(project):
    project.path.joinpath("pyproject.toml").unlink()
    project.makepyfile("def test_it(auth_client): ...")
    passes(project, errors=1).stdout.fnmatch_lines(['*Which app? Put limen_app = "main:app"*'])


def test_an_app_without_limen_is_named(project):
    project.makepyfile(main="from fastapi import FastAPI\napp = FastAPI()")
    project.makepyfile("def test_it(auth_client): ...")
    passes(project, errors=1).stdout.fnmatch_lines(["*auth.install(app) was not called*"])


def test_who_does_not_use_it_loads_nothing_of_it(project):
    project.path.joinpath("pyproject.toml").unlink()
    project.makepyfile("""
        import os, sys

        def test_nothing_loaded():
            loaded = {name.partition(".")[0] for name in sys.modules}
            assert not loaded & {"sqlalchemy", "fastapi", "starlette", "pydantic", "httpx2"}
            assert {name for name in sys.modules if name.startswith("limen.")} == {
                "limen.testing", "limen.testing.plugin"}
            assert "LIMEN_DATABASE_URL" not in os.environ
    """)
    result = project.run(sys.executable, "-m", "pytest", "-p", "limen.testing.plugin", *_ALONE)
    result.assert_outcomes(passed=1)


_ALONE = ("--disable-plugin-autoload",)
