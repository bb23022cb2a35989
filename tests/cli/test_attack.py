"""`limen attack` finds the routes that let something in, and finds none where there is none."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import SECRET, Limen, Serving, every_template
from tests.servers.ports import free_port
from tests.servers.smtp import SmtpServer

from limen.attack.answers import Answer, Outcome, outcome_of
from limen.attack.routes import sample_body
from limen.testing import attack, create_tables

HOLES = Path(__file__).with_name("attacked_apps") / "holes.py"


@pytest.fixture(autouse=True)
def _fresh_modules(home: Path) -> Iterator[None]:
    yield
    for name, module in list(sys.modules.items()):
        if str(home) in str(getattr(module, "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def holes(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(HOLES, home / "main.py")
    monkeypatch.setenv("LIMEN_SECRET_KEY", SECRET)
    return home / "main.py"


def described(limen: Limen, *options: str) -> dict:
    result = limen("attack", *options, "--json")
    assert result.stdout.startswith("{"), result.output
    return {"status": result.exit_code, **json.loads(result.stdout)}


def came_in(report: dict) -> dict[str, set[str]]:
    """The attacks that came in, by route."""
    found: dict[str, set[str]] = {}
    for hole in report["holes"]:
        found.setdefault(hole["route"], set()).add(hole["attack"])
    return found


def test_every_planted_hole_is_found_and_nothing_else(limen: Limen, holes: Path, home: Path) -> None:
    before = sorted(home.iterdir())
    report = described(limen, "--writes")
    assert report["status"] == 1
    assert came_in(report) == {
        "GET /open": {"anonymous"},
        "POST /forgotten": {"anonymous"},
        "WEBSOCKET /live": {"anonymous"},
        "GET /orders/{order_id}": {"other user"},
        "GET /salaries/{user_id}": {"other user"},
        "DELETE /notes/{note_id}": {"other user"},
        "GET /lax": {
            *("unsigned", "wrong key", "kid", "expired", "audience", "duplicate", "smuggled", "oversized"),
            "carrier",
        },
        "POST /transfer": {"cross-site", "smuggled"},
        "GET /crash": {hole["attack"] for hole in report["holes"] if hole["route"] == "GET /crash"},
    }
    crashed = [hole for hole in report["holes"] if hole["route"] == "GET /crash"]
    assert {hole["outcome"] for hole in crashed} == {"BROKE"}
    row = next(each for each in report["routes"] if each["route"] == "GET /fine")
    assert {value for name, value in row.items() if name != "route"} == {"refused", "-"}
    assert not [each for each in report["routes"] if "/welcome" in each["route"]]
    assert [path for path in sorted(home.iterdir()) if path.name != "__pycache__"] == before


def test_without_writes_nothing_is_made_or_changed(limen: Limen, holes: Path) -> None:
    report = described(limen)
    assert "DELETE /notes/{note_id}" not in came_in(report)
    assert sys.modules["main"].notes == {}


@every_template
def test_a_template_lets_nothing_in(template: str, limen: Limen) -> None:
    assert limen("init", "--template", template).exit_code == 0
    result = limen("attack", "--writes")
    assert result.exit_code == 0, result.output
    assert "nothing came in." in result.stdout


LAX = """
import json
from typing import Annotated
from fastapi import Header, HTTPException
from limen.core import base64url

@app.get("/lax")
async def lax(authorization: Annotated[str, Header()]) -> str:
    claims = json.loads(base64url.decode(authorization.split(".")[1]))
    if claims["iss"] != auth[Supabase].people.issuer or claims["role"] != "authenticated":
        raise HTTPException(401)
    return claims["sub"]
