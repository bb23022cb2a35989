"""The site builds without a warning and without a network, and every link in it leads somewhere."""

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from tests.docs.scripts import script

import limen
import limen.features
import limen.testing

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("zensical") is None, reason="zensical, of the dependency group docs, is not installed"
)

MARKS = (
    "<!-- then",
    "<!-- file",
    "<!-- serves",
    "<!-- continues",
    "<!-- not run",
    "<!-- new shell",
    "with visiting(",
    "&lt;!-- ",
)


@dataclass(eq=False)
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


Site = dict[Path, Built]


def test_the_site_is_whole(tmp_path: Path) -> None:
    """One test, because the build takes seconds: without a warning, and then page by page."""
    folder = script("build").build(tmp_path)
    site = {path: Built(path, path.read_text("utf-8")) for path in sorted(folder.rglob("*.html"))}
    assert broken_links(site) == []
    assert loads_from_elsewhere(site) == set()
    assert left_of_the_tests(site) == []
    assert not_in_the_navigation(site) == []
    assert not_in_the_reference(site) == []
    assert signatures_that_say_any(site) == []


def broken_links(site: Site) -> list[str]:
    assert sum(len(page.links) for page in site.values()) > 1000
    return [f"{page.path.name}: {link}" for page in site.values() for link in page.links if not leads(site, page, link)]


def leads(site: Site, page: Built, link: str) -> bool:
    url = urlsplit(link)
    if url.scheme or url.netloc:
        return url.scheme == "https"
    aim = (page.path.parent / unquote(url.path)).resolve() if url.path else page.path
    if page.path.name == "404.html":  # served at any address: its links begin at the root
        aim = page.path.parent / unquote(url.path).lstrip("/") if url.path not in ("", "/", ".") else page.path
    if aim.is_dir():
        aim = aim / "index.html"
    return aim.exists() and (not url.fragment or aim not in site or unquote(url.fragment) in site[aim].anchors)


def loads_from_elsewhere(site: Site) -> set[str]:
    return {load for page in site.values() for load in page.loads if urlsplit(load).netloc}


def left_of_the_tests(site: Site) -> list[tuple[str, str]]:
    return [(page.path.name, mark) for page in site.values() for mark in MARKS if mark in page.text]


def not_in_the_navigation(site: Site) -> list[str]:
    index = next(page for path, page in site.items() if path.name == "index.html")
    led_to = {(index.path.parent / urlsplit(link).path).resolve() for link in index.links}
    return [path.name for path in site if path.resolve() not in led_to and path.name not in ("index.html", "404.html")]


def not_in_the_reference(site: Site) -> list[str]:
    anchors = {anchor for page in site.values() for anchor in page.anchors}
    return [name for name in public_names() if name not in anchors]


def public_names() -> Iterator[str]:
    for name in limen.features.__all__:
        yield f"{getattr(limen.features, name).__module__}.{name}"
    for module in (limen, limen.testing):
        yield from (f"{module.__name__}.{name}" for name in module.__all__ if name not in limen.features.__all__)


def signatures_that_say_any(site: Site) -> list[str]:
    signature, tag = re.compile(r'<div class="doc-signature[^>]*>.*?</div>', re.DOTALL), re.compile(r"<[^>]+>")
    reference = [page.text for path, page in site.items() if path.parent.name == "reference"]
    found = [" ".join(tag.sub("", each).split()) for text in reference for each in signature.findall(text)]
    assert len(found) > 100
    return [each for each in found if re.search(r"\bAny\b", each)]
