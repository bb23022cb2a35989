"""`limen check` finds what is planted, and nothing else; every rule has a test that plants its trouble."""

import inspect
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import jsonschema
import pytest
from sqlalchemy import create_engine, text
from tests.cli.conftest import APP, SECRET, Command, Limen, every_template

import limen
from limen.checks.check import all_checks, judge
from limen.checks.evidence import Evidence, Hashing, Secret
from limen.checks.secret import bits_of
from limen.feature import Finding
from limen.testing.supabase import FakeSupabase

APPS = Path(__file__).with_name("broken_apps")
BROKEN = sorted(path.parent.name for path in APPS.glob("*/expected.txt"))
STRONG = "3q2mT0b6m8kKqk0Jr2u1vZyq8cH5dN4sW7xF9gL0pAeRtYuIoPzXcVbNmQwErTyU"
WEB = APP + "\nfrom fastapi import FastAPI\napp = FastAPI()\nauth.install(app)\n"
ALWAYS = "limen.I303"

Findings = list[dict[str, object]]
Plant = Callable[..., Findings]


@pytest.fixture(autouse=True)
def _fresh_modules(home: Path) -> Iterator[None]:
    """What a test imported from its folder is not what the next one finds under the same name."""
    yield
    for name, module in list(sys.modules.items()):
        if str(home) in str(getattr(module, "__file__", "")):
            del sys.modules[name]


# --- whole apps


@pytest.mark.parametrize("name", BROKEN)
def test_every_planted_fault_of_a_broken_app_is_found_and_nothing_else(name: str, home: Path, limen: Limen) -> None:
    shutil.copytree(APPS / name, home, dirs_exist_ok=True)
    settle(home)
    if (home / "database.sql").exists():
        with sqlite3.connect(home / "limen.db") as database:
            database.executescript((home / "database.sql").read_text())
        database.close()
    elif "limen" in (home / "main.py").read_text().split():
        assert limen("migrate").exit_code == 0
    if name == "secrets":
        git(home, "init", "-q")
        git(home, "add", ".env")
        (home / ".env").chmod(0o644)
    done = limen("check", "main:app", "--json")
    assert done.exit_code == 1, done.output
    expected = (home / "expected.txt").read_text().splitlines()
    assert sorted(told(each) for each in json.loads(done.stdout) if each["id"] != ALWAYS) == sorted(expected)


@every_template
def test_a_template_as_it_is_written_has_nothing_at_warning_or_above(template: str, home: Path, limen: Limen) -> None:
    assert limen("init", "--template", template).exit_code == 0
    git(home, "init", "-q")
    assert limen("migrate").exit_code == 0
    done = limen("check", "--fail-on", "warning")
    assert done.exit_code == 0, done.output
    assert "0 errors, 0 warnings, " in done.stdout