"""


@pytest.mark.parametrize("template", ["supabase"], indirect=True)
def test_tokens_are_forged_in_the_name_of_whoever_is_trusted_too(template: str, limen: Limen, home: Path) -> None:
    """A route that believes what a token says of itself: those of the app's own name would not have shown it."""
    assert limen("init", "--template", template).exit_code == 0
    text = (home / "main.py").read_text().replace('install(app, default="deny")', "install(app)")
    (home / "main.py").write_text(text + LAX)
    found = [hole for hole in described(limen)["holes"] if hole["attack"] in ("unsigned", "wrong key")]
    assert {hole["route"] for hole in found} == {"GET /lax"}
    assert all("/auth/v1" in hole["name"] for hole in found)


def test_the_demo_lets_nothing_in(command: Callable[..., object], home: Path) -> None:
    done = command("attack", "limen.demo:app", "--writes", "--json")
    report = json.loads(done.stdout)  # type: ignore[attr-defined]
    assert report["holes"] == []
    rows = {row["route"]: row for row in report["routes"]}
    assert rows["DELETE /items/{item_id}"]["other user"] == "refused"
    assert rows["GET /items/{item_id}"]["other user"] == "refused"
    assert rows["WEBSOCKET /ws"]["cross-site"] == "refused"
    assert rows["POST /items"]["scopes"] == "refused"
    assert list(home.iterdir()) == []


def test_an_app_with_public_keys_is_tried_with_them_as_secrets(limen: Limen, monkeypatch: pytest.MonkeyPatch) -> None:
    assert limen("init", "--template", "jwt").exit_code == 0
    monkeypatch.setenv("LIMEN_ALGORITHM", "ES256")
    report = described(limen)
    assert report["holes"] == []
    row = next(each for each in report["routes"] if each["route"] == "GET /me")
    assert (row["confusion"], row["expired"]) == ("refused", "refused")


def test_a_secret_of_examples_lets_everybody_in(limen: Limen, holes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from limen.attack.forge import TUTORIAL_SECRET

    monkeypatch.setenv("LIMEN_SECRET_KEY", TUTORIAL_SECRET)
    found = [hole for hole in described(limen)["holes"] if hole["route"] == "GET /fine"]
    assert {(hole["attack"], hole["name"]) for hole in found} == {("wrong key", "a secret of examples")}


def test_the_bounds_are_kept_and_told(limen: Limen) -> None:
    assert limen("init", "--template", "jwt").exit_code == 0
    report = described(limen, "--requests", "50")
    assert (report["status"], report["requests"], report["is_cut"]) == (1, 50, True)


def test_the_apps_own_database_is_never_touched(limen: Limen, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = "sqlite+aiosqlite:///./own.db"
    (home / "main.py").write_text(
        HOLES.read_text()
        .replace("auth = Auth(", f"auth = Auth(engine=create_async_engine('{own}'),")
        .replace("import json\n", "import json\nfrom sqlalchemy.ext.asyncio import create_async_engine\n")
    )
    monkeypatch.setenv("LIMEN_SECRET_KEY", SECRET)
    refused = limen("attack")
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert "engine of its own" in refused.stderr
    assert not (home / "own.db").exists()
    assert limen("attack", "--database", own, "--json").stdout.startswith("{")
    assert (home / "own.db").exists()


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "http://10.0.0.1:8000",
        "http://0.0.0.0:8000",
        "ftp://127.0.0.1",
        "http://localhost.example",
        "http://127.0.0.1:99999",
        "http://[::1",
    ],
)
def test_another_machine_is_refused_before_anything_is_loaded(limen: Limen, url: str) -> None:
    refused = limen("attack", "nowhere:app", "--url", url)
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert "only this machine" in refused.stderr


def test_no_letter_leaves_however_the_setting_is_spelled(limen: Limen, holes: Path, home: Path) -> None:
    text = holes.read_text().replace("features=[", "features=[Mail(), ")
    holes.write_text(f"""from limen.features import Mail
from limen.features.mail import Letter
{text}

@app.get("/letter")
async def letter() -> None:
    await auth[Mail].send_now(Letter(to="ada@example.com", template="test"))
""")
    with SmtpServer() as server:
        (home / ".env").write_text(f"limen_smtp_url={server.url}\n")
        assert described(limen)["requests"] > 100
        assert (server.asked, server.envelopes) == (0, [])


