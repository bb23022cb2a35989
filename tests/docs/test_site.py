"""The site builds without a warning and without a network, and every link in it leads somewhere."""

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest
from tests.docs.pages import ROOT

import limen
import limen.features
import limen.testing

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("zensical") is None, reason="zensical, of the dependency group docs, is not installed"
)

MARKS = ("<!-- then", "&lt;!--", "<!-- file", "<!-- serves", "<!-- continues", "<!-- not run", "<!-- new shell")


@dataclass
class Built(HTMLParser):
    """What a page of the site leads to, loads and can be led to."""

    path: Path
    text: str
    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attributes if value}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in ("link", "script", "img"):
            self.loads += [given[name] for name in ("href", "src") if name in given]


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build", ROOT / "docs/build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(build: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Built]:
    folder = build.build(tmp_path_factory.mktemp("site"))
    return {path: Built(path, path.read_text("utf-8")) for path in sorted(folder.rglob("*.html"))}


def test_every_link_leads_somewhere(site: dict[Path, Built]) -> None:
    broken = [
        f"{page.path.name}: {link}" for page in site.values() for link in page.links if not leads(site, page, link)
    ]
    assert broken == []
    assert sum(len(page.links) for page in site.values()) > 1000


def leads(site: dict[Path, Built], page: Built, link: str) -> bool:
    url = urlsplit(link)
    if url.scheme or url.netloc:
        return url.scheme == "https"
    aim = (page.path.parent / unquote(url.path)).resolve() if url.path else page.path
    if page.path.name == "404.html":  # served at any address: its links begin at the root
        aim = page.path.parent / unquote(url.path).lstrip("/") if url.path not in ("", "/", ".") else page.path
    if aim.is_dir():
        aim = aim / "index.html"
    return aim.exists() and (not url.fragment or aim not in site or unquote(url.fragment) in site[aim].anchors)


def test_nothing_is_fetched_from_elsewhere(site: dict[Path, Built]) -> None:
    assert {load for page in site.values() for load in page.loads if urlsplit(load).netloc} == set()


def test_nothing_of_the_tests_is_left(site: dict[Path, Built]) -> None:
    assert [(page.path.name, mark) for page in site.values() for mark in MARKS if mark in page.text] == []


def test_every_page_is_in_the_navigation(site: dict[Path, Built]) -> None:
    index = next(page for path, page in site.items() if path.name == "index.html")
    led_to = {(index.path.parent / urlsplit(link).path).resolve() for link in index.links}
    assert [path.name for path in site if path not in led_to and path.name not in ("index.html", "404.html")] == []


def test_every_public_name_is_in_the_reference(site: dict[Path, Built]) -> None:
    anchors = {anchor for page in site.values() for anchor in page.anchors}
    assert [name for name in public_names() if name not in anchors] == []


def public_names() -> Iterator[str]:
    for name in limen.features.__all__:
        yield f"{getattr(limen.features, name).__module__}.{name}"
    for module, names in ((limen, limen.__all__), (limen.testing, limen.testing.__all__)):
        yield from (f"{module.__name__}.{name}" for name in names if name not in limen.features.__all__)


def test_no_signature_of_the_reference_says_any(site: dict[Path, Built]) -> None:
    signature = re.compile(r'<div class="doc-signature[^>]*>.*?</div>', re.DOTALL)
    text = re.compile(r"<[^>]+>")
    found = [
        " ".join(text.sub("", each).split())
        for path, page in site.items()
        if path.parent.name == "reference"
        for each in signature.findall(page.text)
    ]
    assert len(found) > 100
    assert [each for each in found if re.search(r"\bAny\b", each)] == []
