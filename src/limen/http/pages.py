"""The small pages that links in mails lead to where the app has none of its own.

A page reads the token from the fragment, which no server and no log sees, takes it off the address bar, and POSTs it
to its own path when a person clicks: robots that open links use nothing up. It loads nothing, and its policy lets it
talk to this app only.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from fastapi import APIRouter
from starlette.responses import HTMLResponse

_STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { display: grid; min-height: 90vh; place-items: center; margin: 0 }
main { width: min(24rem, 90vw) }
h1 { font-size: 1.4rem }
label, input, button { display: block; box-sizing: border-box; width: 100%; font: inherit }
input, button { margin-top: .5rem; padding: .6rem; border: 1px solid; border-radius: .4rem }
button { margin-top: 1rem; cursor: pointer }
[hidden] { display: none }
"""

_SCRIPT = """
const form = document.forms[0], said = document.getElementById("said");
const token = new URLSearchParams(location.hash.slice(1)).get("token");
history.replaceState(null, "", location.pathname);
if (!token) {
  form.hidden = true;
  said.textContent = "This link is not whole. Open it from the mail once more.";
}
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button"), password = form.elements.namedItem("password");
  const body = password ? { token, new_password: password.value } : { token };
  button.disabled = true;
  try {
    const answer = await fetch(location.pathname + form.dataset.query, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const told = answer.status === 204 ? {} : await answer.json();
    if (!answer.ok) {
      said.textContent = [told.detail, ...(told.errors || []).map((error) => error.msg)].join(" ");
    } else if (form.dataset.next) {
      const step = { step: told.step, ticket: told.ticket };
      location.replace(form.dataset.next + (told.status === "pending" ? "#" + new URLSearchParams(step) : ""));
    } else {
      form.hidden = true;
      said.textContent = form.dataset.done;
    }
  } catch {
    said.textContent = "That did not work. Try again in a moment.";
  }
  button.disabled = false;
});
"""

_ASKING = """
<label>New password
<input type="password" name="password" autocomplete="new-password" required autofocus></label>
"""

_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<form method="post" data-query="{query}" data-next="{next}" data-done="{done}">
<p>{words}</p>
{password}<button>{button}</button>
</form>
<p id="said" role="status"></p>
<noscript><p>This page needs JavaScript.</p></noscript>
</main>
<script>{script}</script>
</body>
</html>
"""


def _hash(text: str) -> str:
    """How a Content Security Policy names one inline script or style (CSP 3 §2.3.1)."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; script-src {_hash(_SCRIPT)}; style-src {_hash(_STYLE)}; connect-src 'self'; "
        "form-action 'none'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a page says and does.

    Attributes:
        done: said when the click has worked, where it leads nowhere.
        asks_password: whether a new password goes along.
        query: how the POST to the page's own path ends.
        next: the path of the app's that it leads to; a step that a sign-in still waits for goes along in the fragment.
    """

    title: str
    words: str
    button: str
    done: str = ""
    asks_password: bool = False
    query: str = ""
    next: str = ""

    def html(self) -> str:
        """The whole document; whatever is put in is escaped."""
        return _FRAME.format(
            title=escape(self.title),
            words=escape(self.words),
            button=escape(self.button),
            done=escape(self.done),
            query=escape(self.query),
            next=escape(self.next),
            password=_ASKING if self.asks_password else "",
            style=_STYLE,
            script=_SCRIPT,
        )


def page_route(router: APIRouter, path: str, page: Page) -> None:
    """Serve a page at the path to which it POSTs."""
    document = page.html()

    async def show() -> HTMLResponse:
        return HTMLResponse(document, headers=dict(HEADERS))

    router.add_api_route(path, show, methods=["GET"], include_in_schema=False, name=page.title)
