"""A set-up that cannot work ends at start in one sentence that names the setting and the cure."""

import pytest
from fastapi import FastAPI
from pydantic_settings import BaseSettings
from tests.features.mini_app import SECRET, features_of, open_app, settings_of

from limen import Accounts, Auth, AuthSettings, Feature, Passwords, Role, Tokens
from limen.errors import ConfigurationError
from limen.feature import Finding
from limen.testing import fast_hasher

pytestmark = pytest.mark.anyio

MEMORY = "sqlite+aiosqlite://"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    """No variable and no `.env` of whoever runs the tests."""
    import os

    for name in [name for name in os.environ if name.startswith("LIMEN_") or name in ("SECRET_KEY", "DATABASE_URL")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def auth(**options):
    return Auth(**{"settings": settings_of(MEMORY), "features": features_of(), **options})


def sentence_of(**options):
    with pytest.raises(ConfigurationError) as refused:
        auth(**options)
    sentence = str(refused.value)
    assert "\n" not in sentence
    return sentence


# --- settings


def test_no_secret():
    sentence = sentence_of(settings=AuthSettings(_env_file=None, database_url=MEMORY))
    assert "LIMEN_SECRET_KEY" in sentence
    assert "limen init" in sentence


@pytest.mark.parametrize("secret", ["", "short", "x" * 31])
def test_a_secret_that_is_too_short_is_not_told(secret):
    sentence = sentence_of(settings=settings_of(MEMORY, secret_key=secret))
    assert "LIMEN_SECRET_KEY" in sentence
    assert not secret or secret not in sentence.replace("secret", "")


def test_a_secret_of_32_bytes_is_enough_counted_in_utf_8():
    assert auth(settings=settings_of(MEMORY, secret_key="ü" * 16))


def test_the_unprefixed_names_of_fastapis_tutorial_are_read(monkeypatch):
    monkeypatch.setenv("SECRET_KEY", SECRET)
    monkeypatch.setenv("ACCESS_TOKEN_EXPIRE_MINUTES", "30")
    monkeypatch.setenv("DATABASE_URL", MEMORY)
    settings = Auth(features=features_of()).settings
    assert (settings.secret(), settings.access_token_expire_minutes, settings.database_url) == (SECRET, 30, MEMORY)
    monkeypatch.setenv("LIMEN_ACCESS_TOKEN_EXPIRE_MINUTES", "5")
    assert AuthSettings.load().access_token_expire_minutes == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LIMEN_ALGORITHM", "none"),
        ("LIMEN_ALGORITHM", "HS512"),
        ("LIMEN_ACCESS_TOKEN_EXPIRE_MINUTES", "soon"),
        ("LIMEN_ACCESS_TOKEN_EXPIRE_MINUTES", "0"),
        ("LIMEN_TRUSTED_PROXIES", "10.0.0.0/8,nonsense"),
        ("LIMEN_BASE_URL", "example.com"),
        ("LIMEN_BASE_URL", "ftp://example.com"),
    ],
)
def test_a_value_of_the_wrong_form_is_named_by_its_variable(monkeypatch, name, value):
    monkeypatch.setenv("LIMEN_SECRET_KEY", SECRET)
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name) as refused:
        AuthSettings.load()
    assert SECRET not in str(refused.value)


def test_a_name_that_nothing_reads_is_a_warning_with_the_nearest_one(monkeypatch, caplog):
    monkeypatch.setenv("LIMEN_ACCES_TOKEN_EXPIRE_MINUTES", "5")
    auth()
    assert "did you mean LIMEN_ACCESS_TOKEN_EXPIRE_MINUTES" in caplog.text


def test_a_database_url_that_cannot_be_read_does_not_show_its_password():
    sentence = sentence_of(settings=settings_of("nonsense://me:hunter2@localhost/x"))
    assert "LIMEN_DATABASE_URL" in sentence
    assert "hunter2" not in sentence


def test_a_secret_is_not_shown_by_any_object():
    one = auth()
    for shown in (one, one.settings, one.kernel, one.kernel.keys):
        assert SECRET not in repr(shown)


# --- features


class Toy(Feature):
    name = "toy"


def test_two_features_of_one_name():
    class OtherToy(Feature):
        name = "toy"

    sentence = sentence_of(features=[Toy(), OtherToy()])
    assert "toy" in sentence
    assert "Toy" in sentence
    assert "OtherToy" in sentence


def test_the_same_feature_twice():
    assert "passwords" in sentence_of(features=features_of(Passwords(hasher=fast_hasher())))


def test_a_feature_that_is_missing():
    sentence = sentence_of(features=[Tokens(), Accounts()])
    assert "accounts requires passwords" in sentence


def test_a_feature_that_is_misspelt_is_guessed():
    class Needy(Feature):
        name = "needy"
        requires = ("password",)

    assert "passwords" in sentence_of(features=features_of(Needy()))


