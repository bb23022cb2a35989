"""A small page that says why a sign-in came to nothing. The reason is in the fragment, which no server ever sees.

Nothing of the address is shown: the fragment chooses one of the sentences that are in the page.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256

from starlette.responses import HTMLResponse

from limen.errors import AuthError

_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 20vh auto; padding: 0 1rem; }
:root { color-scheme: light dark; }
"""
_SCRIPT = """
const sentences = %s;
const code = new URLSearchParams(location.hash.slice(1)).get('error');
if (Object.hasOwn(sentences, code)) document.getElementById('why').textContent = sentences[code];
"""
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sign-in</title>
<style>%s</style>
<main><h1>You are not signed in</h1><p id="why" role="status">The sign-in came to nothing. Begin again.</p>
<p><a href="/">Back</a></p></main>
<script>%s</script></html>
"""


def error_page(kinds: Iterable[type[AuthError]]) -> HTMLResponse:
    """The page, with the sentences of these errors."""
    script = _SCRIPT % json.dumps({kind.code: kind.detail for kind in kinds})
    return HTMLResponse(_PAGE % (_STYLE, script), headers={**_headers(script)})


def _headers(script: str) -> Mapping[str, str]:
    """No other script runs in it, nothing is loaded, nobody frames it (W3C CSP3 §6, ASVS 3.4)."""
    allowed = f"script-src {_hash(script)}; style-src {_hash(_STYLE)}"
    return {
        "Content-Security-Policy": f"default-src 'none'; {allowed}; base-uri 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
