"""Every link within the repository leads somewhere, and every page is led to."""

import re

import pytest
from tests.docs.pages import ROOT, Page, pages, read_page

_PATH = re.compile(r"`((?:src|tests|docs|examples|benchmarks)/[\w./-]+)`")


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Page) -> None:
    broken = [
        f"{page.path.relative_to(ROOT)}:{line}: {target}" for line, target in page.links() if not leads(page, target)
    ]
    assert broken == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.path.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page: Page) -> None:
    named = [(line, path) for line, text in page.prose for path in _PATH.findall(text)]
    assert [f"line {line}: {path}" for line, path in named if not (ROOT / path).exists()] == []


def leads(page: Page, target: str) -> bool:
    if target.startswith("https://"):
        return True
    name, _, anchor = target.partition("#")
    path = (page.path.parent / name).resolve() if name else page.path
    if not path.exists() or not path.is_relative_to(ROOT):
        return False
    return not anchor or anchor in read_page(path).anchors()


def test_every_page_is_in_the_index_or_in_the_list_of_decisions() -> None:
    led_to = {
        (page.path.parent / target.partition("#")[0]).resolve()
        for page in pages()
        if page.path in (ROOT / "docs/index.md", ROOT / "docs/decisions/README.md")
        for _, target in page.links()
    }
    own = {page.path for page in pages() if page.path.is_relative_to(ROOT / "docs")} - {ROOT / "docs/index.md"}
    assert sorted(str(path.relative_to(ROOT)) for path in own - led_to) == []