def test_the_demo_has_nothing_at_warning_or_above(
    home: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own: the demo's settings are read when it is imported. With whatever it can turn on, too."""
    (home / ".env").write_text(f"LIMEN_SECRET_KEY={STRONG}\n")
    (home / ".env").chmod(0o600)
    assert command("migrate").returncode == 0
    done = command("check", "--fail-on", "warning")
    assert done.returncode == 0, done.stdout
    assert "checking limen.demo" in done.stderr
    for provider in ("GOOGLE", "GITHUB", "EXAMPLE"):
        monkeypatch.setenv(f"LIMEN_OAUTH_{provider}_CLIENT_ID", "an-id-of-the-app")
        monkeypatch.setenv(f"LIMEN_OAUTH_{provider}_CLIENT_SECRET", "p" * 32)
    monkeypatch.setenv("LIMEN_OAUTH_EXAMPLE_ISSUER", "https://accounts.example")
    with FakeSupabase() as project:
        monkeypatch.setenv("SUPABASE_URL", project.url)
        monkeypatch.setenv("SUPABASE_KEY", project.key)
        done = command("check", "limen.demo:app", "--fail-on", "warning")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def settle(home: Path) -> None:
    env = home / "env"
    if env.exists():
        env.rename(home / ".env").chmod(0o600)


def git(home: Path, *arguments: str) -> None:
    names = ["-c", "user.name=ada", "-c", "user.email=ada@example.com"]
    subprocess.run(["git", *names, *arguments], cwd=home, check=True, capture_output=True)


def told(finding: dict[str, object]) -> str:
    line = f":{finding['line']}" if finding["line"] is not None else ""
    return f"{finding['id']} {finding['where']}{line}"


# --- one trouble at a time


@pytest.fixture
def plant(home: Path, limen: Limen, app_file: str, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Check an app in which nothing is wrong but what the test planted: settings, text, files."""
    monkeypatch.setenv("LIMEN_SECRET_KEY", STRONG)
    monkeypatch.setenv("LIMEN_DATABASE_URL", f"sqlite+aiosqlite:///{home}/limen.db")

    def check(*options: str, text: str = WEB, **settings: str | None) -> Findings:
        for name, value in settings.items():
            if value is None:
                monkeypatch.delenv(name)
            else:
                monkeypatch.setenv(name, value)
        sys.modules.pop(app_file, None)
        (home / f"{app_file}.py").write_text(text)
        result = limen("check", f"{app_file}:app", "--json", "--fail-on", "never", *options)
        assert result.exit_code == 0, result.output
        findings: Findings = json.loads(result.stdout)
        return findings

    return check


def only(findings: Findings, id: str) -> dict[str, object]:
    found = [each for each in findings if each["id"] == f"limen.{id}"]
    assert len(found) == 1, findings
    return found[0]


def names(findings: Findings) -> set[object]:
    return {each["id"] for each in findings}


PLANTED: dict[str, Callable[..., None]] = {}


def plants(*ids: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Marks which rules a test plants the trouble of; a test below counts them."""

    def mark(test: Callable[..., None]) -> Callable[..., None]:
        PLANTED.update(dict.fromkeys((f"limen.{id}" for id in ids), test))
        return test

    return mark


@plants("E101")
def test_an_app_that_cannot_be_loaded(plant: Plant) -> None:
    assert "ZeroDivisionError" in str(only(plant(text="import limen\n1 / 0\n"), "E101")["sentence"])
    assert "there is no Auth" in str(only(plant(text="import limen\napp = 1\n"), "E101")["sentence"])


def test_what_stops_an_app_is_told_in_one_line_without_what_its_settings_hold(plant: Plant) -> None:
    """pydantic quotes what it was given, and other libraries quote URLs: a report of CI is read by many."""
    settings = """
import limen
from pydantic_settings import BaseSettings
class Settings(BaseSettings):
    port: int
"""
    token, url = "tok_0123456789", "amqp://me:hunter2hunter2@mq/"
    found = plant(text=settings + "Settings()\n", PORT=token)
    sentence = str(only(found, "E101")["sentence"])
    assert "ValidationError: Settings: port: Input should be a valid integer" in sentence
    assert sentence.endswith(".py, line 6)")
    assert token not in json.dumps(found)
    found += plant(text=f"import limen\nraise ValueError('cannot use {token}\\nat {url}')\n", API_TOKEN=token, MQ=url)
    assert "cannot use … at amqp://me:…@mq/" in str(found[-1]["sentence"])
    assert "\\n" not in json.dumps(found)
    assert token not in json.dumps(found)


def test_an_app_on_which_limen_was_not_installed(plant: Plant) -> None:
    assert "install" in str(only(plant(text=APP + "app = 1\n"), "E101")["sentence"])


@plants("E103", "W105")
def test_packages(plant: Plant, home: Path) -> None:
    for name, version in (("h11", "0.9.0"), ("fastapi", "0.99.1"), ("passlib", "1.7.4")):
        folder = home / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    found = plant()
    assert {each["where"] for each in found if each["id"] == "limen.E103"} == {"h11", "fastapi"}
    assert "passlib 1.7.4" in str(only(found, "W105")["sentence"])


@plants("E201")
def test_no_secret(plant: Plant) -> None:
    found = plant(LIMEN_SECRET_KEY=None)
    assert only(found, "E201")["where"] == "LIMEN_SECRET_KEY"
    assert "limen.E602" in names(found)  # and the rest was looked at


@plants("E202", "E203")
@pytest.mark.parametrize(
    ("secret", "id"),
    [
        ("short", "E202"),
        ("-----BEGIN PUBLIC KEY-----" + "x" * 40, "E202"),
        ("09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", "E203"),
    ],
)
def test_a_secret_that_is_none(plant: Plant, secret: str, id: str) -> None:
    found = plant(LIMEN_SECRET_KEY=secret)
    assert only(found, id)["where"] == "LIMEN_SECRET_KEY"
    assert secret not in json.dumps(found)


@plants("W204")
@pytest.mark.parametrize("secret", ["x" * 64, "abcabc" * 12, "please-change-this-in-production-1Qz"])
def test_a_secret_that_can_be_guessed(plant: Plant, secret: str) -> None:
    assert only(plant(LIMEN_SECRET_KEY=secret), "W204")


def test_the_spelling_of_random_secrets_holds_enough() -> None:
    import secrets

    for make in (secrets.token_urlsafe, secrets.token_hex):
        assert all(bits_of(make(32)) > 128 for _ in range(200))


@plants("E205", "W206")
def test_what_git_has_and_would_take(plant: Plant, home: Path) -> None:
    git(home, "init", "-q")
    (home / ".env").write_text(f"LIMEN_SECRET_KEY={STRONG}\n")
    (home / ".env").chmod(0o600)
    assert only(plant(), "W206")["where"] == ".env"
    git(home, "add", ".env")
    git(home, "commit", "-qm", "first")
    assert only(plant(), "E205")["where"] == ".env"
    git(home, "rm", "-q", "--cached", ".env")
    git(home, "commit", "-qm", "oops")
    (home / ".gitignore").write_text(".env\n")
    found = plant()
    assert only(found, "E205")["where"] == ".env (an earlier commit)"
    assert "limen.W206" not in names(found)


@plants("W207", "E208", "W209")
def test_settings_of_the_wrong_form(plant: Plant, home: Path) -> None:
    (home / ".env").write_text("LIMEN_COLOUR=red\n")
    (home / ".env").chmod(0o640)
    found = plant()
    assert only(found, "W207")["sentence"] == "its mode is 640"
    assert only(found, "W209")["where"] == "LIMEN_COLOUR"
    assert only(plant(LIMEN_ALGORITHM="none"), "E208")["where"] == "LIMEN_ALGORITHM"


@plants("I211", "I213", "I215")
def test_what_is_only_noted(plant: Plant) -> None:
    found = plant(LIMEN_ACCESS_TOKEN_EXPIRE_MINUTES="5", LIMEN_REFRESH_TOKEN_EXPIRE_DAYS="1")
    assert only(found, "I211")
    assert only(found, "I213")
    assert only(plant(LIMEN_SECRET_KEY_FALLBACKS=SECRET), "I215")


@plants("W302", "I303")
def test_a_slow_machine() -> None:
    """The one that no test should wait for: judged from the figure that is measured elsewhere."""
    good = Secret(name="LIMEN_SECRET_KEY", size=64, bits=300)
    slow = Evidence(secret=good, hashing=Hashing(memory_kib=19456, iterations=2, seconds=1.5))
    assert [each.id for each in judge(slow)] == ["limen.W302", "limen.I303"]


@plants("E301")
def test_cheap_hashing_of_tests_is_noticed(plant: Plant) -> None:
    assert only(plant(), "E301")["sentence"] == "Argon2id with 8 KiB and 1 passes"


SCHEME = """
from limen import Feature, Principal
from limen.errors import InvalidCredential
from limen.http.scheme import Carrier

class Lax(Feature):
    name = "lax"
    def schemes(self):
        return [self]
    carriers = (Carrier.BEARER,)
    def openapi(self):
        return {"type": "http", "scheme": "bearer"}
    def reads(self, presented):
        return True
    async def verify(self, presented):
        VERIFY

from fastapi import FastAPI
from limen import Auth, Tokens
auth = Auth(features=[Lax(), Tokens()])
app = FastAPI()
auth.install(app)
"""


@plants("E401", "E402")
def test_schemes_of_the_apps_own(plant: Plant) -> None:
    refusing = SCHEME.replace("VERIFY", 'raise InvalidCredential("the moon is full")')
    assert only(plant(text=refusing), "E401")["sentence"] == "the moon is full"
    believing = SCHEME.replace("VERIFY", 'return Principal(subject="1", issuer="x", credential="access_token")')
    accepted = {str(each["sentence"]) for each in plant(text=believing) if each["id"] == "limen.E402"}
    assert {"unsigned: alg 'none'", "wrong key: ES256", "expired: an hour ago", "audience: another aud"} <= accepted


@plants("W403")
def test_clocks_that_differ(plant: Plant, home: Path, limen: Limen, app_file: str) -> None:
    clock = "from limen.testing import FakeClock\nclock = FakeClock()\n"
    late = WEB.replace("auth = Auth(", clock + "clock.advance(seconds=60)\nauth = Auth(clock=clock,")
    (home / f"{app_file}.py").write_text(late)
    assert limen("migrate", "--app", app_file).exit_code == 0
    assert "behind the app's" in str(only(plant(text=late), "W403")["sentence"])
    assert "limen.W403" not in names(plant(text=late.replace("seconds=60", "seconds=0")))


@plants("E602")
def test_the_database(plant: Plant, home: Path) -> None:
    found = plant()
    assert "no such file yet" in str(only(found, "E602")["sentence"])
    assert not (home / "limen.db").exists()


@plants("E601")
def test_a_database_that_is_down(plant: Plant) -> None:
    found = plant(LIMEN_DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/x")
    assert "127.0.0.1" in str(only(found, "E601")["sentence"])
    assert "hunter2" not in json.dumps(found)


@pytest.fixture
def app_web(app_name: str) -> str:
    Path(f"{app_name}.py").write_text(WEB)
    return app_name


@plants("E603")
def test_secrets_in_plain_text_on_both_databases(app_web: str, limen: Limen, database_url: str) -> None:
    engine = create_engine(database_url.replace("+aiosqlite", ""))
    with engine.begin() as connection:
        connection.execute(text('CREATE TABLE "Old People" (id INTEGER, "pass word" VARCHAR(99), code TEXT)'))
        connection.execute(text("INSERT INTO \"Old People\" VALUES (1, 'summer', 'sk_live_0123456789abcdef')"))
    engine.dispose()
    found = limen("check", app_web, "--json", "--fail-on", "never")
    places = {each["where"] for each in json.loads(found.stdout) if each["id"] == "limen.E603"}
    assert places == {"Old People.pass word", "Old People.code"}


@plants("W701", "W702", "E703")
def test_servers_beside_the_app(plant: Plant) -> None:
    assert "127.0.0.1" in str(only(plant(LIMEN_REDIS_URL="redis://:pw@127.0.0.1:1/0"), "W701")["sentence"])
    found = plant("--offline", LIMEN_REDIS_URL="redis://cache.example/0")
    assert "no TLS" in str(only(found, "W702")["sentence"])
    assert "limen.W701" not in names(found)
    assert only(plant(LIMEN_SMTP_URL="smtp://127.0.0.1:1"), "E703")


@plants("W706", "E707", "W708", "W709", "I710", "I604", "W505")
def test_proxies_and_https(plant: Plant) -> None:
    found = plant("--offline", LIMEN_BASE_URL="http://shop.example", FORWARDED_ALLOW_IPS="*")
    assert {"limen.W706", "limen.W708", "limen.I710", "limen.I604", "limen.W505"} <= names(found)
    found = plant("--offline", LIMEN_TRUSTED_PROXIES="::/0,10.0.0.0/8", LIMEN_TRUSTED_ORIGINS="null,https://a.example")
    assert "::/0" in str(only(found, "E707")["sentence"])
    assert "null" in str(only(found, "W709")["sentence"])


@pytest.fixture
def project() -> Iterator[Callable[[object], str]]:
    """A server that publishes this key set, as Supabase does."""
    answers: list[bytes] = []

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_asked_for = self.path == "/auth/v1/.well-known/jwks.json"
            self.send_response(200 if is_asked_for else 404)
            self.end_headers()
            self.wfile.write(answers[-1])

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Keys)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def publish(document: object) -> str:
        answers.append(json.dumps(document).encode())
        return f"http://127.0.0.1:{server.server_port}"

    yield publish
    server.shutdown()
    server.server_close()
    thread.join()


@plants("E801", "E802", "W803", "E804", "E805")
def test_supabase(plant: Plant, project: Callable[[object], str]) -> None:
    from limen.core.keys import SigningKey

    assert only(plant(SUPABASE_URL="http://127.0.0.1:1"), "E801")
    good = {"keys": [SigningKey.generate("ES256").verifying_key().to_jwk()]}
    of_supabase = {f"limen.{id}" for id in ("E801", "E802", "W803", "E804", "E805")}
    assert not of_supabase & names(plant(SUPABASE_URL=project(good), SUPABASE_KEY="sb_publishable_x"))
    assert "shared secret" in str(only(plant(SUPABASE_URL=project({"keys": []})), "E802")["sentence"])
    symmetric = {"keys": [{"kty": "oct", "k": "AAAA", "kid": "1"}]}
    assert only(plant(SUPABASE_URL=project(symmetric)), "E802")
    found = plant(SUPABASE_URL=project(symmetric), LIMEN_SUPABASE_JWT_SECRET=SECRET)
    assert only(found, "W803")
    assert "limen.E802" not in names(found)
    service = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2lnbmF0dXJl"
    assert only(plant(SUPABASE_URL=project(good), SUPABASE_KEY=service), "E804")
    assert only(plant("--offline", SUPABASE_URL="http://project.example"), "E805")


# --- what features find

EVERY_FEATURE = """
from fastapi import FastAPI
from limen import Accounts, ApiKeys, Auth, Passwords, Roles, Sessions, Tokens
from limen.features import Mail, OAuthLogin, Supabase, TrustedIssuers
from limen.features.trusted_issuers import TrustedIssuer
auth = Auth(features=[
    Passwords(), Tokens(), Sessions(), Accounts(), Roles(), ApiKeys(unsafe_query=True, unsafe_cookie=True),
    Mail(templates="letters"), OAuthLogin(), Supabase("http://project.example", key="sb_secret_x"),
    TrustedIssuers([TrustedIssuer("http://issuer.example/auth")]),
])
app = FastAPI()
auth.install(app)
"""


@plants("E030", "W030", "W020", "W021", "W010", "W040", "W041", "W080", "W081")
def test_what_features_find(plant: Plant, home: Path) -> None:
    (home / "letters").mkdir()
    (home / "letters/test.txt").write_text("no subject")
    planted = {"E030", "W030", "W020", "W021", "W010", "W040", "W041", "W080", "W081"}
    found = plant(
        "--offline",
        text=EVERY_FEATURE,
        LIMEN_BASE_URL="https://shop.example",
        LIMEN_OAUTH_CORP_CLIENT_ID="c",
        LIMEN_OAUTH_CORP_ISSUER="http://127.0.0.1:7000",
        LIMEN_OAUTH_CORP_CLIENT="c",
    )
    assert {f"limen.{id}" for id in planted} <= names(found), found
    assert "sb_secret_x" not in json.dumps(found)


@plants("E031", "W033")
def test_accounts_that_wait_for_letters_that_nobody_sends(plant: Plant) -> None:
    found = plant("--offline", LIMEN_EMAIL_VERIFICATION="required", LIMEN_ACCOUNTS_DELETION_GRACE_DAYS="7")
    assert {"limen.E031", "limen.W033"} <= names(found)


@plants("W042")
def test_supabase_without_its_publishable_key(plant: Plant) -> None:
    text = WEB.replace("Roles()]", "Roles(), Supabase('https://project.example')]")
    assert only(plant("--offline", text=f"from limen.features import Supabase\n{text}"), "W042")


# --- how it answers


def test_what_features_say_themselves_is_among_the_findings(plant: Plant) -> None:
    inspector = """
from limen.feature import Feature, Finding

class Inspector(Feature):
    name = "inspector"
    def checks(self):
        return [Finding(id="limen.W099", sentence="The glass is half empty", where="glass", cure="Fill it.")]
"""
    found = plant(text=inspector + WEB.replace("Roles()]", "Roles(), Inspector()]"))
    assert only(found, "W099")["cure"] == "Fill it."
    assert only(found, "W099")["docs"] == "docs/checks.md#limenw099"


@pytest.mark.parametrize(("threshold", "status"), [("never", 0), ("error", 0), ("warning", 1)])
def test_the_exit_status_is_for_ci(plant: Plant, limen: Limen, threshold: str, status: int, home: Path) -> None:
    (home / "main.py").write_text(WEB.replace("features=[Passwords(hasher=fast_hasher()),", "features=[Passwords(),"))
    (home / "main.py").write_text((home / "main.py").read_text() + "@app.get('/open')\ndef open_() -> None: ...\n")
    assert limen("migrate", "--app", "main").exit_code == 0
    result = limen("check", "main:app", "--fail-on", threshold)
    assert result.exit_code == status, result.output
    assert "WARNING limen.W502  GET /open: neither guarded nor public" in result.stdout
    assert "0 errors, 1 warning, 1 note." in result.stdout


def test_an_explanation_needs_no_app(limen: Limen, home: Path) -> None:
    said = limen("check", "--explain", "e201").stdout
    assert said.startswith("limen.E201 (error): There is no secret\n\nWhy   It signs tokens")
    refused = limen("check", "--explain", "E999")
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert list(home.iterdir()) == []


SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name", "rules"],
                                "properties": {
                                    "rules": {"type": "array", "uniqueItems": True, "items": {"$ref": "#/$defs/rule"}}
                                },
                            }
                        },
                    },
                    "results": {"type": "array", "items": {"$ref": "#/$defs/result"}},
                },
            },
        },
    },
    "$defs": {
        "message": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}},
        "level": {"enum": ["none", "note", "warning", "error"]},
        "rule": {
            "type": "object",
            "required": ["id"],
            "properties": {
                "shortDescription": {"$ref": "#/$defs/message"},
                "fullDescription": {"$ref": "#/$defs/message"},
                "help": {"$ref": "#/$defs/message"},
                "defaultConfiguration": {"properties": {"level": {"$ref": "#/$defs/level"}}},
            },
        },
        "result": {
            "type": "object",
            "required": ["message", "ruleId", "ruleIndex", "level", "locations"],
            "properties": {
                "message": {"$ref": "#/$defs/message"},
                "level": {"$ref": "#/$defs/level"},
                "locations": {
                    "type": "array",
                    "items": {
                        "required": ["physicalLocation"],
                        "properties": {
                            "physicalLocation": {
                                "required": ["artifactLocation"],
                                "properties": {
                                    "artifactLocation": {
                                        "properties": {"uri": {"type": "string", "format": "uri-reference"}}
                                    },
                                    "region": {"properties": {"startLine": {"type": "integer", "minimum": 1}}},
                                },
                            }
                        },
                    },
                },
            },
        },
    },
}
"""The members that OASIS SARIF 2.1.0 §3.13 to §3.52 require of what is used here."""