def test_features_that_require_each_other_in_a_circle():
    class Hen(Feature):
        name = "hen"
        requires = ("egg",)

    class Egg(Feature):
        name = "egg"
        requires = ("hen",)

    sentence = sentence_of(features=[Hen(), Egg()])
    assert "egg" in sentence
    assert "hen" in sentence


def test_what_is_no_feature():
    assert "Passwords()" in sentence_of(features=[Passwords])
    assert "not a feature" in sentence_of(features=["passwords"])


def test_features_come_after_what_they_require():
    names = list(auth(features=[Accounts(), Toy(), Tokens(), Passwords(hasher=fast_hasher())]).features)
    assert names.index("passwords") < names.index("accounts")


@pytest.mark.parametrize("kind", ["scheme", "step", "issuer"])
def test_two_parts_of_one_name(kind):
    class Part:
        name = {"scheme": "OAuth2PasswordBearer", "step": "twin", "issuer": "token"}[kind]
        carriers = ()

    class Clash(Feature):
        name = "clash"

        def schemes(self):
            return [Part()] if kind == "scheme" else []

        def steps(self):
            return [Part(), Part()] if kind == "step" else []

        def issuers(self):
            return [Part()] if kind == "issuer" else []

    sentence = sentence_of(features=features_of(Clash()))
    assert f"{kind} {Part.name!r}" in sentence
    assert "Part" in sentence


def test_two_roles_of_one_name():
    assert "'admin'" in sentence_of(roles=[Role("admin", ["*"]), Role("admin", ["items"])])


def test_a_permission_that_is_none():
    assert "Items" in sentence_of(permissions={"Items:Read": "See items"})


def test_a_feature_that_is_not_among_them_is_not_found():
    with pytest.raises(LookupError, match="Toy"):
        auth()[Toy]
    toy = Toy()
    assert auth(features=features_of(toy))[Toy] is toy


def test_a_policy_that_is_none():
    for odd in (7, None, "Items Write", ["items:read"]):
        with pytest.raises(ConfigurationError):
            auth().require(odd)


async def test_what_a_feature_finds_stops_the_start_or_is_logged(tmp_path, caplog):
    class Inspector(Feature):
        name = "inspector"

        def __init__(self, finding):
            self.finding = finding

        def checks(self):
            return [self.finding]

    url = f"sqlite+aiosqlite:///{tmp_path}/x.db"
    broken = features_of(Inspector(Finding(id="limen.E999", sentence="Mend it so.")))
    with pytest.raises(ConfigurationError, match=r"limen\.E999: Mend it so\."):
        async with open_app(url, features=broken):
            pass
    worn = features_of(Inspector(Finding(id="limen.W999", sentence="Look at it.")))
    async with open_app(url, features=worn):
        assert "limen.W999: Look at it." in caplog.text


def test_a_features_own_settings_are_known_names(monkeypatch, caplog):
    class ToySettings(BaseSettings):
        model_config = {"env_prefix": "LIMEN_TOY_"}
        colour: str = "blue"

    class Coloured(Toy):
        settings = ToySettings

    monkeypatch.setenv("LIMEN_TOY_COLOUR", "red")
    auth(features=features_of(Coloured()))
    assert "LIMEN_TOY_COLOUR" not in caplog.text


# --- installation


def test_install_twice():
    app, one = FastAPI(), auth()
    one.install(app)
    with pytest.raises(ConfigurationError):
        one.install(app)


def test_a_route_that_was_there_before():
    app = FastAPI()

    @app.post("/auth/login")
    async def login() -> None: ...

    with pytest.raises(ConfigurationError, match="POST /auth/login"):
        auth().install(app)


async def test_a_route_that_came_later():
    app, one = FastAPI(), auth()
    one.install(app)

    @app.get("/users/me")
    async def me() -> None: ...

    with pytest.raises(ConfigurationError, match="GET /users/me"):
        async with app.router.lifespan_context(app):
            pass


def test_another_prefix_makes_room():
    app = FastAPI()

    @app.post("/auth/login")
    async def login() -> None: ...

    auth(auth_prefix="/limen", users_prefix="/people").install(app)
    assert app.openapi()["paths"].keys() >= {"/auth/login", "/limen/login", "/people/me"}


async def test_a_database_without_tables(tmp_path):
    one = auth(settings=settings_of(f"sqlite+aiosqlite:///{tmp_path}/empty.db"))
    with pytest.raises(ConfigurationError, match="limen migrate"):
        await one.start()
    await one.kernel.database.dispose()


async def test_a_database_that_cannot_be_reached():
    one = auth(settings=settings_of("postgresql+psycopg://me:hunter2@127.0.0.1:1/x"))
    with pytest.raises(ConfigurationError, match="LIMEN_DATABASE_URL") as refused:
        await one.start()
    assert "hunter2" not in str(refused.value)
    await one.kernel.database.dispose()