def test_a_server_of_this_machine_is_attacked_and_its_guests_leave(
    limen: Limen, home: Path, serve: Callable[..., Serving]
) -> None:
    shutil.copy(HOLES, home / "main.py")
    assert limen("init", "--app", "main.py").exit_code == 0
    assert limen("migrate").exit_code == 0
    port = free_port()
    url = f"http://localhost:{port}"
    options = ("--port", str(port), "--no-proxy-headers", "--no-access-log", "--log-level", "critical")
    serve("-m", "uvicorn", "main:app", *options, url=url).wait("/openapi.json")
    found = came_in(described(limen, "--url", url))
    assert {"GET /open", "POST /forgotten", "GET /orders/{order_id}", "GET /lax"} <= set(found)
    assert "GET /fine" not in found
    assert json.loads(limen("users", "list", "--json").stdout) == []


def test_people_read_a_matrix(limen: Limen, holes: Path) -> None:
    result = limen("attack")
    lines = result.stdout.splitlines()
    assert lines[0].split("  ")[0] == "ROUTE"
    assert "IN  GET /open: anonymous, nothing: came in (200)" in lines
    assert "IN  GET /lax: expired, an hour ago: came in (200) and 3 more ways" in lines
    assert lines[-1].endswith("attempts came in.")


@pytest.mark.anyio
async def test_the_fixture_does_the_same(holes: Path, home: Path, monkeypatch: pytest.MonkeyPatch, attack_app) -> None:
    monkeypatch.setenv("LIMEN_DATABASE_URL", f"sqlite+aiosqlite:///{home}/t.db")
    monkeypatch.syspath_prepend(str(home))
    import main

    await create_tables(main.auth)
    async with main.app.router.lifespan_context(main.app):
        report = await attack(main.auth, main.app)
        assert str(report).count("GET /open: ") == 2
        with pytest.raises(AssertionError, match="GET /open: anonymous"):
            await attack_app(main.auth, main.app)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(status=401), Outcome.REFUSED),
        (Answer(status=200), Outcome.CAME_IN),
        (Answer(status=404), Outcome.CAME_IN),
        (Answer(status=422, body=b'{"detail": [{"loc": ["body", "text"]}]}'), Outcome.CAME_IN),
        (Answer(status=422, body=b'{"detail": [{"loc": ["header", "token"]}]}'), Outcome.REFUSED),
        (Answer(status=422, body=b'{"errors": [{"loc": ["cookie", "sid"]}]}'), Outcome.REFUSED),
        (Answer(status=422, body=b"no json"), Outcome.CAME_IN),
        (Answer(status=303, headers={"location": "/login?next=/me"}), Outcome.REFUSED),
        (Answer(status=303, headers={"location": "/thanks"}), Outcome.CAME_IN),
        (Answer(status=500), Outcome.BROKE),
        (Answer(status=503), Outcome.REFUSED),
        (Answer(status=101), Outcome.CAME_IN),
    ],
)
def test_what_an_answer_means(answer: Answer, outcome: Outcome) -> None:
    assert outcome_of(answer) is outcome


def test_a_sample_body_is_one_that_the_route_takes() -> None:
    from typing import Literal

    from fastapi import FastAPI
    from pydantic import BaseModel, EmailStr, Field
    from starlette.testclient import TestClient

    class Line(BaseModel):
        amount: int = Field(ge=3)
        kind: Literal["in", "out"]

    class Order(BaseModel):
        email: EmailStr
        note: str = Field(min_length=20)
        lines: list[Line]
        first: Line
        maybe: int | None
        unneeded: str = "x"

    app = FastAPI()

    @app.post("/orders")
    def order(body: Order) -> None: ...

    body = sample_body(app.openapi(), "/orders")
    assert TestClient(app).post("/orders", json=body).status_code == 200, body