def test_sarif_has_what_its_schema_requires(limen: Limen, home: Path) -> None:
    shutil.copytree(APPS / "tutorial", home, dirs_exist_ok=True)
    result = limen("check", "main:app", "--sarif")
    document = json.loads(result.stdout)
    jsonschema.validate(document, SARIF)
    (run,) = document["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == [each.id for each in all_checks()]
    assert all(rules[each["ruleIndex"]] == each["ruleId"] for each in run["results"])
    (bearer,) = (each for each in run["results"] if each["ruleId"] == "limen.W106")
    place = bearer["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "main.py"}, "region": {"startLine": 14}}


def test_every_rule_has_a_test_that_plants_it() -> None:
    of_apps = {line.split()[0] for name in BROKEN for line in (APPS / name / "expected.txt").read_text().splitlines()}
    said = re.compile(r'Finding\(\s*id="(limen\.[EWI]\d{3})"')
    of_features = {
        id for path in Path(limen.__file__).parent.glob("features/*/*.py") for id in said.findall(path.read_text())
    }
    assert of_apps | PLANTED.keys() == of_features | {each.id for each in all_checks()}
    for id, test in PLANTED.items():
        _, _, asserted = inspect.getsource(test).partition("\n")  # under the mark itself
        assert id.removeprefix("limen.") in asserted, f"{test.__name__} is marked with {id} and does not look for it"


def test_rules_are_numbered_apart_and_say_why_and_what_to_do() -> None:
    numbers = [each.id[-3:] for each in all_checks()]
    assert len(numbers) == len(set(numbers))
    for each in all_checks():
        assert each.id[:7] in ("limen.E", "limen.W", "limen.I")
        assert each.reason.endswith("."), each.id
        assert each.title[0].isupper() or each.title[0] == ".", each.id
        assert each.cure, each.id
        assert Finding(id=each.id, sentence=each.title).severity == each.severity
