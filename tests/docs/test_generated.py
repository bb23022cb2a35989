"""docs/settings.md, docs/errors.md and docs/checks.md say what the code says."""

from types import ModuleType

import pytest
from pydantic_settings import BaseSettings
from tests.docs.pages import ROOT
from tests.docs.scripts import script

from limen import AuthSettings
from limen.errors import AuthError
from limen.features.passwords import PasswordSettings

HOW = "run `python docs/generate.py` and look at what changed"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    return script("generate")


@pytest.mark.parametrize("name", ["settings.md", "errors.md", "checks.md"])
def test_a_generated_page_is_up_to_date(generate: ModuleType, name: str) -> None:
    written = (ROOT / "docs" / name).read_text("utf-8")
    assert generate.PAGES[name]() == written, HOW


@pytest.mark.parametrize(("model", "prefix"), [(AuthSettings, "LIMEN_"), (PasswordSettings, "LIMEN_PASSWORDS_")])
def test_every_setting_has_a_row_with_its_default(model: type[BaseSettings], prefix: str) -> None:
    rows = rows_of("settings.md")
    for name, field in model.model_fields.items():
        _, default, _ = rows[f"`{prefix}{name.upper()}`"]
        assert default == shown(field.default), name


def test_every_setting_says_what_it_does() -> None:
    silent = [name for name, (_, _, sentence) in rows_of("settings.md").items() if not sentence]
    assert silent == [], "give the Field a description, then " + HOW


def shown(default: object) -> str:
    if default in (None, ()):
        return "none"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def test_every_error_has_a_row_with_its_status_and_sentence() -> None:
    text = (ROOT / "docs/errors.md").read_text("utf-8")
    for kind in subclasses(AuthError):
        assert any(
            f"`{kind.__name__}`" in line and f"| {kind.status} | `{kind.code}` | {kind.detail}" in line
            for line in text.splitlines()
        ), kind.__name__


def rows_of(name: str) -> dict[str, list[str]]:
    lines = (ROOT / "docs" / name).read_text("utf-8").splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    return {row[0].partition(",")[0]: row for row in table}


def subclasses(kind: type[AuthError]) -> list[type[AuthError]]:
    own = [each for each in kind.__subclasses__() if each.__module__.startswith("limen.")]
    return own + [deeper for each in own for deeper in subclasses(each)]
